-- Rooms of these shards that are claimable, sending, past their deadline or their head's validity at $6, or that have
-- something parked behind a gap: at most $4, in the order of their addresses from ($2, $3) on, exclusive; each with the
-- envelopes of its head and the next few, at most $5. Shard by shard, as scan_all; scan_due is for many of them.
WITH page AS MATERIALIZED (
  SELECT r.*
  FROM
    (SELECT DISTINCT s.shard FROM unnest($1::integer[]) AS s (shard) WHERE s.shard >= $2 ORDER BY s.shard) AS h,
    LATERAL (
      SELECT * FROM rooms o
      WHERE o.shard = h.shard AND o.id > CASE WHEN h.shard = $2 THEN $3::bigint ELSE -1 END
        AND (
          o.phase = 'sending'
          OR o.until <= $6
          OR o.gap_since IS NOT NULL
          OR (
            o.tail > o.settled AND NOT o.paused
            AND (o.phase IN ('idle', 'ready') OR (o.phase = 'waiting' AND o.reason = 'channel'))
          )
          OR (
            o.phase IN ('waiting', 'backing_off')
            AND (
              SELECT m.expires_at <= $6 FROM messages m
              WHERE m.shard = o.shard AND m.room_id = o.id AND m.sequence = o.settled + 1
            )
          )
        )
      ORDER BY o.id
      LIMIT $4
    ) AS r
  ORDER BY h.shard, r.id
  LIMIT $4
)
SELECT r.*, e.envelopes
FROM
  page r,
  LATERAL (
    SELECT coalesce(json_agg(json_build_array(
      m.sequence, m.message_id, m.accepted_at, m.not_before, m.expires_at, m.ack_timeout_ms, m.failure_policy,
      m.cancelled_by
    ) ORDER BY m.sequence), '[]') AS envelopes
    FROM (
      SELECT * FROM messages m
      WHERE m.shard = r.shard AND m.room_id = r.id AND m.sequence > r.settled
      ORDER BY m.sequence
      LIMIT $5
    ) AS m
  ) AS e
ORDER BY r.shard, r.id

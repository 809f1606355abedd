-- Rooms of these shards that are claimable, sending, or past their deadline or their head's validity at $6: at most $4, in
-- the order of their addresses from ($2, $3) on, exclusive; each with the envelopes of its head and the next few, at
-- most $5.
WITH page AS MATERIALIZED (
  SELECT r.* FROM rooms r
  WHERE (r.shard, r.id) > ($2::integer, $3::bigint)
    AND (r.shard IN (SELECT unnest($1::integer[]))) IS TRUE
    AND (
      r.phase = 'sending'
      OR r.until <= $6
      OR (
        r.tail > r.settled AND NOT r.paused
        AND (r.phase IN ('idle', 'ready') OR (r.phase = 'waiting' AND r.reason = 'channel'))
      )
      OR (
        r.phase IN ('waiting', 'backing_off')
        AND (
          SELECT m.expires_at <= $6 FROM messages m
          WHERE m.shard = r.shard AND m.room_id = r.id AND m.sequence = r.settled + 1
        )
      )
    )
  ORDER BY r.shard, r.id
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

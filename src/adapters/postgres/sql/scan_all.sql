-- Rooms of these shards that are not at rest: at most $4, in
-- the order of their addresses from ($2, $3) on, exclusive; each with the envelopes of its head and the next few, at
-- most $5.
--
-- Shard by shard, so that it costs what these shards hold and not what the others do, and in their order, so that it ends
-- with the page.
WITH page AS MATERIALIZED (
  SELECT r.*
  FROM
    (SELECT DISTINCT s.shard FROM unnest($1::integer[]) AS s (shard) WHERE s.shard >= $2 ORDER BY s.shard) AS h,
    LATERAL (
      SELECT * FROM rooms o
      WHERE o.shard = h.shard AND o.id > CASE WHEN h.shard = $2 THEN $3::bigint ELSE -1 END
        AND NOT (o.phase = 'idle' AND o.settled = o.tail AND o.gap_since IS NULL)
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

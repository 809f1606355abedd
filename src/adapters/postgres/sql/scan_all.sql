-- Rooms of these shards that are not at rest: at most $4, in
-- the order of their addresses from ($2, $3) on, exclusive; each with the envelopes of its head and the next few, at
-- most $5.
WITH page AS MATERIALIZED (
  SELECT r.* FROM rooms r
  WHERE (r.shard, r.id) > ($2::integer, $3::bigint)
    AND (r.shard IN (SELECT unnest($1::integer[]))) IS TRUE
    AND NOT (r.phase = 'idle' AND r.settled = r.tail)
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

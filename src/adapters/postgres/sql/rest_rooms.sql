-- Puts rooms of these shards to rest in which nothing has happened since $2: with their numbering and version, so that
-- whoever takes one back goes on from there. A room that anybody works on is locked and is left alone.
WITH idle AS MATERIALIZED (
  SELECT r.shard, r.id FROM rooms r
  WHERE (r.shard IN (SELECT unnest($1::integer[]))) IS TRUE
    AND r.phase = 'idle' AND r.settled = r.tail AND r.gap_since IS NULL AND r.since < $2 AND r.touched_at < $2
  ORDER BY r.shard, r.id
  LIMIT $3
),
locked AS MATERIALIZED (
  SELECT l.place
  FROM
    idle i,
    LATERAL (
      SELECT r.ctid AS place FROM rooms r
      WHERE r.shard = i.shard AND r.id = i.id
        AND r.phase = 'idle' AND r.settled = r.tail AND r.gap_since IS NULL AND r.since < $2 AND r.touched_at < $2
      FOR UPDATE SKIP LOCKED
    ) AS l
),
taken AS (
  DELETE FROM rooms r USING locked l WHERE r.ctid = l.place RETURNING r.*
)
INSERT INTO resting_rooms (
  shard, id, touched_at,
  version, settled, tail, since, until, gap_until, debt_until, level_at, platform_at, first_claim_version, created_at, attempt,
  spent, phase, level, paused, bytes_left, tenant, channel, room, reason, platform_id, mark, nack, attempts, next_order
)
SELECT
  shard, id, touched_at,
  version, settled, tail, since, until, gap_until, debt_until, level_at, platform_at, first_claim_version, created_at, attempt,
  spent, phase, level, paused, bytes_left, tenant, channel, room, reason, platform_id, mark, nack, attempts, next_order
FROM taken
RETURNING shard, id

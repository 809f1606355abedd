-- Takes rooms back from rest by their keys, in the order of their addresses. `touched_at` is the database's own time:
-- it keeps them from being put to rest again before their append has come through.
WITH found AS MATERIALIZED (
  SELECT f.shard, f.id
  FROM
    unnest($1::integer[], $2::text[], $3::text[], $4::text[]) AS w (shard, tenant, channel, room),
    LATERAL (
      SELECT r.shard, r.id FROM resting_rooms r
      WHERE -r.shard = -w.shard AND r.tenant = w.tenant AND r.channel = w.channel AND r.room = w.room
      LIMIT 1
    ) AS f
  ORDER BY f.shard, f.id
),
locked AS MATERIALIZED (
  SELECT l.place
  FROM
    found f,
    LATERAL (
      SELECT r.ctid AS place FROM resting_rooms r WHERE r.shard = f.shard AND r.id = f.id FOR UPDATE
    ) AS l
),
taken AS (
  DELETE FROM resting_rooms r USING locked l WHERE r.ctid = l.place RETURNING r.*
)
INSERT INTO rooms (
  shard, id, touched_at,
  version, settled, tail, since, until, gap_until, debt_until, level_at, platform_at, first_claim_version, created_at, attempt,
  spent, phase, level, paused, bytes_left, tenant, channel, room, reason, platform_id, mark, nack, attempts, next_order
)
SELECT
  shard, id, (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
  version, settled, tail, since, until, gap_until, debt_until, level_at, platform_at, first_claim_version, created_at, attempt,
  spent, phase, level, paused, bytes_left, tenant, channel, room, reason, platform_id, mark, nack, attempts, next_order
FROM taken

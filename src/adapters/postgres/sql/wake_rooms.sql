-- Takes rooms back from rest by their addresses. Answers those that came back.
WITH locked AS MATERIALIZED (
  SELECT l.place
  FROM
    (SELECT * FROM unnest($1::integer[], $2::bigint[]) AS w (shard, id) ORDER BY shard, id) AS w,
    LATERAL (
      SELECT r.ctid AS place FROM resting_rooms r WHERE r.shard = w.shard AND r.id = w.id FOR UPDATE
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
RETURNING id

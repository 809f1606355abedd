-- Stores a plan for membership $1: shards $2 go from $3 (null: from nobody, or from one that is fenced) to $4. A shard that
-- nobody holds changes hands at once; any other is given an heir, to whom its owner hands it over within 1.2 of its own
-- leases, or loses it where $4 is null. A shard that has meanwhile another owner is left as it is.
--
-- A plan of many moves comes in parts: only the last one ($5) makes it the plan, where no part has left a shard.
--
-- Whether an owner is fenced is judged by this statement's snapshot: a fence is never lowered, so that a shard is at worst
-- given an heir where it could have changed hands. The fleet's row is locked before any shard.
WITH present AS MATERIALIZED (
  SELECT membership FROM fleet WHERE membership = $1 FOR UPDATE
),
moves AS MATERIALIZED (
  SELECT
    m.shard, m.receiver, s.owner,
    s.owner IS NULL OR EXISTS (SELECT FROM fences f WHERE f.worker = s.owner AND f.fenced) AS free,
    coalesce((SELECT w.lease_ms FROM workers w WHERE w.worker = s.owner), 60000) AS lease_ms
  FROM
    present p,
    LATERAL unnest($2::integer[], $3::text[], $4::text[]) AS m (shard, giver, receiver)
  JOIN shards s USING (shard)
  WHERE CASE
    WHEN m.giver IS NULL THEN s.owner IS NULL OR EXISTS (SELECT FROM fences f WHERE f.worker = s.owner AND f.fenced)
    ELSE s.owner = m.giver
  END
),
moved AS (
  UPDATE shards s
  SET owner = CASE WHEN m.free THEN m.receiver ELSE s.owner END,
      moved_at = CASE WHEN m.free THEN clock_timestamp() ELSE s.moved_at END,
      epoch = s.epoch + 1,
      heir = CASE WHEN m.free THEN NULL ELSE m.receiver END,
      heir_until = CASE
        WHEN m.free OR m.receiver IS NULL THEN NULL
        WHEN s.heir IS NOT NULL THEN s.heir_until
        ELSE clock_timestamp() + m.lease_ms * interval '1.2 ms'
      END
  FROM moves m
  WHERE s.shard = m.shard AND s.owner IS NOT DISTINCT FROM m.owner
  RETURNING s.shard
)
UPDATE fleet f
SET planned = CASE WHEN $5 THEN $1 ELSE f.planned END,
    planner = CASE WHEN $5 THEN NULL ELSE f.planner END,
    planner_until = CASE WHEN $5 THEN NULL ELSE clock_timestamp() + interval '2 s' END
FROM present p
WHERE (SELECT count(*) FROM moved) = coalesce(cardinality($2::integer[]), 0)
RETURNING f.planned

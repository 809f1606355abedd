-- An operator's change of the fleet of membership $1, as a whole or not at all: weights $3 for the nodes of names $2 (null
-- removes one), pins of shards $4 to names $5 (null removes one), worker $6 draining or not ($7), shards $8 on their way
-- from their owners $9 to workers $10 within 1.2 of the owner's leases, and the audit's entry. Answers no row, and changes
-- nothing, where the membership is another, the worker is gone, or one of the shards has another owner.
--
-- Locks are taken in the order of everybody else: a worker, the fleet, shards. The membership is raised whatever is
-- changed, so that the shards are distributed anew.
WITH worker AS MATERIALIZED (
  SELECT w.worker FROM workers w WHERE w.worker = $6 FOR NO KEY UPDATE
),
present AS MATERIALIZED (
  SELECT f.membership
  FROM (SELECT count(*) AS workers FROM worker) c, fleet f
  WHERE f.membership = $1 AND ($6::text IS NULL OR c.workers = 1)
  FOR UPDATE OF f
),
moves AS MATERIALIZED (
  SELECT
    m.shard, m.receiver, s.owner,
    s.owner IS NULL OR EXISTS (SELECT FROM fences f WHERE f.worker = s.owner AND f.fenced) AS free,
    coalesce((SELECT w.lease_ms FROM workers w WHERE w.worker = s.owner), 60000) AS lease_ms
  FROM
    present p,
    LATERAL unnest($8::integer[], $9::text[], $10::text[]) AS m (shard, giver, receiver)
  JOIN shards s USING (shard)
  WHERE CASE
    WHEN m.giver IS NULL THEN s.owner IS NULL OR EXISTS (SELECT FROM fences f WHERE f.worker = s.owner AND f.fenced)
    ELSE s.owner = m.giver
  END
  ORDER BY s.shard
  FOR NO KEY UPDATE OF s
),
granted AS MATERIALIZED (
  SELECT p.membership FROM present p
  WHERE (SELECT count(*) FROM moves) = coalesce(cardinality($8::integer[]), 0)
),
raised AS (
  UPDATE fleet f SET membership = f.membership + 1, changed_at = clock_timestamp() FROM granted
),
weighted AS (
  INSERT INTO worker_weights (name, weight)
  SELECT v.name, v.weight
  FROM granted, LATERAL unnest($2::text[], $3::double precision[]) AS v (name, weight)
  WHERE v.weight IS NOT NULL
  ON CONFLICT (name) DO UPDATE SET weight = excluded.weight
),
unweighted AS (
  DELETE FROM worker_weights w
  USING granted, LATERAL unnest($2::text[], $3::double precision[]) AS v (name, weight)
  WHERE w.name = v.name AND v.weight IS NULL
),
pinned AS (
  INSERT INTO shard_pins (shard, name)
  SELECT v.shard, v.name
  FROM granted, LATERAL unnest($4::integer[], $5::text[]) AS v (shard, name)
  WHERE v.name IS NOT NULL
  ON CONFLICT (shard) DO UPDATE SET name = excluded.name
),
unpinned AS (
  DELETE FROM shard_pins s
  USING granted, LATERAL unnest($4::integer[], $5::text[]) AS v (shard, name)
  WHERE s.shard = v.shard AND v.name IS NULL
),
drained AS (
  UPDATE workers w SET draining = $7 FROM granted WHERE w.worker = $6 AND w.draining <> $7
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
  FROM granted, moves m
  WHERE s.shard = m.shard
)
INSERT INTO audit (at, actor, action, subject, detail, request_id)
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, $11, $12, $13, $14::jsonb, $15 FROM granted
RETURNING id

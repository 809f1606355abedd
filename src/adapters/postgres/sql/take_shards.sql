-- Gives the worker the shards that have no owner or a fenced one, and answers all that it owns then. Its own fence row is
-- locked, so that it is not fenced meanwhile; a shard that somebody else is just taking is left to them.
WITH taker AS MATERIALIZED (
  SELECT worker FROM fences WHERE worker = $1 AND NOT fenced FOR SHARE
),
free AS MATERIALIZED (
  SELECT s.shard FROM shards s
  WHERE (s.owner IS NULL OR EXISTS (SELECT FROM fences f WHERE f.worker = s.owner AND f.fenced))
    AND EXISTS (SELECT FROM taker)
  ORDER BY s.shard
  FOR NO KEY UPDATE OF s SKIP LOCKED
),
taken AS (
  UPDATE shards s SET owner = $1, epoch = s.epoch + 1 FROM free WHERE s.shard = free.shard
  RETURNING s.shard
)
SELECT shard FROM taken
UNION
SELECT s.shard FROM shards s WHERE s.owner = $1 AND EXISTS (SELECT FROM taker)

-- What the worker holds, in one row; nothing for one that is fenced.
SELECT
  array_agg(s.shard ORDER BY s.shard) AS shards,
  array_agg(s.heir ORDER BY s.shard) AS heirs,
  array_agg(s.epoch ORDER BY s.shard) AS epochs
FROM shards s
WHERE s.owner = $1 AND NOT EXISTS (SELECT FROM fences f WHERE f.worker = $1 AND f.fenced)

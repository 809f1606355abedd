-- Every shard in the order of its number; a fenced owner is none.
SELECT CASE WHEN f.fenced THEN NULL ELSE s.owner END AS owner, s.heir, s.epoch
FROM shards s LEFT JOIN fences f ON f.worker = s.owner
ORDER BY s.shard

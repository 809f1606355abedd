-- Every shard in the order of its number; a fenced owner is none.
SELECT
  CASE WHEN f.fenced THEN NULL ELSE s.owner END AS owner, s.heir, s.epoch,
  floor(extract(epoch FROM s.heir_until - clock_timestamp()) * 1000)::bigint AS heir_left,
  floor(extract(epoch FROM s.moved_at) * 1000)::bigint AS moved_at
FROM shards s LEFT JOIN fences f ON f.worker = s.owner
ORDER BY s.shard

-- Gives shards $2 of worker $1 to their heirs, each only at its epoch of $3; one whose heir is not alive stays, without an
-- heir. Answers the given ones.
WITH promised AS MATERIALIZED (
  SELECT
    s.shard, s.heir, s.epoch,
    EXISTS (
      SELECT FROM workers w JOIN fences f USING (worker)
      WHERE w.worker = s.heir AND NOT f.fenced AND w.lease_until > clock_timestamp()
    ) AS alive
  FROM shards s JOIN unnest($2::integer[], $3::bigint[]) AS g (shard, epoch) USING (shard, epoch)
  WHERE s.owner = $1 AND s.heir IS NOT NULL
  ORDER BY s.shard
  FOR NO KEY UPDATE OF s
),
given AS (
  UPDATE shards s
  SET owner = CASE WHEN p.alive THEN p.heir ELSE s.owner END,
      moved_at = CASE WHEN p.alive THEN clock_timestamp() ELSE s.moved_at END,
      epoch = s.epoch + 1, heir = NULL, heir_until = NULL
  FROM promised p
  WHERE s.shard = p.shard AND s.owner = $1 AND s.heir = p.heir AND s.epoch = p.epoch
  RETURNING s.shard, s.owner
)
SELECT shard FROM given WHERE owner <> $1

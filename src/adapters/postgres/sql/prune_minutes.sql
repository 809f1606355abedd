-- Drops at most $2 minutes before $1, and what processes told and listed that are on record no more.
WITH parts AS (
  DELETE FROM pipeline_parts p
  WHERE p.as_of < $1 AND NOT EXISTS (SELECT FROM workers w WHERE w.worker = p.worker)
), lists AS (
  DELETE FROM lingering_rooms l
  WHERE l.since < $1 AND NOT EXISTS (SELECT FROM workers w WHERE w.worker = l.worker)
), pruned AS (
  DELETE FROM channel_minutes
  WHERE (tenant, channel, minute) IN (
    SELECT tenant, channel, minute FROM channel_minutes WHERE minute < $1 ORDER BY minute LIMIT $2
  )
  RETURNING 1
)
SELECT count(*)::integer AS pruned FROM pruned

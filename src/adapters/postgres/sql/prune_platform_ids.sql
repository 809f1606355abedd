-- Forgets platform ids that were named before $1, unless their message still waits: at most $2.
DELETE FROM platform_ids
WHERE ctid = ANY (ARRAY(
  SELECT p.ctid FROM platform_ids p
  WHERE p.room_id IS NOT NULL AND p.named_at < $1 AND p.kept_at IS NULL
    AND NOT EXISTS (
      SELECT FROM messages m WHERE m.shard = p.shard AND m.room_id = p.room_id AND m.sequence = p.sequence
    )
  LIMIT $2
))

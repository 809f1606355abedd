-- Attempts that were answered after their message had settled, where its revision is still $5.
UPDATE history h
SET attempts = $6, platform_id = $7, revision = h.revision + 1
WHERE h.shard = $1 AND h.room_id = $2 AND h.sequence = $3 AND h.settled_at = $4 AND h.revision = $5

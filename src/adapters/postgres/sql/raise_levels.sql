-- Raises the level of settled messages up to $3 that were sent and have a lower one; with a watermark $6 only of those
-- that the platform had accepted by then.
UPDATE history h
SET level = $4, level_at = $5, revision = h.revision + 1
WHERE h.shard = $1 AND h.room_id = $2 AND h.sequence <= $3
  AND h.level < $4 AND h.first_claim_version > 0
  AND ($6::bigint IS NULL OR h.platform_at <= $6)

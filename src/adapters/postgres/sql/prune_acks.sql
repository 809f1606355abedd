-- Forgets acks kept since $1 or before; an id that a message has stays known.
WITH forgotten AS (
  DELETE FROM platform_ids WHERE kept_at <= $1 AND room_id IS NULL RETURNING 1
),
cleared AS (
  UPDATE platform_ids SET level = NULL, nack = NULL, at = NULL, kept_at = NULL
  WHERE kept_at <= $1 AND room_id IS NOT NULL
  RETURNING 1
)
SELECT (SELECT count(*) FROM forgotten) + (SELECT count(*) FROM cleared) AS dropped

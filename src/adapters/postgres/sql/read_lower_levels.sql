-- Of rooms the settled messages with a lower level than $5, among their last $7 with sequences above $3 and up to $4 that
-- were sent; with a watermark $6 among those that the platform had accepted by then. `ord` counts what was asked for from
-- 1. However many messages a room has had, no more are read than that, and those that are newer than the watermark.
SELECT
  w.ord, h.shard, h.room_id, h.sequence, h.settled_at, h.revision, h.outcome, h.reason, h.level, h.level_at,
  h.late_nack_code, h.platform_id, h.platform_at, h.attempts
FROM
  (
    SELECT
      unnest($1::integer[]) AS shard, unnest($2::bigint[]) AS room_id, unnest($3::bigint[]) AS above,
      unnest($4::bigint[]) AS up_to, unnest($5::text[])::ack_level AS level, unnest($6::bigint[]) AS watermark,
      generate_subscripts($1::integer[], 1) AS ord
  ) AS w,
  LATERAL (
    SELECT * FROM history l
    WHERE l.shard = w.shard AND l.room_id = w.room_id AND l.sequence > w.above AND l.sequence <= w.up_to
      AND l.first_claim_version > 0
      AND (w.watermark IS NULL OR l.platform_at <= w.watermark)
    ORDER BY l.sequence DESC
    LIMIT $7
  ) AS h
WHERE h.level < w.level
ORDER BY w.ord, h.sequence DESC

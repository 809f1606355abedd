-- Attempts that were answered after their messages had settled, each where its row still has the revision that was read.
-- Looked up, changed, locked and answered as in update_settled.sql.
UPDATE history h
SET attempts = n.attempts, platform_id = n.platform_id, revision = h.revision + 1
FROM
  (
    SELECT
      unnest($1::integer[]) AS shard, unnest($2::bigint[]) AS room_id, unnest($3::bigint[]) AS sequence,
      unnest($4::bigint[]) AS settled_at, unnest($5::integer[]) AS revision, unnest($6::text[]) AS platform_id,
      json_array_elements($7::json) AS attempts, generate_subscripts($1::integer[], 1) AS ord
  ) AS n,
  LATERAL (
    SELECT l.settled_at, l.ctid FROM history l
    WHERE l.shard = n.shard AND l.room_id = n.room_id AND l.sequence = n.sequence AND l.settled_at = n.settled_at
      AND l.settled_at >= $8 AND l.settled_at <= $9
    LIMIT 1
  ) AS found
WHERE h.settled_at = found.settled_at AND h.ctid = found.ctid AND h.revision = n.revision
RETURNING n.ord

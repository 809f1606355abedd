-- Forgets numbers that were skipped before $1, and those of them whose messages came before that, at most $2 of each.
WITH skipped AS (
  DELETE FROM skipped_orders WHERE ctid = ANY (ARRAY(SELECT ctid FROM skipped_orders WHERE at < $1 LIMIT $2)) RETURNING 1
),
late AS (
  DELETE FROM late_orders WHERE ctid = ANY (ARRAY(SELECT ctid FROM late_orders WHERE at < $1 LIMIT $2)) RETURNING 1
)
SELECT greatest((SELECT count(*) FROM skipped), (SELECT count(*) FROM late))::integer AS pruned

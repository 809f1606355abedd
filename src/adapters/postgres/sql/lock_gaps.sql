-- Locks rooms by their addresses, in the order of appends, for skip_gaps.sql; and hands it what it may number.
WITH locked AS MATERIALIZED (
  SELECT l.*
  FROM
    (SELECT * FROM unnest($1::integer[], $2::bigint[]) AS w (shard, id) ORDER BY shard, id) AS w,
    LATERAL (SELECT r.* FROM rooms r WHERE r.shard = w.shard AND r.id = w.id FOR NO KEY UPDATE) AS l
)
SELECT set_config('roomline.locked', coalesce(array_agg(
  ARRAY[id, tail, next_order, coalesce(gap_since, -1)]
), '{}')::text, true)
FROM locked

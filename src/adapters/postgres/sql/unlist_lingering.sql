-- Takes rooms off the list of worker $1. One by one: joined, a long list would be read whole.
DELETE FROM lingering_rooms
WHERE ctid = ANY (ARRAY (
  SELECT l.ctid
  FROM
    unnest($2::integer[], $3::bigint[]) AS g (shard, id),
    LATERAL (
      SELECT ctid FROM lingering_rooms WHERE shard = g.shard AND id = g.id AND worker = $1 LIMIT 1
    ) AS l
))

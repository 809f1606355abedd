-- Takes rooms off the list of worker $1.
DELETE FROM lingering_rooms l
USING unnest($2::integer[], $3::bigint[]) AS g (shard, id)
WHERE l.shard = g.shard AND l.id = g.id AND l.worker = $1

-- How many messages of a room are parked.
SELECT count(*)::integer AS parked FROM parked WHERE shard = $1 AND room_id = $2

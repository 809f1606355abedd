-- Takes off all other lists what is in the shards of worker $1.
DELETE FROM lingering_rooms WHERE shard = ANY ($2::integer[]) AND worker <> $1

SELECT shard, name FROM shard_pins ORDER BY shard

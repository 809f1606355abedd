-- Newest first, with ids below $1, at most $2.
SELECT id, at, kind, reason, detail, tenant, channel, shard, room_id, sequence, fingerprint
FROM dead_letters
WHERE id < $1
ORDER BY id DESC
LIMIT $2

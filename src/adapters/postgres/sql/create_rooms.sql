-- Makes the rows of rooms that have none, in the order of their keys. One that another intake has just made is left.
INSERT INTO rooms (shard, tenant, channel, room, since, created_at, touched_at)
SELECT w.shard, w.tenant, w.channel, w.room, w.now, w.now, (extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS w (shard, tenant, channel, room, now)
WHERE NOT EXISTS (
  SELECT FROM resting_rooms r
  WHERE -r.shard = -w.shard AND r.tenant = w.tenant AND r.channel = w.channel AND r.room = w.room
)
ORDER BY w.shard, w.tenant COLLATE "C", w.channel COLLATE "C", w.room COLLATE "C"
ON CONFLICT DO NOTHING

-- Notes rooms for the recipients of their messages; what was noted less than $7 before stays as it is. In the order of the
-- key, so that two processes never wait for each other.
INSERT INTO recipients AS r (tenant, recipient, channel, shard, room_id, seen_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[]) AS n (
  tenant, recipient, channel, shard, room_id, seen_at
)
ORDER BY n.tenant, n.recipient, n.channel, n.room_id
ON CONFLICT (tenant, recipient, channel, room_id) DO UPDATE SET seen_at = excluded.seen_at
WHERE r.seen_at <= excluded.seen_at - $7::bigint

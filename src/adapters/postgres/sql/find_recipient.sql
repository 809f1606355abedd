-- Rooms of tenant $1 that are noted for recipient $2, and those that have its name: on the channels $3 in their order, of
-- each by id from $5 on, at most $6. $4 are the shards in which rooms of that name are.
SELECT f.shard, f.id, c.channel
FROM unnest($3::text[], $4::integer[], $5::bigint[]) WITH ORDINALITY AS c (channel, shard, after_id, place)
CROSS JOIN LATERAL (
  (
    SELECT r.shard, r.room_id AS id
    FROM recipients r
    WHERE r.tenant = $1 AND r.recipient = $2 AND r.channel = c.channel AND r.room_id > c.after_id
    ORDER BY r.room_id
    LIMIT $6
  )
  UNION ALL
  (
    SELECT a.shard, a.id FROM rooms a
    WHERE -a.shard = -c.shard AND a.tenant = $1 AND a.channel = c.channel AND a.room = $2 AND a.id > c.after_id
    UNION ALL
    SELECT b.shard, b.id FROM resting_rooms b
    WHERE -b.shard = -c.shard AND b.tenant = $1 AND b.channel = c.channel AND b.room = $2 AND b.id > c.after_id
    LIMIT 1
  )
) AS f
ORDER BY c.place, f.id
LIMIT $6

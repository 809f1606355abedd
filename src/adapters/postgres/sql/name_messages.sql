-- The platform's ids of messages. The first message that an id is given to keeps it.
INSERT INTO platform_ids AS p (tenant, channel, platform_id, shard, room_id, sequence)
SELECT DISTINCT ON (k.tenant, k.channel, n.platform_id)
  k.tenant, k.channel, n.platform_id, n.shard, n.room_id, n.sequence
FROM
  (
    SELECT shard, room_id, sequence, platform_id COLLATE "C" AS platform_id, ord
    FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::text[])
      WITH ORDINALITY AS n (shard, room_id, sequence, platform_id, ord)
  ) AS n,
  LATERAL (
    SELECT tenant, channel, room FROM rooms a WHERE a.shard = n.shard AND a.id = n.room_id
    UNION ALL
    SELECT tenant, channel, room FROM resting_rooms b WHERE b.shard = n.shard AND b.id = n.room_id
    LIMIT 1
  ) AS k
ORDER BY k.tenant, k.channel, n.platform_id, n.ord
ON CONFLICT (tenant, channel, platform_id)
  DO UPDATE SET shard = excluded.shard, room_id = excluded.room_id, sequence = excluded.sequence, named_at = now()
  WHERE p.room_id IS NULL

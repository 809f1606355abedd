-- Where rooms are, resting ones too, by their keys; `ord` counts those asked for from 1.
SELECT w.ord, f.shard, f.id
FROM
  unnest($1::integer[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS w (shard, tenant, channel, room, ord),
  LATERAL (
    SELECT a.shard, a.id FROM rooms a
    WHERE -a.shard = -w.shard AND a.tenant = w.tenant AND a.channel = w.channel AND a.room = w.room
    UNION ALL
    SELECT b.shard, b.id FROM resting_rooms b
    WHERE -b.shard = -w.shard AND b.tenant = w.tenant AND b.channel = w.channel AND b.room = w.room
    LIMIT 1
  ) AS f

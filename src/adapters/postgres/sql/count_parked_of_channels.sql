-- What is parked, by channel. Reads all of it, which is little as a rule.
SELECT r.tenant, r.channel, count(*)::integer AS rooms, sum(p.messages)::integer AS messages
FROM
  (SELECT shard, room_id, count(*) AS messages FROM parked GROUP BY shard, room_id OFFSET 0) AS p,
  LATERAL (SELECT tenant, channel FROM rooms o WHERE o.shard = p.shard AND o.id = p.room_id LIMIT 1) AS r
GROUP BY r.tenant, r.channel

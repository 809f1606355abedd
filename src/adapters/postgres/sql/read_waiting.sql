-- A message that has not settled, and the key of its room.
SELECT m.*, k.*
FROM
  messages m,
  LATERAL (
    SELECT tenant, channel, room FROM rooms a WHERE a.shard = m.shard AND a.id = m.room_id
    UNION ALL
    SELECT tenant, channel, room FROM resting_rooms b WHERE b.shard = m.shard AND b.id = m.room_id
    LIMIT 1
  ) AS k
WHERE m.shard = $1 AND m.room_id = $2 AND m.sequence = $3

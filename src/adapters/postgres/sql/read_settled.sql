-- A settled message and the key of its room, which may be at rest.
SELECT h.*, k.*
FROM
  history h,
  LATERAL (
    SELECT tenant, channel, room FROM rooms a WHERE a.shard = h.shard AND a.id = h.room_id
    UNION ALL
    SELECT tenant, channel, room FROM resting_rooms b WHERE b.shard = h.shard AND b.id = h.room_id
    LIMIT 1
  ) AS k
WHERE h.shard = $1 AND h.room_id = $2 AND h.sequence = $3
LIMIT 1

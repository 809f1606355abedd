-- Dead letters by their ids, with the payloads of those that intake refused.
SELECT d.id, d.at, d.kind, d.reason, d.detail, d.tenant, d.channel, d.shard, d.room_id, d.sequence, d.fingerprint,
  d.closed_as, d.closed_at, d.closed_by, d.replay_shard, d.replay_room_id, d.replay_sequence,
  d.payload, d.attributes, k.room
FROM
  dead_letters d
  LEFT JOIN LATERAL (
    SELECT room FROM rooms a WHERE a.shard = d.shard AND a.id = d.room_id
    UNION ALL
    SELECT room FROM resting_rooms b WHERE b.shard = d.shard AND b.id = d.room_id
    LIMIT 1
  ) AS k ON true
WHERE d.id = ANY ($1::bigint[])

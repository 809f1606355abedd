-- What the history holds of the attempts of these messages.
SELECT h.shard, h.room_id, h.sequence, h.settled_at, h.revision, h.platform_id, h.attempts
FROM
  unnest($1::integer[], $2::bigint[], $3::bigint[]) AS w (shard, room_id, sequence),
  LATERAL (
    SELECT * FROM history h
    WHERE h.shard = w.shard AND h.room_id = w.room_id AND h.sequence = w.sequence
    LIMIT 1
  ) AS h

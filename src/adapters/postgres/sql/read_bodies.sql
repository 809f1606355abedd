-- Bodies of waiting messages; `ord` counts those asked for from 1.
SELECT w.ord, m.body
FROM
  unnest($1::integer[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS w (shard, room_id, sequence, ord),
  LATERAL (
    SELECT m.body FROM messages m
    WHERE m.shard = w.shard AND m.room_id = w.room_id AND m.sequence = w.sequence
    LIMIT 1
  ) AS m

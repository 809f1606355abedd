-- The numbers of waiting messages by their ids; `ord` counts those asked for from 1.
SELECT w.ord, m.sequence
FROM
  unnest($1::integer[], $2::bigint[], $3::text[]) WITH ORDINALITY AS w (shard, room_id, message_id, ord),
  LATERAL (
    SELECT m.sequence FROM messages m
    WHERE -m.shard = -w.shard AND -m.room_id = -w.room_id AND m.message_id = w.message_id
    LIMIT 1
  ) AS m

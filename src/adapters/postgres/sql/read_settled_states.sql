-- What late statuses and late answers need of messages that settled within $4 ms of now. `ord` counts what was asked for
-- from 1. With the time, the partitions of other days are not even opened.
SELECT
  w.ord, h.shard, h.room_id, h.sequence, h.settled_at, h.revision, h.outcome, h.reason, h.level, h.level_at,
  h.late_nack_code, h.platform_id, h.platform_at, h.attempts
FROM
  (
    SELECT
      unnest($1::integer[]) AS shard, unnest($2::bigint[]) AS room_id, unnest($3::bigint[]) AS sequence,
      generate_subscripts($1::integer[], 1) AS ord
  ) AS w,
  LATERAL (
    SELECT * FROM history l
    WHERE l.shard = w.shard AND l.room_id = w.room_id AND l.sequence = w.sequence
      AND l.settled_at >= (extract(epoch FROM now()) * 1000)::bigint - $4::bigint
      AND l.settled_at < (extract(epoch FROM now()) * 1000)::bigint + $4::bigint
    LIMIT 1
  ) AS h

-- Locks the rooms of an append, in the order of their addresses: two appends never wait for each other. Answers the rows
-- as they are under the lock, `ord` counting the rooms asked for from 1; one that has no row is missing.
--
-- What the append's next statement may number is handed to it in a setting of this transaction: it must be just the
-- rooms that were locked here, and a room that appeared since is not one of them.
WITH found AS MATERIALIZED (
  SELECT w.ord, f.shard, f.id
  FROM
    unnest($1::integer[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS w (shard, tenant, channel, room, ord),
    LATERAL (
      SELECT r.shard, r.id FROM rooms r
      WHERE -r.shard = -w.shard AND r.tenant = w.tenant AND r.channel = w.channel AND r.room = w.room
      LIMIT 1
    ) AS f
  ORDER BY f.shard, f.id
),
locked AS MATERIALIZED (
  SELECT f.ord, l.*
  FROM
    found f,
    LATERAL (SELECT r.* FROM rooms r WHERE r.shard = f.shard AND r.id = f.id FOR NO KEY UPDATE) AS l
),
handed AS MATERIALIZED (
  SELECT set_config('roomline.locked', coalesce(array_agg(
    ARRAY[id, tail, created_at, next_order, coalesce(gap_since, -1)] ORDER BY ord
  ), '{}')::text, true)
  FROM locked
)
SELECT l.* FROM locked l CROSS JOIN handed

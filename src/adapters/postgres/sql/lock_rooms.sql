-- Locks the rooms of an append, in the order of their addresses: two appends never wait for each other. Those of which the
-- caller knows the id, $5, are not looked for by their keys.
--
-- Answers, in one row of arrays, the rooms as they are under the lock, in the order in which they were asked for: `ords`
-- counts those from 1, and one that has no row is missing. Of a room with anything under way its phase is told, and
-- whoever attends to it knows the rest.
--
-- What the append's next statement may number is handed to it in a setting of this transaction, as arrays again: it must
-- be just the rooms that were locked here, and a room that appeared since is not one of them. Where a row stands is handed
-- on as well, since nobody can move it while it is locked.
WITH found AS MATERIALIZED (
  SELECT w.ord, w.shard, w.tenant, w.channel, w.room, coalesce(w.known_id, f.id) AS id
  FROM
    unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::bigint[]) WITH ORDINALITY
      AS w (shard, tenant, channel, room, known_id, ord)
    LEFT JOIN LATERAL (
      SELECT r.id FROM rooms r
      WHERE w.known_id IS NULL
        AND -r.shard = -w.shard AND r.tenant = w.tenant AND r.channel = w.channel AND r.room = w.room
      LIMIT 1
    ) AS f ON true
  ORDER BY w.shard, id
),
locked AS MATERIALIZED (
  SELECT f.ord, l.*
  FROM
    found f,
    LATERAL (
      SELECT
        r.ctid AS place, r.id, r.version, r.phase, r.settled, r.tail, r.since, r.gap_until, r.debt_until, r.created_at,
        r.next_order, coalesce(r.gap_since, -1) AS gap_since
      FROM rooms r
      -- An id that was known once may be another room's by now, in another history or after all data was dropped.
      WHERE r.shard = f.shard AND r.id = f.id AND r.tenant = f.tenant AND r.channel = f.channel AND r.room = f.room
      FOR NO KEY UPDATE
    ) AS l
),
told AS MATERIALIZED (
  SELECT
    array_agg(ord)::text AS ords, array_agg(id)::text AS ids, array_agg(version)::text AS versions,
    array_agg(phase)::text AS phases, array_agg(settled)::text AS settled, array_agg(tail)::text AS tails,
    array_agg(since)::text AS since, array_agg(gap_until)::text AS gap_until, array_agg(debt_until)::text AS debt_until,
    array_agg(next_order)::text AS next_orders, array_agg(gap_since)::text AS gap_since,
    array_agg(created_at)::text AS created_at, array_agg(place)::text AS places
  FROM (SELECT * FROM locked ORDER BY ord) AS l
)
SELECT
  ords, ids, versions, phases, settled, tails, since, gap_until, debt_until, next_orders, gap_since,
  set_config(
    'roomline.locked', concat_ws(' ', ids, tails, created_at, next_orders, gap_since, places, settled), true
  ) IS NOT NULL AS handed
FROM told

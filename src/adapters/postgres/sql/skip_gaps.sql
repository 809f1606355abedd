-- Gives up the numbers that rooms wait for, each where the room still waits for $3 and was locked by lock_gaps.sql, a
-- statement before: what is parked goes on from its lowest number, and the run behind that with it. Like an append it
-- claims nothing, so that it needs no fence.
--
-- Answers, `ord` counting the rooms from 1: each as it now is, and what was skipped; null where nothing was.
WITH locked AS MATERIALIZED (
  -- Unset where not one room was found.
  SELECT
    coalesce(nullif(current_setting('roomline.locked', true), ''), '{}')::bigint[] AS rooms,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
),
asked AS MATERIALIZED (
  SELECT
    w.ord, w.shard, w.room_id, w.expected, a.tail, a.next_order, nullif(a.gap_since, -1) AS gap_since
  FROM
    (
      SELECT
        unnest($1::integer[]) AS shard, unnest($2::bigint[]) AS room_id, unnest($3::bigint[]) AS expected,
        generate_subscripts($1::integer[], 1) AS ord
    ) AS w,
    LATERAL (
      SELECT l[2] AS tail, l[3] AS next_order, l[4] AS gap_since
      FROM (
        SELECT ARRAY[rooms[i][1], rooms[i][2], rooms[i][3], rooms[i][4]] AS l
        FROM locked, generate_subscripts(rooms, 1) AS i
      ) AS r
      WHERE l[1] = w.room_id
    ) AS a
),
open AS MATERIALIZED (
  SELECT a.*, p.order_number AS resumes
  FROM
    asked a,
    LATERAL (
      SELECT q.order_number FROM parked q
      WHERE q.shard = a.shard AND q.room_id = a.room_id
      ORDER BY q.order_number
      LIMIT 1
    ) AS p
  WHERE a.next_order = a.expected AND a.gap_since IS NOT NULL
),
queue AS MATERIALIZED (
  SELECT
    o.ord, o.shard, o.room_id, p.order_number,
    p.order_number - row_number() OVER (PARTITION BY o.ord ORDER BY p.order_number) = o.resumes - 1 AS in_turn,
    o.tail + row_number() OVER (PARTITION BY o.ord ORDER BY p.order_number) AS sequence
  FROM
    open o,
    LATERAL (
      SELECT q.order_number FROM parked q WHERE q.shard = o.shard AND q.room_id = o.room_id OFFSET 0
    ) AS p
),
released AS (
  DELETE FROM parked p
  USING
    queue n,
    LATERAL (
      SELECT f.ctid FROM parked f
      WHERE f.shard = n.shard AND f.room_id = n.room_id AND f.order_number = n.order_number
      LIMIT 1
    ) AS found
  WHERE n.in_turn AND p.ctid = found.ctid
  RETURNING p.*, n.sequence
),
inserted AS (
  INSERT INTO messages (
    shard, room_id, sequence, accepted_at, not_before, expires_at, ack_timeout_ms, message_id, failure_policy, source,
    order_number, digest, body
  )
  SELECT
    shard, room_id, sequence, accepted_at, not_before, expires_at, ack_timeout_ms, message_id, failure_policy, source,
    order_number, digest, body
  FROM released
),
skipped AS (
  INSERT INTO skipped_orders (shard, room_id, first, last, at)
  SELECT o.shard, o.room_id, o.next_order, o.resumes - 1, l.now FROM open o CROSS JOIN locked l
),
left_as AS MATERIALIZED (
  SELECT
    o.ord, o.shard, o.room_id, o.next_order AS first, o.resumes - 1 AS last,
    n.tail, n.next_order, CASE WHEN n.all_moved THEN NULL ELSE l.now END AS gap_since
  FROM
    open o
    CROSS JOIN locked l
    JOIN (
      SELECT
        ord, max(sequence) FILTER (WHERE in_turn) AS tail, max(order_number) FILTER (WHERE in_turn) + 1 AS next_order,
        bool_and(in_turn) AS all_moved
      FROM queue
      GROUP BY ord
    ) AS n ON n.ord = o.ord
),
raised AS (
  UPDATE rooms r
  SET tail = a.tail, touched_at = greatest(r.touched_at, l.now), next_order = a.next_order, gap_since = a.gap_since
  FROM
    left_as a
    CROSS JOIN locked l,
    LATERAL (SELECT f.ctid FROM rooms f WHERE f.shard = a.shard AND f.id = a.room_id LIMIT 1) AS found
  WHERE r.ctid = found.ctid
)
SELECT
  a.ord, coalesce(n.tail, a.tail) AS tail, coalesce(n.next_order, a.next_order) AS next_order,
  CASE WHEN n.ord IS NULL THEN a.gap_since ELSE n.gap_since END AS gap_since, n.first, n.last
FROM asked a LEFT JOIN left_as n ON n.ord = a.ord

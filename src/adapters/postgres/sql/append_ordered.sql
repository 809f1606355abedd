-- Appends a batch in which messages have numbers of their publisher's order, $16; else as append_messages.sql, whose
-- parameters it has. What is next in its room's order is numbered, and with it the run of those that follow it, parked
-- ones included; what is ahead of its turn is parked. Messages without an order never wait. A number below the next one
-- is either one that was skipped, and then its message is appended as late, or another message's.
--
-- Messages take their places at the tail when they can: a run behind the message of the batch that completed it.
--
-- Answers in one row `judged`, of each message [ord, counted from 1; what became of it where it is new, else null; the
-- sequence it has now or null; the stored digest where it is known already, else null; the order that it is parked under
-- where it has no sequence], and of its room as this append leaves it [tail, next order, since when it has a gap or null].
WITH RECURSIVE locked AS MATERIALIZED (
  -- Empty where not one room was found.
  SELECT
    part[1]::bigint[] AS ids, part[2]::bigint[] AS tails, part[3]::bigint[] AS created_at, part[4]::bigint[] AS next_orders,
    part[5]::bigint[] AS gap_since, part[6]::tid[] AS places, part[7]::bigint[] AS settled,
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
  FROM string_to_array(current_setting('roomline.locked', true), ' ') AS part
),
candidate AS MATERIALIZED (
  SELECT
    i.*, a.id AS room_id, a.tail, a.next_order, a.gap_since,
    coalesce(waiting.sequence, settled.sequence) AS known_sequence,
    coalesce(waiting.digest, settled.digest, parked.digest) AS known_digest,
    parked.order_number AS parked_order
  FROM
    (
      SELECT
        unnest($3::integer[]) AS room, unnest($4::integer[]) AS shard, unnest($5::text[]) AS message_id,
        unnest($6::bigint[]) AS accepted_at, unnest($7::bigint[]) AS not_before, unnest($8::bigint[]) AS expires_at,
        unnest($9::bigint[]) AS ack_timeout_ms, unnest($10::text[]) AS failure_policy, unnest($11::text[]) AS source,
        unnest($12::integer[]) AS body_begins, unnest($13::integer[]) AS body_length,
        unnest($16::bigint[]) AS order_number, generate_subscripts($3::integer[], 1) AS ord
    ) AS i
    CROSS JOIN LATERAL (
      SELECT
        (SELECT ids FROM locked)[i.room] AS id,
        (SELECT tails FROM locked)[i.room] AS tail,
        (SELECT settled FROM locked)[i.room] AS settled,
        greatest((SELECT created_at FROM locked)[i.room] - 86400000, $2::bigint) AS known_since,
        (SELECT next_orders FROM locked)[i.room] AS next_order,
        (SELECT gap_since FROM locked)[i.room] AS gap_since
      OFFSET 0
    ) AS a
    LEFT JOIN LATERAL (
      SELECT m.sequence, m.digest FROM messages m
      WHERE a.tail > a.settled AND -m.shard = -i.shard AND -m.room_id = -a.id AND m.message_id = i.message_id
      LIMIT 1
    ) AS waiting ON true
    LEFT JOIN LATERAL (
      SELECT h.sequence, h.digest FROM history h
      WHERE a.settled > 0 AND -h.shard = -i.shard AND -h.room_id = -a.id AND h.message_id = i.message_id
        AND h.settled_at >= a.known_since
        AND h.settled_at >= $2::bigint AND h.settled_at < (extract(epoch FROM now()) * 1000)::bigint + 86400000
      LIMIT 1
    ) AS settled ON waiting.sequence IS NULL
    LEFT JOIN LATERAL (
      SELECT p.order_number, p.digest FROM parked p
      WHERE a.gap_since >= 0 AND -p.shard = -i.shard AND -p.room_id = -a.id AND p.message_id = i.message_id
      LIMIT 1
    ) AS parked ON true
  WHERE coalesce(array_length((SELECT ids FROM locked), 1), 0) = $1::integer
),
judged AS MATERIALIZED (
  SELECT
    c.*,
    CASE
      WHEN c.order_number IS NULL THEN 'appended'
      WHEN row_number() OVER (PARTITION BY c.room, c.order_number ORDER BY c.ord) > 1 THEN 'order_conflict'
      WHEN c.order_number >= c.next_order THEN CASE
        WHEN c.gap_since >= 0 AND EXISTS (
          SELECT FROM parked p
          WHERE p.shard = c.shard AND p.room_id = c.room_id AND p.order_number = c.order_number
        ) THEN 'order_conflict'
        ELSE 'queued'
      END
      WHEN (
        SELECT s.last >= c.order_number FROM skipped_orders s
        WHERE s.shard = c.shard AND s.room_id = c.room_id AND s.first <= c.order_number
        ORDER BY s.first DESC
        LIMIT 1
      ) AND NOT EXISTS (
        SELECT FROM late_orders l
        WHERE l.shard = c.shard AND l.room_id = c.room_id AND l.order_number = c.order_number
      ) THEN 'late'
      ELSE 'order_conflict'
    END AS fate
  FROM candidate c
  WHERE c.known_digest IS NULL
),
-- What is parked right behind messages of the batch, in rooms whose gap it closes: however much is parked beyond that.
behind AS (
  SELECT j.room, j.shard, j.room_id, j.tail, j.next_order, p.order_number
  FROM
    judged j,
    LATERAL (
      SELECT q.order_number FROM parked q
      WHERE j.gap_since >= 0 AND q.shard = j.shard AND q.room_id = j.room_id AND q.order_number = j.order_number + 1
      LIMIT 1
    ) AS p
  WHERE
    j.fate = 'queued'
    AND (j.room IN (SELECT c.room FROM judged c WHERE c.fate = 'queued' AND c.order_number = c.next_order)) IS TRUE
  UNION ALL
  SELECT b.room, b.shard, b.room_id, b.tail, b.next_order, p.order_number
  FROM
    behind b,
    LATERAL (
      SELECT q.order_number FROM parked q
      WHERE q.shard = b.shard AND q.room_id = b.room_id AND q.order_number = b.order_number + 1
      LIMIT 1
    ) AS p
),
-- What stands in line for its turn; the `ord` of what was parked is 0.
queue AS MATERIALIZED (
  SELECT room, shard, room_id, tail, next_order, order_number, ord FROM judged WHERE fate = 'queued'
  UNION ALL
  SELECT room, shard, room_id, tail, next_order, order_number, 0 FROM behind
),
-- Without a gap from the next one on.
run AS MATERIALIZED (
  SELECT *
  FROM (
    SELECT
      q.*,
      q.order_number - row_number() OVER (PARTITION BY q.room ORDER BY q.order_number) = q.next_order - 1 AS in_turn,
      max(q.ord) OVER (PARTITION BY q.room ORDER BY q.order_number) AS turn
    FROM queue q
  ) AS q
  WHERE in_turn
),
numbered AS MATERIALIZED (
  SELECT
    room, shard, room_id, order_number, ord,
    tail + row_number() OVER (PARTITION BY room ORDER BY turn, order_number) AS sequence
  FROM (
    SELECT room, shard, room_id, tail, order_number, ord, turn FROM run
    UNION ALL
    SELECT room, shard, room_id, tail, order_number, ord, ord FROM judged WHERE fate IN ('appended', 'late')
  ) AS n
),
released AS (
  DELETE FROM parked p
  USING
    numbered n,
    LATERAL (
      SELECT f.ctid FROM parked f
      WHERE f.shard = n.shard AND f.room_id = n.room_id AND f.order_number = n.order_number
      LIMIT 1
    ) AS found
  WHERE n.ord = 0 AND p.ctid = found.ctid
  RETURNING p.*, n.sequence
),
inserted AS (
  INSERT INTO messages (
    shard, room_id, sequence, accepted_at, not_before, expires_at, ack_timeout_ms, message_id, failure_policy, source,
    order_number, late_order, digest, body
  )
  SELECT
    j.shard, j.room_id, n.sequence, j.accepted_at, j.not_before, j.expires_at, j.ack_timeout_ms, j.message_id,
    j.failure_policy, j.source, j.order_number, CASE WHEN j.fate = 'late' THEN true END,
    substr($14::bytea, (j.ord::integer - 1) * 32 + 1, 32), substr($15::bytea, j.body_begins, j.body_length)
  FROM judged j JOIN numbered n ON n.ord = j.ord
  UNION ALL
  SELECT
    shard, room_id, sequence, accepted_at, not_before, expires_at, ack_timeout_ms, message_id,
    failure_policy, source, order_number, NULL, digest, body
  FROM released
),
ahead AS (
  INSERT INTO parked (
    shard, room_id, order_number, accepted_at, not_before, expires_at, ack_timeout_ms, message_id, failure_policy,
    source, digest, body
  )
  SELECT
    shard, room_id, order_number, accepted_at, not_before, expires_at, ack_timeout_ms, message_id, failure_policy,
    source, substr($14::bytea, (ord::integer - 1) * 32 + 1, 32), substr($15::bytea, body_begins, body_length)
  FROM judged
  WHERE fate = 'queued' AND (ord IN (SELECT n.ord FROM numbered n)) IS NOT TRUE
),
come AS (
  INSERT INTO late_orders (shard, room_id, order_number, at)
  SELECT j.shard, j.room_id, j.order_number, l.now FROM judged j CROSS JOIN locked l WHERE j.fate = 'late'
),
-- Each room as it will be.
left_as AS MATERIALIZED (
  SELECT
    c.room, c.shard, c.room_id, c.touched_at, c.changed,
    greatest(c.tail, n.tail) AS tail,
    coalesce(t.next_order, c.next_order) AS next_order,
    CASE
      WHEN t.moved IS NULL THEN CASE WHEN q.queued > 0 THEN coalesce(c.gap_since, l.now) ELSE c.gap_since END
      WHEN q.queued > t.moved OR c.gap_since >= 0 AND EXISTS (
        SELECT FROM parked p
        WHERE p.shard = c.shard AND p.room_id = c.room_id AND p.order_number >= t.next_order
      ) THEN l.now
    END AS gap_since
  FROM
    (
      SELECT
        room, min(shard) AS shard, min(room_id) AS room_id, min(tail) AS tail, min(next_order) AS next_order,
        nullif(min(gap_since), -1) AS gap_since, max(accepted_at) AS touched_at,
        bool_or((ord IN (SELECT j.ord FROM judged j WHERE j.fate <> 'order_conflict')) IS TRUE) AS changed
      FROM candidate
      GROUP BY room
    ) AS c
    CROSS JOIN locked l
    LEFT JOIN (SELECT room, max(sequence) AS tail FROM numbered GROUP BY room) AS n ON n.room = c.room
    LEFT JOIN (
      SELECT room, max(order_number) + 1 AS next_order, count(*) AS moved FROM run GROUP BY room
    ) AS t ON t.room = c.room
    LEFT JOIN (SELECT room, count(*) AS queued FROM queue GROUP BY room) AS q ON q.room = c.room
),
raised AS (
  UPDATE rooms r
  SET tail = a.tail, touched_at = a.touched_at, next_order = a.next_order, gap_since = a.gap_since
  FROM left_as a
  WHERE a.changed AND r.ctid = (SELECT places FROM locked)[a.room]
)
SELECT
  json_agg(json_build_array(
    c.ord,
    j.fate,
    coalesce(n.sequence, c.known_sequence, r.sequence),
    encode(c.known_digest, 'hex'),
    coalesce(c.parked_order, c.order_number),
    json_build_array(a.tail, a.next_order, a.gap_since)
  )) AS judged
FROM
  candidate c
  JOIN left_as a ON a.room = c.room
  LEFT JOIN judged j ON j.ord = c.ord
  LEFT JOIN numbered n ON n.ord = c.ord
  -- A copy of what was parked up to now.
  LEFT JOIN numbered r ON r.ord = 0 AND r.room = c.room AND r.order_number = c.parked_order

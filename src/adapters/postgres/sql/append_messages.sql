-- Numbers and inserts the messages of an append, and raises the tails of their rooms. Nothing happens unless all $1
-- rooms were locked before. This is a statement of its own, so that it sees what the former holder of the locks did.
--
-- For batches without any order of the publisher's: append_ordered.sql does the same for the others.
--
-- The locked rooms are an array [ord][id, tail, created_at, next order, gap since or -1]; all digests, of 32 bytes, and all
-- bodies are one string each. A message id is looked for among what waits and what settled since $2, but not before its
-- room came to be, nor later than now (an hour is allowed for clocks that differ): most days of the history need not be
-- opened. Where the room has a gap, it is looked for among what is parked, too.
--
-- Answers, `ord` counting the messages from 1: the sequence it has now, and the stored digest where it is known already;
-- a parked one has no sequence, but an order.
WITH locked AS MATERIALIZED (
  -- Unset where not one room was found.
  SELECT
    coalesce(nullif(current_setting('roomline.locked', true), ''), '{}')::bigint[] AS rooms
),
candidate AS MATERIALIZED (
  SELECT
    i.*, a.id AS room_id, a.tail,
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
        generate_subscripts($3::integer[], 1) AS ord
    ) AS i
    CROSS JOIN LATERAL (
      SELECT
        (SELECT rooms FROM locked)[i.room][1] AS id,
        (SELECT rooms FROM locked)[i.room][2] AS tail,
        greatest((SELECT rooms FROM locked)[i.room][3] - 3600000, $2::bigint) AS known_since,
        (SELECT rooms FROM locked)[i.room][5] AS gap_since
      OFFSET 0
    ) AS a
    LEFT JOIN LATERAL (
      SELECT m.sequence, m.digest FROM messages m
      WHERE -m.shard = -i.shard AND -m.room_id = -a.id AND m.message_id = i.message_id
      LIMIT 1
    ) AS waiting ON true
    LEFT JOIN LATERAL (
      SELECT h.sequence, h.digest FROM history h
      WHERE -h.shard = -i.shard AND -h.room_id = -a.id AND h.message_id = i.message_id
        AND h.settled_at >= a.known_since
        AND h.settled_at >= $2::bigint AND h.settled_at < (extract(epoch FROM now()) * 1000)::bigint + 3600000
      LIMIT 1
    ) AS settled ON waiting.sequence IS NULL
    LEFT JOIN LATERAL (
      SELECT p.order_number, p.digest FROM parked p
      WHERE a.gap_since >= 0 AND -p.shard = -i.shard AND -p.room_id = -a.id AND p.message_id = i.message_id
      LIMIT 1
    ) AS parked ON true
  WHERE coalesce(array_length((SELECT rooms FROM locked), 1), 0) = $1::integer
),
numbered AS MATERIALIZED (
  SELECT *, tail + row_number() OVER (PARTITION BY room ORDER BY ord) AS sequence
  FROM candidate
  WHERE known_digest IS NULL
),
inserted AS (
  INSERT INTO messages (
    shard, room_id, sequence, accepted_at, not_before, expires_at, ack_timeout_ms, message_id, failure_policy, source,
    digest, body
  )
  SELECT
    shard, room_id, sequence, accepted_at, not_before, expires_at, ack_timeout_ms, message_id, failure_policy, source,
    substr($14::bytea, (ord::integer - 1) * 32 + 1, 32), substr($15::bytea, body_begins, body_length)
  FROM numbered
),
raised AS (
  UPDATE rooms r
  SET tail = n.tail, touched_at = n.touched_at
  FROM
    (
      SELECT shard, room_id, max(sequence) AS tail, max(accepted_at) AS touched_at
      FROM numbered
      GROUP BY shard, room_id
    ) AS n,
    LATERAL (SELECT f.ctid FROM rooms f WHERE f.shard = n.shard AND f.id = n.room_id LIMIT 1) AS found
  WHERE r.ctid = found.ctid
)
SELECT ord, sequence, NULL::bytea AS known_digest, NULL::bigint AS parked_order FROM numbered
UNION ALL
SELECT ord, known_sequence, known_digest, parked_order FROM candidate WHERE known_digest IS NOT NULL

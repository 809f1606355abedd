-- Numbers and inserts the messages of an append, and raises the tails of their rooms. Nothing happens unless all $1
-- rooms were locked before. This is a statement of its own, so that it sees what the former holder of the locks did.
--
-- For batches without any order of the publisher's: append_ordered.sql does the same for the others.
--
-- The locked rooms are arrays, in the order in which $3 counts them: ids, tails, when they came to be, next orders, since
-- when they have a gap or -1, places, last settled sequences. All digests, of 32 bytes, and all bodies are one string each.
--
-- A message id is looked for among what waits, and among what settled since $2, but not before its room came to be, nor
-- later than now (a day is allowed for clocks that differ): most days of the history need not be opened. Where nothing
-- waits, or nothing has settled yet, there is nothing to look at; where the room has a gap, there is what is parked, too.
--
-- Answers in one row, `ord` counting the messages from 1:
--   ords, sequences: of those that are new
--   known:           of the others, [ord, sequence or null, the stored digest, the order of a parked one or null]
WITH locked AS MATERIALIZED (
  -- Empty where not one room was found.
  SELECT
    part[1]::bigint[] AS ids, part[2]::bigint[] AS tails, part[3]::bigint[] AS created_at, part[5]::bigint[] AS gap_since,
    part[6]::tid[] AS places, part[7]::bigint[] AS settled
  FROM string_to_array(current_setting('roomline.locked', true), ' ') AS part
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
        (SELECT ids FROM locked)[i.room] AS id,
        (SELECT tails FROM locked)[i.room] AS tail,
        (SELECT settled FROM locked)[i.room] AS settled,
        greatest((SELECT created_at FROM locked)[i.room] - 86400000, $2::bigint) AS known_since,
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
  FROM (SELECT room, max(sequence) AS tail, max(accepted_at) AS touched_at FROM numbered GROUP BY room) AS n
  WHERE r.ctid = (SELECT places FROM locked)[n.room]
)
SELECT
  array_agg(ord)::text AS ords, array_agg(sequence)::text AS sequences,
  (
    SELECT json_agg(json_build_array(ord, known_sequence, encode(known_digest, 'hex'), parked_order))
    FROM candidate
    WHERE known_digest IS NOT NULL
  ) AS known
FROM numbered

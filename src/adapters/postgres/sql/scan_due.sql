-- What scan_due_of_few finds, for many shards, as one pass over the table: that reads each of its blocks once, where the
-- index would lead to the block of every room by itself. From just behind the place $2 up to the place $3, in the order
-- in which rows lie there, at most $4. A row that is written to meanwhile may move: whoever wrote it looks after its room,
-- and so does the next sweep.
--
-- At least one row comes, with how many blocks the table has.
WITH page AS MATERIALIZED (
  SELECT r.*, r.ctid AS place
  FROM rooms r
  WHERE r.ctid > $2::tid AND r.ctid < $3::tid
    -- First what most rooms are.
    AND NOT (r.phase = 'idle' AND r.settled = r.tail AND r.gap_since IS NULL)
    AND (r.shard IN (SELECT unnest($1::integer[]))) IS TRUE
    AND (
      r.phase = 'sending'
      OR r.until <= $6
      OR r.gap_since IS NOT NULL
      OR (
        r.tail > r.settled AND NOT r.paused
        AND (r.phase IN ('idle', 'ready') OR (r.phase = 'waiting' AND r.reason = 'channel'))
      )
      OR (
        r.phase IN ('waiting', 'backing_off')
        AND (
          SELECT m.expires_at <= $6 FROM messages m
          WHERE m.shard = r.shard AND m.room_id = r.id AND m.sequence = r.settled + 1
        )
      )
    )
  ORDER BY r.ctid
  LIMIT $4
)
SELECT b.blocks, f.*
FROM
  (SELECT pg_relation_size('rooms') / current_setting('block_size')::bigint AS blocks) AS b
  LEFT JOIN (
    SELECT r.*, e.envelopes
    FROM
      page r,
      LATERAL (
        SELECT coalesce(json_agg(json_build_array(
          m.sequence, m.message_id, m.accepted_at, m.not_before, m.expires_at, m.ack_timeout_ms, m.failure_policy,
          m.cancelled_by
        ) ORDER BY m.sequence), '[]') AS envelopes
        FROM (
          SELECT * FROM messages m
          WHERE m.shard = r.shard AND m.room_id = r.id AND m.sequence > r.settled
          ORDER BY m.sequence
          LIMIT $5
        ) AS m
      ) AS e
  ) AS f ON true
ORDER BY f.place

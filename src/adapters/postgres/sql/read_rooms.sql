-- Rooms by their addresses, resting ones too, each with the envelopes of its head and the next few, at most $4; those of
-- $3 with the body of a head of which nothing is under way. `ord` counts those asked for from 1.
SELECT w.ord, r.*, e.envelopes,
  CASE WHEN w.with_body AND r.phase IN ('idle', 'ready', 'waiting') THEN (
    SELECT h.body FROM messages h
    WHERE h.shard = r.shard AND h.room_id = r.id AND h.sequence = r.settled + 1
  ) END AS head_body
FROM
  unnest($1::integer[], $2::bigint[], $3::boolean[]) WITH ORDINALITY AS w (shard, id, with_body, ord),
  LATERAL (
    SELECT * FROM rooms a WHERE a.shard = w.shard AND a.id = w.id
    UNION ALL
    SELECT * FROM resting_rooms b WHERE b.shard = w.shard AND b.id = w.id
    LIMIT 1
  ) AS r,
  LATERAL (
    SELECT coalesce(json_agg(json_build_array(
      m.sequence, m.message_id, m.accepted_at, m.not_before, m.expires_at, m.ack_timeout_ms, m.failure_policy,
      m.cancelled_by
    ) ORDER BY m.sequence), '[]') AS envelopes
    FROM (
      SELECT * FROM messages m
      WHERE m.shard = r.shard AND m.room_id = r.id AND m.sequence > r.settled
      ORDER BY m.sequence
      LIMIT $4
    ) AS m
  ) AS e

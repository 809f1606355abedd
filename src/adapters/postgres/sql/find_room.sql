-- One room by its key, a resting one too, with the envelopes of its head and the next few, at most $5.
SELECT r.*, e.envelopes
FROM
  (
    SELECT * FROM rooms a WHERE -a.shard = -$1::integer AND a.tenant = $2 AND a.channel = $3 AND a.room = $4
    UNION ALL
    SELECT * FROM resting_rooms b WHERE -b.shard = -$1::integer AND b.tenant = $2 AND b.channel = $3 AND b.room = $4
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
      LIMIT $5
    ) AS m
  ) AS e

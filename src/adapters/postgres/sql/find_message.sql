-- Where a message of a room is, by its id: its sequence, or what is known of it while it is parked. One snapshot: what
-- moves meanwhile is seen in one place.
(
  SELECT
    sequence, NULL::bigint AS order_number, NULL::bigint AS accepted_at, NULL::bigint AS not_before,
    NULL::bigint AS expires_at, NULL::bytea AS body
  FROM messages
  WHERE -shard = -$1::integer AND -room_id = -$2::bigint AND message_id = $3
)
UNION ALL
(
  SELECT NULL, order_number, accepted_at, not_before, expires_at, body
  FROM parked
  WHERE -shard = -$1::integer AND -room_id = -$2::bigint AND message_id = $3
)
UNION ALL
(
  SELECT sequence, NULL, NULL, NULL, NULL, NULL
  FROM history
  WHERE -shard = -$1::integer AND -room_id = -$2::bigint AND message_id = $3
)
LIMIT 1

-- Messages of a room without their bodies, oldest first, with sequences above $3, at most $4. Those that wait have no outcome.
(
  SELECT
    shard, room_id, sequence, accepted_at, message_id, order_number, late_order,
    not_before, expires_at, ack_timeout_ms, failure_policy, cancelled_by,
    NULL::bigint AS settled_at, NULL::bigint AS level_at, NULL::bigint AS platform_at,
    NULL::bigint AS first_claim_version, NULL::bigint AS settle_version, NULL::integer AS revision,
    NULL::outcome AS outcome, NULL::ack_level AS level, NULL::boolean AS possibly_delivered,
    NULL AS reason, NULL AS code, NULL AS late_nack_code, NULL AS platform_id, NULL::json AS attempts
  FROM messages
  WHERE shard = $1 AND room_id = $2 AND sequence > $3
  ORDER BY sequence ASC
  LIMIT $4
)
UNION ALL
(
  SELECT
    shard, room_id, sequence, accepted_at, message_id, order_number, late_order,
    NULL, NULL, NULL, NULL, NULL,
    settled_at, level_at, platform_at,
    first_claim_version, settle_version, revision,
    outcome, level, possibly_delivered,
    reason, code, late_nack_code, platform_id, attempts
  FROM history
  WHERE shard = $1 AND room_id = $2 AND sequence > $3
  ORDER BY sequence ASC
  LIMIT $4
)
ORDER BY sequence ASC
LIMIT $4

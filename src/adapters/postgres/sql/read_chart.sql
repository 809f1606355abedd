-- What all channels of the tenants $1 did from $2 up to $3, in steps of $4 ms.
SELECT
  minute - (minute - $2::bigint) % $4::bigint AS at,
  sum_counts(totals) AS totals,
  sum_counts(accept_to_first_send) AS accept_to_first_send,
  sum_counts(ack_to_next_send) AS ack_to_next_send,
  sum_counts(ack_delay) AS ack_delay,
  sum_counts(accept_to_settled) AS accept_to_settled
FROM channel_minutes
WHERE tenant = ANY ($1::text[]) AND minute >= $2::bigint AND minute < $3::bigint
GROUP BY 1
ORDER BY 1

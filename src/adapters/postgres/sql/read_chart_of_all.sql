-- What all channels did from $1 up to $2, in steps of $3 ms.
SELECT
  minute - (minute - $1::bigint) % $3::bigint AS at,
  sum_counts(totals) AS totals,
  sum_counts(accept_to_first_send) AS accept_to_first_send,
  sum_counts(ack_to_next_send) AS ack_to_next_send,
  sum_counts(ack_delay) AS ack_delay,
  sum_counts(accept_to_settled) AS accept_to_settled
FROM channel_minutes
WHERE minute >= $1::bigint AND minute < $2::bigint
GROUP BY 1
ORDER BY 1

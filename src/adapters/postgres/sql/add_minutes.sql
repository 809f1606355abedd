-- Adds what worker $1 counted to the minutes $4, unless it has added number $2 before; $3 is the time of now.
WITH numbered AS (
  INSERT INTO pipeline_parts AS p (worker, as_of, added) VALUES ($1, $3, $2)
  ON CONFLICT (worker) DO UPDATE SET added = excluded.added WHERE p.added < excluded.added
  RETURNING added
)
INSERT INTO channel_minutes AS m (
  tenant, channel, minute, totals, accept_to_first_send, ack_to_next_send, ack_delay, accept_to_settled
)
SELECT r.tenant, r.channel, r.minute, r.totals, r.accept_to_first_send, r.ack_to_next_send, r.ack_delay, r.accept_to_settled
FROM numbered, jsonb_to_recordset($4::jsonb) AS r (
  tenant text, channel text, minute bigint, totals bigint[],
  accept_to_first_send bigint[], ack_to_next_send bigint[], ack_delay bigint[], accept_to_settled bigint[]
)
ORDER BY r.tenant, r.channel, r.minute
ON CONFLICT (tenant, channel, minute) DO UPDATE SET
  totals = add_counts(m.totals, excluded.totals),
  accept_to_first_send = add_counts(m.accept_to_first_send, excluded.accept_to_first_send),
  ack_to_next_send = add_counts(m.ack_to_next_send, excluded.ack_to_next_send),
  ack_delay = add_counts(m.ack_delay, excluded.ack_delay),
  accept_to_settled = add_counts(m.accept_to_settled, excluded.accept_to_settled)

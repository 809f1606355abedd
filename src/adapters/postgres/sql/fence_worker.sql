-- Fences a worker whose lease has ended, or has more than its whole life left after the clock was set back. Its heartbeat row is written first, so that a renewal under way is waited for and
-- seen, and one that comes later finds the lease ended. A lock would not do: a renewal that has judged the lease, and has
-- then waited for a row that is still the same, judges no more. Then the fence row: it waits for the worker's open batches.
WITH ended AS (
  UPDATE workers SET lease_until = lease_until WHERE worker = $1
    AND (lease_until <= clock_timestamp() OR lease_until > clock_timestamp() + (lease_ms + 1000) * interval '1 ms')
  RETURNING worker
)
UPDATE fences f SET fenced = true FROM ended e WHERE f.worker = e.worker

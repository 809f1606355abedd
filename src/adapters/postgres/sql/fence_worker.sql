-- Fences a worker whose lease has ended. Its heartbeat row is locked first, so that a renewal under way is waited for and
-- seen, and one that comes later finds the lease ended. Then the fence row: it waits for the worker's open batches.
WITH ended AS MATERIALIZED (
  SELECT worker FROM workers WHERE worker = $1 AND lease_until <= clock_timestamp() FOR NO KEY UPDATE
)
UPDATE fences f SET fenced = true FROM ended e WHERE f.worker = e.worker

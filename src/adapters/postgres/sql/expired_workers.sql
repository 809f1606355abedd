-- Workers whose lease has ended and that still have shards or an open fence.
SELECT w.worker
FROM workers w JOIN fences f USING (worker)
WHERE w.lease_until <= clock_timestamp()
  AND (NOT f.fenced OR EXISTS (SELECT FROM shards s WHERE s.owner = w.worker))
ORDER BY w.worker

-- Workers whose lease has ended and that are not fenced yet.
SELECT w.worker
FROM workers w JOIN fences f USING (worker)
WHERE w.lease_until <= clock_timestamp() AND NOT f.fenced
ORDER BY w.worker

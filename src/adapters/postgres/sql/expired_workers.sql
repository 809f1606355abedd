-- Workers that are not fenced yet and whose lease has ended, or has more than its whole life left: the clock was set back.
SELECT w.worker, floor(extract(epoch FROM w.lease_until - clock_timestamp()) * 1000)::bigint AS lease_left
FROM workers w JOIN fences f USING (worker)
WHERE NOT f.fenced
  AND (w.lease_until <= clock_timestamp() OR w.lease_until > clock_timestamp() + (w.lease_ms + 1000) * interval '1 ms')
ORDER BY w.worker

-- Processes that are not fenced.
SELECT
  w.worker, w.name, w.roles, coalesce(o.weight, w.weight) AS weight, w.draining,
  floor(extract(epoch FROM w.lease_until - clock_timestamp()) * 1000)::bigint AS lease_left
FROM workers w
JOIN fences f USING (worker)
LEFT JOIN worker_weights o USING (name)
WHERE NOT f.fenced
ORDER BY w.worker

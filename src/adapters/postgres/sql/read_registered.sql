-- Processes that are not fenced, with what an operator is shown of them.
SELECT
  w.worker, w.name, w.roles, w.draining, w.weight AS own_weight, o.weight AS operator_weight, f.generation,
  floor(extract(epoch FROM w.registered_at) * 1000)::bigint AS registered_at,
  floor(extract(epoch FROM w.lease_until - clock_timestamp()) * 1000)::bigint AS lease_left
FROM workers w
JOIN fences f USING (worker)
LEFT JOIN worker_weights o USING (name)
WHERE NOT f.fenced
ORDER BY w.worker

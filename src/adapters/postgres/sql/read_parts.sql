-- What processes tell of themselves, of those that are not fenced; leases are judged by this database's clock.
SELECT w.worker, w.name, w.lease_until > clock_timestamp() AS is_alive, p.part
FROM workers w
JOIN fences f USING (worker)
LEFT JOIN pipeline_parts p USING (worker)
WHERE NOT f.fenced
ORDER BY w.worker

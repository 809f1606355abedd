-- Renews a lease that has not ended, of a worker that is not fenced. The fence row is only read.
UPDATE workers w
SET lease_until = clock_timestamp() + $2 * interval '1 ms'
WHERE w.worker = $1 AND w.lease_until > clock_timestamp()
  AND NOT EXISTS (SELECT FROM fences f WHERE f.worker = w.worker AND f.fenced)
RETURNING floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS database_time

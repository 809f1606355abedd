-- A new process: its lease of $2 ms and its open fence.
WITH worker AS (
  INSERT INTO workers (worker, lease_until, name, roles, weight)
  VALUES ($1, clock_timestamp() + $2 * interval '1 ms', $3, $4, $5)
  RETURNING worker
)
INSERT INTO fences (worker) SELECT worker FROM worker
RETURNING generation, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS database_time

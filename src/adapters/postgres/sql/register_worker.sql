-- A new process: its lease of $2 ms and its open fence; $6 says which signals it hears.
WITH worker AS (
  INSERT INTO workers (worker, lease_until, lease_ms, name, roles, weight, hears)
  VALUES ($1, clock_timestamp() + $2::integer * interval '1 ms', $2, $3, $4, $5, $6)
  RETURNING worker
)
INSERT INTO fences (worker) SELECT worker FROM worker
RETURNING generation, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS database_time

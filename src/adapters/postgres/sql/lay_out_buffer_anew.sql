-- Makes the partitions 0 to $1 - 1 of the buffer instead of those that are there, unless somebody consumes. What was
-- inserted of a partition that stays is known by its cursor. Answers whether that was done.
WITH alone AS MATERIALIZED (
  SELECT FROM (SELECT) AS one
  WHERE NOT EXISTS (SELECT FROM buffer_consumers WHERE lease_until > clock_timestamp())
),
removed AS (
  DELETE FROM buffer_partitions WHERE partition >= $1::integer AND EXISTS (SELECT FROM alone)
),
made AS (
  INSERT INTO buffer_partitions (partition)
  SELECT generate_series(0, $1::integer - 1) FROM alone
  ON CONFLICT DO NOTHING
)
SELECT EXISTS (SELECT FROM alone) AS done

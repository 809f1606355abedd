-- Partitions for the days from yesterday to $1 days ahead, by the database's clock.
SELECT make_history_partitions(
  (now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + $1::integer
) AS made

-- Consumer $1 lives for $2 ms from now on, and so does what it holds. Answers all partitions of the buffer, and how many
-- consumers there are.
WITH beat AS (
  INSERT INTO buffer_consumers (consumer, lease_until)
  VALUES ($1::text, clock_timestamp() + $2::double precision * interval '1 ms')
  ON CONFLICT (consumer) DO UPDATE SET lease_until = excluded.lease_until
),
gone AS (
  DELETE FROM buffer_consumers
  WHERE lease_until < clock_timestamp() - interval '1 minute' AND consumer <> $1::text
),
renewed AS (
  UPDATE buffer_partitions SET lease_until = clock_timestamp() + $2::double precision * interval '1 ms'
  WHERE consumer = $1::text
)
SELECT
  p.partition, p.term, p.cursor, p.history, p.consumer IS NOT DISTINCT FROM $1::text AS held,
  p.consumer IS NULL OR p.lease_until < clock_timestamp() AS free,
  (
    SELECT count(*)::integer FROM buffer_consumers c
    WHERE c.lease_until >= clock_timestamp() AND c.consumer <> $1::text
  ) + 1 AS consumers
FROM buffer_partitions p
ORDER BY p.partition

-- Consumer $1 takes those of the partitions $2 that have no living consumer, for $3 ms.
UPDATE buffer_partitions
SET consumer = $1::text, term = term + 1, lease_until = clock_timestamp() + $3::double precision * interval '1 ms'
WHERE partition = ANY ($2::integer[]) AND (consumer IS NULL OR lease_until < clock_timestamp())
RETURNING partition, term, cursor, history

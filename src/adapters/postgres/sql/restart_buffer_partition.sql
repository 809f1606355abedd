-- Partition $1 in term $2, whose cursor is $3, gets the stream of history $5; what that holds is read after $4.
UPDATE buffer_partitions SET cursor = $4::text, history = $5::text
WHERE partition = $1::integer AND term = $2::bigint AND cursor = $3::text
RETURNING 1

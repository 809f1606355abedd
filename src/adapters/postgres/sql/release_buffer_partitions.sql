-- Consumer $1 gives back those of the partitions $2 that it holds; null: all.
UPDATE buffer_partitions SET consumer = NULL, lease_until = NULL
WHERE consumer = $1::text AND ($2::integer[] IS NULL OR partition = ANY ($2::integer[]))

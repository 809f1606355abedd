-- Those of the shards that belong to a process with a lease.
SELECT s.shard
FROM shards s
JOIN workers w ON w.worker = s.owner
JOIN fences f ON f.worker = s.owner
WHERE s.shard = ANY ($1::integer[]) AND NOT f.fenced AND w.lease_until > clock_timestamp()

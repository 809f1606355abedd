-- Which workers have been fenced, and when their leases ended:
--   psql -At -c "SELECT row_to_json(w) FROM ($(cat fence-rows.sql)) w" > fences.ndjson
SELECT worker, fenced, extract(epoch FROM lease_until)::float8 * 1000 AS "leaseUntil"
FROM fences LEFT JOIN workers USING (worker)

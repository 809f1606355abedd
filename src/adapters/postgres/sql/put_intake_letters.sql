-- Payloads that intake refused, each once.
INSERT INTO dead_letters (at, kind, reason, detail, payload, attributes, dedupe_key)
SELECT at, 'intake', reason, detail, payload, attributes, dedupe_key
FROM ROWS FROM (
  unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::bytea[]), json_array_elements($6::json)
) AS l (at, reason, detail, payload, dedupe_key, attributes)
ORDER BY dedupe_key
ON CONFLICT (dedupe_key) DO NOTHING

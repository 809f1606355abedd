-- Payloads that intake refused, each once.
INSERT INTO dead_letters (at, kind, reason, detail, payload, attributes, dedupe_key, fingerprint)
SELECT at, 'intake', reason, detail, payload, attributes, dedupe_key, fingerprint
FROM ROWS FROM (
  unnest($1::bigint[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[]), json_array_elements($7::json)
) AS l (at, reason, detail, payload, dedupe_key, fingerprint, attributes)
ORDER BY dedupe_key
ON CONFLICT (dedupe_key) DO NOTHING

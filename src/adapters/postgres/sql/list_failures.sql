-- The failures that were seen last, at most $1, of channel ($2, $3) where that is given, of the tenants $5 where
-- those are, seen since $4.
SELECT * FROM failures
WHERE ($3::text IS NULL OR (tenant = $2 AND channel = $3)) AND ($5::text[] IS NULL OR tenant = ANY ($5::text[]))
  AND last_seen >= $4
ORDER BY last_seen DESC, fingerprint
LIMIT $1

-- Newest first, with ids below $1, at most $2, of subject $3 where that is given.
SELECT id, at, actor, action, subject, detail, request_id
FROM audit
WHERE id < $1 AND ($3::text IS NULL OR subject = $3)
ORDER BY id DESC
LIMIT $2

-- Forgets recipients that were noted before $1, at most $2.
DELETE FROM recipients
WHERE ctid = ANY (ARRAY(SELECT ctid FROM recipients WHERE seen_at < $1 ORDER BY seen_at LIMIT $2))

INSERT INTO audit (at, actor, action, subject, detail, request_id)
VALUES (floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, $1, $2, $3, $4::jsonb, $5)

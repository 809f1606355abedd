-- Closes those of these dead letters that are open, and notes it where there was one. Answers their ids.
WITH discarded AS (
  UPDATE dead_letters SET closed_as = 'discarded', closed_at = $2, closed_by = $3
  WHERE id = ANY ($1::bigint[]) AND closed_as IS NULL
  RETURNING id
),
noted AS (
  INSERT INTO audit (at, actor, action, subject, detail, request_id)
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, $3, $4, $5, $6::jsonb, $7
  WHERE EXISTS (SELECT FROM discarded)
)
SELECT id FROM discarded

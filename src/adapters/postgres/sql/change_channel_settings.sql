-- Stores settings $3 of a channel whose settings are those of revision $9. Answers no row where they are not.
WITH change AS (
  UPDATE channel_settings_revision SET revision = revision + 1
  RETURNING revision, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at
),
written AS (
  UPDATE channel_settings c
  SET settings = $3::jsonb, revision = n.revision, updated_at = n.at, updated_by = $4
  FROM change n
  WHERE c.tenant = $1 AND c.channel = $2 AND c.revision = $9
  RETURNING c.revision, c.updated_at
)
INSERT INTO audit (at, actor, action, subject, detail, request_id)
SELECT updated_at, $4, $5, $6, $7::jsonb, $8 FROM written
RETURNING (SELECT revision FROM written) AS revision, at

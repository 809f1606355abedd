-- Removes a channel whose settings are those of revision $8, and what is remembered of its condition. Answers no row
-- where they are not.
WITH change AS (
  UPDATE channel_settings_revision SET revision = revision + 1
  RETURNING revision, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at
),
removed AS (
  DELETE FROM channel_settings c USING change n
  WHERE c.tenant = $1 AND c.channel = $2 AND c.revision = $8
  RETURNING n.revision, n.at
),
forgotten AS (
  DELETE FROM channels c USING removed r WHERE c.tenant = $1 AND c.channel = $2
)
INSERT INTO audit (at, actor, action, subject, detail, request_id)
SELECT at, $3, $4, $5, $6::jsonb, $7 FROM removed
RETURNING (SELECT revision FROM removed) AS revision, at

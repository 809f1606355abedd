-- Stores settings $3 of a channel that has none. Answers no row where it has some.
WITH change AS (
  UPDATE channel_settings_revision SET revision = revision + 1
  RETURNING revision, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at
),
written AS (
  INSERT INTO channel_settings (tenant, channel, settings, revision, updated_at, updated_by)
  SELECT $1, $2, $3::jsonb, revision, at, $4 FROM change
  ON CONFLICT DO NOTHING
  RETURNING revision, updated_at
)
INSERT INTO audit (at, actor, action, subject, detail, request_id)
SELECT updated_at, $4, $5, $6, $7::jsonb, $8 FROM written
RETURNING (SELECT revision FROM written) AS revision, at

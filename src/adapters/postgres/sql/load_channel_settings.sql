-- All stored channels, and the number of the last change of any: one row without a channel where there is none.
SELECT r.revision AS latest, c.tenant, c.channel, c.settings, c.revision, c.updated_at, c.updated_by
FROM channel_settings_revision r LEFT JOIN channel_settings c ON true

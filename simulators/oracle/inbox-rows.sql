-- Acks that wait for a message, and those whose message is known by now:
--   psql -At -c "SELECT row_to_json(i) FROM ($(cat inbox-rows.sql)) i" > inbox.ndjson
SELECT channel, platform_id AS "platformId", level, nack IS NOT NULL AS failed
FROM platform_ids
WHERE kept_at IS NOT NULL

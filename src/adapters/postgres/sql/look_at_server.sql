-- What the session says of the server that it is on, at this moment. Identifiers are wider than a number is exact.
SELECT
  pg_is_in_recovery() AS in_recovery,
  floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS database_time,
  s.system_identifier::text AS stored_system_identifier, s.timeline AS stored_timeline,
  i.system_identifier::text AS seen_system_identifier, i.timeline AS seen_timeline,
  json_build_object(
    'fsync', current_setting('fsync'),
    'full_page_writes', current_setting('full_page_writes'),
    'synchronous_commit', current_setting('synchronous_commit'),
    'default_transaction_isolation', current_setting('default_transaction_isolation'),
    'server_version_num', current_setting('server_version_num')
  ) AS settings
FROM settings s, cluster_identity() i

-- What operators decided about the database, newest first.
SELECT at, decision, decided_by, reason,
  old_system_identifier::text AS old_system_identifier, old_timeline,
  new_system_identifier::text AS new_system_identifier, new_timeline, rooms_open, rooms_changed
FROM database_decisions
ORDER BY id DESC
LIMIT $1

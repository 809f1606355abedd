-- Records what an operator decided and, with $6 and $7, which cluster and timeline are the right ones from now on; only
-- where those stored are still the ones that the operator was shown ($4, $5). Answers no row where they are not.
WITH before AS MATERIALIZED (
  SELECT singleton, system_identifier, timeline FROM settings
  WHERE system_identifier IS NOT DISTINCT FROM $4::bigint AND timeline IS NOT DISTINCT FROM $5::integer
  FOR UPDATE
),
changed AS (
  UPDATE settings s SET system_identifier = $6::bigint, timeline = $7::integer FROM before b
  WHERE s.singleton = b.singleton
  RETURNING s.singleton
)
INSERT INTO database_decisions (
  decision, decided_by, reason, old_system_identifier, old_timeline, new_system_identifier, new_timeline,
  rooms_open, rooms_changed
)
SELECT $1, $2, $3, $4::bigint, $5::integer, $6::bigint, $7::integer, $8::integer, $9::integer FROM changed
RETURNING id

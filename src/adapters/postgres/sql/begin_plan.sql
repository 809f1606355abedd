-- Takes the right to plan for the present membership, for two seconds; nothing where that is planned, or another is at it.
UPDATE fleet
SET planner = $1, planner_until = clock_timestamp() + interval '2 s'
WHERE planned < membership AND (
  planner IS NULL OR planner = $1 OR planner_until <= clock_timestamp()
  -- The clock was set back.
  OR planner_until > clock_timestamp() + interval '3 s'
)
RETURNING membership

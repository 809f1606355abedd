-- Rooms that have an unsettled message, by phase and reason.
SELECT phase::text AS phase, reason, count(*)::integer AS rooms, sum(tail - settled)::bigint AS messages
FROM rooms
WHERE tail > settled
GROUP BY 1, 2
ORDER BY 1, 2

-- Rooms that have an unsettled message, and such messages, by shard. Reads the hot table as a whole.
SELECT shard, count(*)::integer AS rooms, sum(tail - settled)::bigint AS waiting
FROM rooms
WHERE tail > settled
GROUP BY shard

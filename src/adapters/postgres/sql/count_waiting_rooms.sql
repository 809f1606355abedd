-- Rooms of a channel that have an unsettled message.
SELECT count(*)::integer AS rooms FROM rooms WHERE tenant = $1 AND channel = $2 AND tail > settled

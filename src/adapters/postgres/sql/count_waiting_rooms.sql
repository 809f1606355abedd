-- Rooms of a channel that have an unsettled message, or a parked one.
SELECT count(*)::integer AS rooms FROM rooms WHERE tenant = $1 AND channel = $2 AND (tail > settled OR gap_since IS NOT NULL)

-- The newest change of a channel's condition stays, in whichever order they arrive.
INSERT INTO channels (tenant, channel, condition, saved_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, channel) DO UPDATE SET condition = excluded.condition, saved_at = excluded.saved_at
WHERE channels.saved_at <= excluded.saved_at

SELECT tenant, channel, condition, saved_at FROM channels

SELECT tenant, channel, condition FROM channels

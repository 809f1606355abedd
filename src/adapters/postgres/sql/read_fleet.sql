SELECT membership, planned, floor(extract(epoch FROM changed_at) * 1000)::bigint AS changed_at FROM fleet

-- Puts rooms on the list of worker $1, or back under what they are doing now.
INSERT INTO lingering_rooms (worker, shard, id, since, phase, tenant, channel)
SELECT $1, shard, id, since, phase::phase, tenant, channel
FROM unnest($2::integer[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[])
  AS r (shard, id, since, phase, tenant, channel)
ON CONFLICT (shard, id, worker) DO UPDATE
  SET since = excluded.since, phase = excluded.phase, tenant = excluded.tenant, channel = excluded.channel

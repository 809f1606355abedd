-- Rooms of all channels of the tenants $1, in the order of the phases $2, those of a phase by (since, id): each phase from its
-- mark in $3 and $4 on, those there since $5 at the latest, at most $6.
SELECT l.shard, l.id, l.tenant, l.channel, l.phase::text, l.since
FROM unnest($2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS p (phase, after_since, after_id, place)
CROSS JOIN unnest($1::text[]) AS t (tenant)
CROSS JOIN LATERAL (
  SELECT shard, id, tenant, channel, phase, since
  FROM lingering_rooms
  WHERE tenant = t.tenant AND phase = p.phase::phase AND (since, id) > (p.after_since, p.after_id) AND since <= $5
  ORDER BY since, id
  LIMIT $6
) AS l
ORDER BY p.place, l.since, l.id
LIMIT $6

-- Adds what a process has counted. In the order of the fingerprints, so that two processes never wait for each other.
INSERT INTO failures AS f (
  fingerprint, tenant, channel, code, kind, count, dead_letters, first_seen, last_seen,
  sample_shard, sample_room_id, sample_sequence
)
SELECT * FROM unnest(
  $1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
  $10::integer[], $11::bigint[], $12::bigint[]
) AS n (
  fingerprint, tenant, channel, code, kind, count, dead_letters, first_seen, last_seen, shard, room_id, sequence
)
ORDER BY n.fingerprint
ON CONFLICT (fingerprint) DO UPDATE SET
  count = f.count + excluded.count,
  dead_letters = f.dead_letters + excluded.dead_letters,
  first_seen = least(f.first_seen, excluded.first_seen),
  last_seen = greatest(f.last_seen, excluded.last_seen),
  sample_shard = coalesce(excluded.sample_shard, f.sample_shard),
  sample_room_id = coalesce(excluded.sample_room_id, f.sample_room_id),
  sample_sequence = coalesce(excluded.sample_sequence, f.sample_sequence)

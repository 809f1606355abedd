-- Links dead letters to the messages that they were replayed as. One that was discarded meanwhile was replayed all the
-- same; one that is linked keeps its link.
UPDATE dead_letters d
SET closed_as = 'replayed', closed_at = $5, closed_by = $6, replay_shard = r.shard, replay_room_id = r.room_id,
  replay_sequence = r.sequence
FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[]) AS r (id, shard, room_id, sequence)
WHERE d.id = r.id AND d.closed_as IS DISTINCT FROM 'replayed'

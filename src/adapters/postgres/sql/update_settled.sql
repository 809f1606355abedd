-- What a late ack or nack changed of a settled message, where its revision is still $5. A dead letter goes with it.
WITH changed AS (
  UPDATE history h
  SET outcome = $6, level = $7, level_at = $8, late_nack_code = $9, revision = h.revision + 1
  WHERE h.shard = $1 AND h.room_id = $2 AND h.sequence = $3 AND h.settled_at = $4 AND h.revision = $5
  RETURNING h.shard, h.room_id, h.sequence
),
buried AS (
  INSERT INTO dead_letters (at, kind, reason, detail, tenant, channel, shard, room_id, sequence)
  SELECT $10::bigint, 'message', $11, $9, $12, $13, shard, room_id, sequence FROM changed WHERE $11::text IS NOT NULL
)
SELECT count(*) AS changed FROM changed

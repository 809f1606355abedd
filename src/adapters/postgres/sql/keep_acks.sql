-- Keeps acks of platform ids that nothing has named: the highest level with its time, the first failure, and since when
-- the first of them waits. Where an acceptance came between, the answer says where the id leads.
INSERT INTO platform_ids AS p (tenant, channel, platform_id, level, nack, at, kept_at)
SELECT $1, $2, platform_id, level, nullif(nack::text, 'null')::json, at, $3
FROM
  (
    SELECT
      unnest($4::text[]) AS platform_id, unnest($5::text[])::ack_level AS level, unnest($6::bigint[]) AS at,
      json_array_elements($7::json) AS nack
  ) AS a
ORDER BY platform_id COLLATE "C"
ON CONFLICT (tenant, channel, platform_id) DO UPDATE SET
  level = greatest(p.level, excluded.level),
  at = CASE WHEN p.level >= excluded.level THEN p.at ELSE excluded.at END,
  nack = coalesce(p.nack, excluded.nack),
  kept_at = coalesce(p.kept_at, excluded.kept_at)
RETURNING platform_id, shard, room_id, sequence

-- Every message of Roomline's database as the oracle wants it. One JSON object per line:
--   psql -At -c "SELECT row_to_json(f) FROM ($(cat final-rows.sql)) f" > final.ndjson
SELECT
  h.message_id AS key, r.room, r.channel, h.sequence, h.outcome, h.reason, h.level,
  coalesce(h.late_nack_code, h.code) AS failure, h.attempts,
  nullif(h.first_claim_version, 0) AS "claimVersion", h.settle_version AS "settleVersion",
  h.accepted_at AS "acceptedAt", h.settled_at AS "settledAt", false AS held,
  coalesce(d.letters, 0) AS "deadLetters",
  floor(extract(epoch FROM statement_timestamp()) * 1000) AS "readAt"
FROM
  (
    SELECT shard, id, room, channel FROM rooms
    UNION ALL
    SELECT shard, id, room, channel FROM resting_rooms
  ) AS r
  JOIN history h ON h.shard = r.shard AND h.room_id = r.id
  LEFT JOIN (
    SELECT shard, room_id, sequence, count(*) AS letters FROM dead_letters WHERE kind = 'message' GROUP BY 1, 2, 3
  ) AS d ON d.shard = h.shard AND d.room_id = h.room_id AND d.sequence = h.sequence
UNION ALL
-- Only the head of a room can have been sent.
SELECT
  m.message_id, r.room, r.channel, m.sequence, NULL, NULL, CASE WHEN head THEN r.level ELSE 'none' END,
  CASE WHEN head THEN r.nack ->> 'code' END, CASE WHEN head THEN r.attempts ELSE '[]' END,
  CASE WHEN head THEN nullif(r.first_claim_version, 0) END, NULL,
  m.accepted_at, NULL, r.phase = 'held' OR r.paused, 0,
  floor(extract(epoch FROM statement_timestamp()) * 1000)
FROM rooms r, messages m, LATERAL (SELECT m.sequence = r.settled + 1) AS h (head)
WHERE m.shard = r.shard AND m.room_id = r.id
ORDER BY channel, room, sequence

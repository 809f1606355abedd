-- Stores the next state of rooms, each only where its row still has the version that the state was decided from, and
-- with it what the decision said of messages. Rows that somebody else has locked are left alone: waiting for them would
-- stall the batch and let two batches wait for each other.
--
-- A claim also needs its proof: the worker's own fence row, locked FOR SHARE until this statement has committed. A
-- take-over that raises the fence therefore waits for this batch, or this batch waits for it, sees the fence as it then
-- is, and claims nothing. Batches without claims never touch the fence.
--
-- Answers one row per write, `ord` counting from 1:
--   tail      of the row that was written; null where it was not
--   version   that the row of an unwritten room has; null where it has none
--   unproved  the write claims and the proof does not hold
--   inbox     acks that waited for platform ids which this write made known: [platform id, level, nack, at]
WITH proof AS MATERIALIZED (
  SELECT FROM fences WHERE worker = $1 AND generation = $2 AND NOT fenced FOR SHARE
),
target AS (
  SELECT * FROM unnest($3::integer[], $4::bigint[], $5::bigint[], $6::boolean[])
    WITH ORDINALITY AS t (shard, id, expected_version, claims, ord)
),
taken AS MATERIALIZED (
  SELECT t.ord, r.shard, r.id
  FROM target t
  JOIN rooms r ON r.shard = t.shard AND r.id = t.id AND r.version = t.expected_version
  WHERE NOT t.claims OR EXISTS (SELECT FROM proof)
  FOR NO KEY UPDATE OF r SKIP LOCKED
),
next AS (
  SELECT *
  FROM ROWS FROM (
    unnest(
      $7::bigint[], $8::phase[], $9::bigint[], $10::boolean[], $11::bigint[], $12::text[], $13::bigint[],
      $14::bigint[], $15::integer[], $16::integer[], $17::ack_level[], $18::bigint[], $19::text[], $20::bigint[],
      $21::text[], $22::boolean[], $23::bigint[]
    ),
    json_array_elements($24::json),
    json_array_elements($25::json)
  ) WITH ORDINALITY AS n (
    version, phase, settled, paused, since, reason, until,
    gap_until, attempt, spent, level, level_at, platform_id, platform_at,
    mark, bytes_left, first_claim_version, attempts, nack, ord
  )
),
written AS (
  UPDATE rooms r
  SET version = n.version, phase = n.phase, settled = n.settled, paused = n.paused, since = n.since,
      reason = n.reason, until = n.until, gap_until = n.gap_until, attempt = n.attempt, spent = n.spent,
      level = n.level, level_at = n.level_at, platform_id = n.platform_id, platform_at = n.platform_at,
      mark = n.mark, nack = nullif(n.nack::text, 'null')::json, bytes_left = n.bytes_left,
      first_claim_version = n.first_claim_version, attempts = n.attempts
  FROM taken t JOIN next n USING (ord)
  WHERE r.shard = t.shard AND r.id = t.id
  RETURNING t.ord, r.shard, r.id, r.tenant, r.channel, r.tail
),
settled AS (
  SELECT s.*, w.shard, w.id, w.tenant, w.channel
  FROM ROWS FROM (
    unnest(
      $26::bigint[], $27::bigint[], $28::outcome[], $29::text[], $30::text[], $31::bigint[], $32::bigint[],
      $33::bigint[], $34::boolean[], $35::boolean[], $36::ack_level[], $37::bigint[], $38::text[], $39::bigint[]
    ),
    json_array_elements($40::json)
  ) AS s (
    ord, sequence, outcome, reason, code, at, version,
    first_claim_version, possibly_delivered, dead_letter, level, level_at, platform_id, platform_at, attempts
  )
  JOIN written w USING (ord)
),
gone AS (
  DELETE FROM messages m
  USING settled s
  WHERE m.shard = s.shard AND m.room_id = s.id AND m.sequence = s.sequence
  RETURNING m.*
),
kept AS (
  -- A message that is not there would have no body: the statement fails.
  INSERT INTO history (
    shard, room_id, sequence, settled_at, accepted_at, level_at, platform_at, first_claim_version, settle_version,
    outcome, level, possibly_delivered, reason, code, platform_id, message_id, source, attempts, digest, body
  )
  SELECT
    s.shard, s.id, s.sequence, s.at, g.accepted_at, s.level_at, s.platform_at, s.first_claim_version, s.version,
    s.outcome, s.level, s.possibly_delivered, s.reason, s.code, s.platform_id, g.message_id, g.source, s.attempts,
    g.digest, g.body
  FROM settled s
  LEFT JOIN gone g ON g.shard = s.shard AND g.room_id = s.id AND g.sequence = s.sequence
),
buried AS (
  INSERT INTO dead_letters (at, kind, reason, detail, tenant, channel, shard, room_id, sequence)
  SELECT at, 'message', reason, code, tenant, channel, shard, id, sequence FROM settled WHERE dead_letter
),
cancelled AS (
  UPDATE messages m
  SET cancelled = true
  FROM unnest($41::bigint[], $42::bigint[]) AS c (ord, sequence) JOIN written w USING (ord)
  WHERE m.shard = w.shard AND m.room_id = w.id AND m.sequence = c.sequence
),
named AS (
  INSERT INTO platform_ids AS p (tenant, channel, platform_id, shard, room_id, sequence)
  SELECT DISTINCT ON (w.tenant, w.channel, a.platform_id) w.tenant, w.channel, a.platform_id, w.shard, w.id, a.sequence
  FROM unnest($43::bigint[], $44::bigint[], $45::text[]) AS a (ord, sequence, platform_id) JOIN written w USING (ord)
  ORDER BY w.tenant, w.channel, a.platform_id, w.ord
  ON CONFLICT (tenant, channel, platform_id)
    DO UPDATE SET shard = excluded.shard, room_id = excluded.room_id, sequence = excluded.sequence, named_at = now()
    WHERE p.room_id IS NULL
  RETURNING p.room_id, p.platform_id, p.level, p.nack, p.at, p.kept_at
)
SELECT
  t.ord,
  w.tail,
  CASE WHEN w.ord IS NULL THEN (SELECT version FROM rooms r WHERE r.shard = t.shard AND r.id = t.id) END AS version,
  w.ord IS NULL AND t.claims AND NOT EXISTS (SELECT FROM proof) AS unproved,
  (
    SELECT json_agg(json_build_array(n.platform_id, n.level, n.nack, n.at))
    FROM named n
    WHERE n.room_id = w.id AND n.kept_at IS NOT NULL
  ) AS inbox
FROM target t
LEFT JOIN written w USING (ord)
ORDER BY t.ord

-- Stores the next state of rooms, each only where its row still has the version that the state was decided from, and
-- with it what the decision says of messages. A row that somebody else has locked is left alone: to wait for it would
-- stall the batch, and let two batches wait for each other.
--
-- A claim also needs its proof: the worker's own fence row, locked FOR SHARE until this statement has committed. A
-- take-over that raises the fence then either waits for this batch, or this batch waits for it, sees the fence as it has
-- become, and claims nothing. Batches without claims never touch the fence.
--
-- Rows are looked up in LATERAL subqueries and changed by their ctid, and whether a write came about is asked of a hash
-- (`IN … IS TRUE`): no other plan is then possible, whatever the statistics say of tables that are empty every night.
--
-- Answers, `ord` counting the writes from 1:
--   written: (ord, tail)            with the present tail
--   not:     (ord, version, proved) with the version the row has, null where there is none
--   acks that waited for platform ids which a write made known: (room_id, platform_id, level, nack, at)
WITH proof AS MATERIALIZED (
  SELECT FROM fences WHERE worker = $1 AND generation = $2 AND NOT fenced FOR SHARE
),
written AS (
  UPDATE rooms r
  SET version = n.version, phase = n.phase, settled = n.settled, paused = n.paused, since = n.since,
      reason = n.reason, until = n.until, gap_until = n.gap_until, attempt = n.attempt, spent = n.spent,
      level = n.level, level_at = n.level_at, platform_id = n.platform_id, platform_at = n.platform_at,
      mark = n.mark, bytes_left = n.bytes_left, first_claim_version = n.first_claim_version,
      attempts = n.attempts, nack = nullif(n.nack::text, 'null')::json
  FROM ROWS FROM (
    unnest(
      $3::integer[], $4::bigint[], $5::bigint[], $6::boolean[],
      $7::bigint[], $8::phase[], $9::bigint[], $10::boolean[], $11::bigint[],
      $12::text[], $13::bigint[], $14::bigint[], $15::integer[], $16::integer[],
      $17::ack_level[], $18::bigint[], $19::text[], $20::bigint[],
      $21::text[], $22::boolean[], $23::bigint[]
    ),
    json_array_elements($24::json),
    json_array_elements($25::json)
  ) WITH ORDINALITY AS n (
    shard, id, expected_version, claims,
    version, phase, settled, paused, since,
    reason, until, gap_until, attempt, spent,
    level, level_at, platform_id, platform_at,
    mark, bytes_left, first_claim_version, attempts, nack, ord
  ),
  LATERAL (
    SELECT l.ctid FROM rooms l
    WHERE l.shard = n.shard AND l.id = n.id AND l.version = n.expected_version
    FOR NO KEY UPDATE SKIP LOCKED
  ) AS taken
  WHERE (NOT n.claims OR EXISTS (SELECT FROM proof)) AND r.ctid = taken.ctid
  RETURNING n.ord, r.tail
),
settled AS MATERIALIZED (
  SELECT s.*, found.place
  FROM ROWS FROM (
    unnest(
      $26::bigint[], $27::integer[], $28::bigint[], $29::text[], $30::text[],
      $31::bigint[], $32::outcome[], $33::text[], $34::text[], $35::bigint[], $36::bigint[], $37::bigint[],
      $38::boolean[], $39::boolean[], $40::ack_level[], $41::bigint[], $42::text[], $43::bigint[]
    ),
    json_array_elements($44::json)
  ) AS s (
    ord, shard, room_id, tenant, channel,
    sequence, outcome, reason, code, at, version, first_claim_version,
    possibly_delivered, dead_letter, level, level_at, platform_id, platform_at,
    attempts
  )
  LEFT JOIN LATERAL (
    SELECT m.ctid AS place FROM messages m
    WHERE m.shard = s.shard AND m.room_id = s.room_id AND m.sequence = s.sequence
    LIMIT 1
  ) AS found ON true
  WHERE (s.ord IN (SELECT ord FROM written)) IS TRUE
),
gone AS (
  DELETE FROM messages m USING settled s WHERE m.ctid = s.place
  RETURNING s.*, m.accepted_at, m.message_id, m.source, m.digest, m.body
),
kept AS (
  INSERT INTO history (
    shard, room_id, sequence, settled_at, accepted_at, level_at, platform_at, first_claim_version, settle_version,
    outcome, level, possibly_delivered, reason, code, platform_id, attempts, message_id, source, digest, body
  )
  SELECT
    shard, room_id, sequence, at, accepted_at, level_at, platform_at, first_claim_version, version,
    outcome, level, possibly_delivered, reason, code, platform_id, attempts, message_id, source, digest, body
  FROM gone
  UNION ALL
  -- A message that is not there has no body, and the statement fails: nothing settles unseen.
  SELECT
    shard, room_id, sequence, at, at, NULL, NULL, first_claim_version, version,
    outcome, level, possibly_delivered, reason, NULL, NULL, attempts, NULL, NULL, NULL, NULL
  FROM settled WHERE place IS NULL
),
buried AS (
  INSERT INTO dead_letters (at, kind, reason, detail, tenant, channel, shard, room_id, sequence)
  SELECT at, 'message', reason, code, tenant, channel, shard, room_id, sequence FROM settled WHERE dead_letter
),
cancelled AS (
  UPDATE messages m
  SET cancelled = true
  FROM
    unnest($45::bigint[], $46::integer[], $47::bigint[], $48::bigint[]) AS c (ord, shard, room_id, sequence),
    LATERAL (
      SELECT o.ctid FROM messages o
      WHERE o.shard = c.shard AND o.room_id = c.room_id AND o.sequence = c.sequence
      LIMIT 1
    ) AS found
  WHERE m.ctid = found.ctid AND (c.ord IN (SELECT ord FROM written)) IS TRUE
),
named AS (
  INSERT INTO platform_ids AS p (tenant, channel, platform_id, shard, room_id, sequence)
  SELECT DISTINCT ON (tenant COLLATE "C", channel COLLATE "C", platform_id COLLATE "C")
    tenant, channel, platform_id, shard, room_id, sequence
  FROM unnest($49::bigint[], $50::integer[], $51::bigint[], $52::text[], $53::text[], $54::bigint[], $55::text[])
    AS a (ord, shard, room_id, tenant, channel, sequence, platform_id)
  WHERE (ord IN (SELECT ord FROM written)) IS TRUE
  ORDER BY tenant COLLATE "C", channel COLLATE "C", platform_id COLLATE "C", ord
  ON CONFLICT (tenant, channel, platform_id)
    DO UPDATE SET shard = excluded.shard, room_id = excluded.room_id, sequence = excluded.sequence, named_at = now()
    WHERE p.room_id IS NULL
  RETURNING p.room_id, p.platform_id, p.level, p.nack, p.at
)
SELECT ord, tail, NULL::bigint AS version, NULL::boolean AS proved,
  NULL::bigint AS room_id, NULL AS platform_id, NULL::ack_level AS level, NULL::json AS nack, NULL::bigint AS at
FROM written
UNION ALL
SELECT t.ord, NULL, (SELECT version FROM rooms r WHERE r.shard = t.shard AND r.id = t.id),
  NOT t.claims OR EXISTS (SELECT FROM proof), NULL, NULL, NULL, NULL, NULL
FROM unnest($3::integer[], $4::bigint[], $6::boolean[]) WITH ORDINALITY AS t (shard, id, claims, ord)
WHERE (t.ord IN (SELECT ord FROM written)) IS NOT TRUE
UNION ALL
SELECT NULL, NULL, NULL, NULL, room_id, platform_id, level, nack, at FROM named WHERE level IS NOT NULL

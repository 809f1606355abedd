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
-- Arrays unnest in a SELECT list, all in step: in FROM each of them would first be written to a store of its own.
--
-- What begins and ends with brackets is left out where a batch has nothing for it (`withParts` in statements.ts).
--
-- Answers in one row, since every further one would cost the client more than its write; `ord` counts the writes from 1:
--   ords, tails: of those written, with the present tail of each
--   refused:     of the others, [ord, the version the row has or null where there is none, whether it was proved]
--   acks:        those that waited for platform ids which a write made known
WITH proof AS MATERIALIZED (
  SELECT FROM fences WHERE worker = $1 AND generation = $2 AND NOT fenced FOR SHARE
),
written AS (
  UPDATE rooms r
  SET version = n.version, phase = n.phase, settled = n.settled, paused = n.paused, since = n.since,
      reason = n.reason, until = n.until, gap_until = n.gap_until, debt_until = n.debt_until, attempt = n.attempt, spent = n.spent,
      level = n.level, level_at = n.level_at, platform_id = n.platform_id, platform_at = n.platform_at,
      mark = n.mark, bytes_left = n.bytes_left, first_claim_version = n.first_claim_version,
      attempts = n.attempts, nack = nullif(n.nack::text, 'null')::json
  FROM
    (
      SELECT
        unnest($3::integer[]) AS shard, unnest($4::bigint[]) AS id, unnest($5::bigint[]) AS expected_version,
        unnest($6::boolean[]) AS claims, unnest($7::bigint[]) AS version, unnest($8::text[])::phase AS phase,
        unnest($9::bigint[]) AS settled, unnest($10::boolean[]) AS paused, unnest($11::bigint[]) AS since,
        unnest($12::text[]) AS reason, unnest($13::bigint[]) AS until, unnest($14::bigint[]) AS gap_until,
        unnest($15::bigint[]) AS debt_until,
        unnest($16::integer[]) AS attempt, unnest($17::integer[]) AS spent, unnest($18::text[])::ack_level AS level,
        unnest($19::bigint[]) AS level_at, unnest($20::text[]) AS platform_id, unnest($21::bigint[]) AS platform_at,
        unnest($22::text[]) AS mark, unnest($23::boolean[]) AS bytes_left,
        unnest($24::bigint[]) AS first_claim_version, json_array_elements($25::json) AS attempts,
        json_array_elements($26::json) AS nack, generate_subscripts($3::integer[], 1) AS ord
    ) AS n,
    LATERAL (
      SELECT l.ctid FROM rooms l
      WHERE l.shard = n.shard AND l.id = n.id AND l.version = n.expected_version
      FOR NO KEY UPDATE SKIP LOCKED
    ) AS taken
  WHERE (NOT n.claims OR EXISTS (SELECT FROM proof)) AND r.ctid = taken.ctid
  RETURNING n.ord, r.tail
)
--[ settled
,
gone AS (
  DELETE FROM messages m
  USING
    (
      SELECT
        unnest($27::integer[]) AS ord, unnest($28::integer[]) AS shard, unnest($29::bigint[]) AS room_id,
        unnest($30::bigint[]) AS sequence, unnest($31::text[])::outcome AS outcome, unnest($32::text[]) AS reason,
        unnest($33::text[]) AS code, unnest($34::bigint[]) AS at, unnest($35::bigint[]) AS version,
        unnest($36::bigint[]) AS first_claim_version, unnest($37::boolean[]) AS possibly_delivered,
        unnest($38::text[])::ack_level AS level,
        unnest($39::bigint[]) AS level_at, unnest($40::text[]) AS platform_id, unnest($41::bigint[]) AS platform_at,
        json_array_elements($42::json) AS attempts
    ) AS s,
    LATERAL (
      SELECT o.ctid FROM messages o
      WHERE o.shard = s.shard AND o.room_id = s.room_id AND o.sequence = s.sequence
      LIMIT 1
    ) AS found
  WHERE m.ctid = found.ctid AND (s.ord IN (SELECT ord FROM written)) IS TRUE
  RETURNING s.*, m.accepted_at, m.message_id, m.source, m.order_number, m.late_order, m.digest, m.body
),
kept AS (
  INSERT INTO history (
    shard, room_id, sequence, settled_at, accepted_at, level_at, platform_at, first_claim_version, settle_version,
    outcome, level, possibly_delivered, reason, code, platform_id, attempts, message_id, source, order_number, late_order,
    digest, body
  )
  SELECT
    shard, room_id, sequence, at, accepted_at, level_at, platform_at, first_claim_version, version,
    outcome, level, possibly_delivered, reason, code, platform_id, attempts, message_id, source, order_number, late_order,
    digest, body
  FROM gone
  UNION ALL
  -- Where a message that settles is not there, a row of nothing makes the statement fail.
  SELECT
    NULL, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  WHERE (SELECT count(*) FROM gone)
    < (SELECT count(*) FROM unnest($27::integer[]) AS s (ord) WHERE (ord IN (SELECT ord FROM written)) IS TRUE)
)
--]
--[ buried
,
buried AS (
  INSERT INTO dead_letters (at, kind, reason, detail, tenant, channel, shard, room_id, sequence, fingerprint)
  SELECT g.at, 'message', g.reason, g.code, r.tenant, r.channel, g.shard, g.room_id, g.sequence, d.fingerprint
  FROM
    (
      SELECT unnest($55::integer[]) AS ord, unnest($56::bigint[]) AS sequence, unnest($57::bytea[]) AS fingerprint
    ) AS d
    JOIN gone g ON g.ord = d.ord AND g.sequence = d.sequence,
    LATERAL (SELECT tenant, channel FROM rooms r WHERE r.shard = g.shard AND r.id = g.room_id LIMIT 1) AS r
)
--]
--[ marked
,
cancelled AS (
  UPDATE messages m
  -- Who came first with that is remembered.
  SET cancelled_by = coalesce(m.cancelled_by, c.cancelled_by)
  FROM
    unnest($43::integer[], $44::integer[], $45::bigint[], $46::bigint[], $47::text[])
      AS c (ord, shard, room_id, sequence, cancelled_by),
    LATERAL (
      SELECT o.ctid FROM messages o
      WHERE o.shard = c.shard AND o.room_id = c.room_id AND o.sequence = c.sequence
      LIMIT 1
    ) AS found
  WHERE m.ctid = found.ctid AND (c.ord IN (SELECT ord FROM written)) IS TRUE
)
--]
--[ named
,
named AS (
  INSERT INTO platform_ids AS p (tenant, channel, platform_id, shard, room_id, sequence)
  SELECT DISTINCT ON (tenant COLLATE "C", channel COLLATE "C", platform_id COLLATE "C")
    tenant, channel, platform_id, shard, room_id, sequence
  FROM unnest($48::integer[], $49::integer[], $50::bigint[], $51::text[], $52::text[], $53::bigint[], $54::text[])
    AS a (ord, shard, room_id, tenant, channel, sequence, platform_id)
  WHERE (ord IN (SELECT ord FROM written)) IS TRUE
  ORDER BY tenant COLLATE "C", channel COLLATE "C", platform_id COLLATE "C", ord
  ON CONFLICT (tenant, channel, platform_id)
    DO UPDATE SET shard = excluded.shard, room_id = excluded.room_id, sequence = excluded.sequence, named_at = now()
    WHERE p.room_id IS NULL
  RETURNING p.room_id, p.platform_id, p.level, p.nack, p.at
)
--]
SELECT w.ords, w.tails,
  CASE
    WHEN w.stored < cardinality($3::integer[]) THEN (
      SELECT
        json_agg(
          json_build_array(
            t.ord,
            (SELECT version FROM rooms r WHERE r.shard = t.shard AND r.id = t.id),
            NOT t.claims OR EXISTS (SELECT FROM proof)
          )
        )
      FROM unnest($3::integer[], $4::bigint[], $6::boolean[]) WITH ORDINALITY AS t (shard, id, claims, ord)
      WHERE (t.ord IN (SELECT ord FROM written)) IS NOT TRUE
    )
  END AS refused
--[ named
  , (
    SELECT
      json_agg(
        json_build_object('room_id', room_id, 'platform_id', platform_id, 'level', level, 'nack', nack, 'at', at)
      )
    FROM named
    WHERE level IS NOT NULL
  ) AS acks
--]
FROM
  (SELECT count(*) AS stored, array_agg(ord)::text AS ords, array_agg(tail)::text AS tails FROM written) AS w

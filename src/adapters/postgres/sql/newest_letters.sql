-- Dead letters, newest first, below the place ($1, $2): of room ($3, $4), else of fingerprint $16, else of channel ($5, $6),
-- else all. Of these $7 are looked at, and at most $8 answered that are of kind $9, reason $10, code $11, state $12, one
-- of the tenants $15, the fingerprint and the channel, where those are given, and not before $13 nor from $14 on. Every
-- row tells how many were looked at and where the last of them stands; it is the only thing that a row tells where
-- nothing was found. Only one of the four parts is ever run.
WITH examined AS MATERIALIZED (
  SELECT * FROM (
    (
      SELECT id, at, kind, reason, detail, tenant, channel, shard, room_id, sequence, fingerprint,
        closed_as, closed_at, closed_by, replay_shard, replay_room_id, replay_sequence
      FROM dead_letters
      WHERE $3::integer IS NOT NULL AND -shard = -$3::integer AND room_id = $4::bigint
        AND (-at, -id) > (-$1::bigint, -$2::bigint) AND -at <= -$13::bigint AND -at > -$14::bigint
      ORDER BY -at ASC, -id ASC
      LIMIT $7::integer
    )
    UNION ALL
    (
      SELECT id, at, kind, reason, detail, tenant, channel, shard, room_id, sequence, fingerprint,
        closed_as, closed_at, closed_by, replay_shard, replay_room_id, replay_sequence
      FROM dead_letters
      WHERE $3::integer IS NULL AND $16::bytea IS NULL AND $6::text IS NOT NULL AND tenant = $5::text AND channel = $6::text
        AND (-at, -id) > (-$1::bigint, -$2::bigint) AND -at <= -$13::bigint AND -at > -$14::bigint
      ORDER BY -at ASC, -id ASC
      LIMIT $7::integer
    )
    UNION ALL
    (
      SELECT id, at, kind, reason, detail, tenant, channel, shard, room_id, sequence, fingerprint,
        closed_as, closed_at, closed_by, replay_shard, replay_room_id, replay_sequence
      FROM dead_letters
      WHERE $3::integer IS NULL AND $16::bytea IS NULL AND $6::text IS NULL
        AND (at, id) < ($1::bigint, $2::bigint) AND at >= $13::bigint AND at < $14::bigint
      ORDER BY at DESC, id DESC
      LIMIT $7::integer
    )
    UNION ALL
    (
      SELECT id, at, kind, reason, detail, tenant, channel, shard, room_id, sequence, fingerprint,
        closed_as, closed_at, closed_by, replay_shard, replay_room_id, replay_sequence
      FROM dead_letters
      WHERE $3::integer IS NULL AND $16::bytea IS NOT NULL AND fingerprint = $16::bytea
        AND (-at, -id) > (-$1::bigint, -$2::bigint) AND -at <= -$13::bigint AND -at > -$14::bigint
      ORDER BY -at ASC, -id ASC
      LIMIT $7::integer
    )
  ) AS any_part
),
found AS MATERIALIZED (
  SELECT * FROM examined
  WHERE ($9::text IS NULL OR kind = $9) AND ($10::text IS NULL OR reason = $10)
    AND ($11::text IS NULL OR (kind = 'message' AND detail = $11))
    AND ($12::text IS NULL OR coalesce(closed_as, 'open') = $12)
    AND ($15::text[] IS NULL OR tenant = ANY ($15::text[]))
    AND ($16::bytea IS NULL OR fingerprint = $16::bytea)
    AND ($3::integer IS NOT NULL OR $6::text IS NULL OR (tenant = $5::text AND channel = $6::text))
  ORDER BY at DESC, id DESC
  LIMIT $8::integer
)
SELECT p.examined, p.last_at, p.last_id, f.*, k.room
FROM
  (
    SELECT count(*)::integer AS examined,
      (SELECT at FROM examined ORDER BY at ASC, id ASC LIMIT 1) AS last_at,
      (SELECT id FROM examined ORDER BY at ASC, id ASC LIMIT 1) AS last_id
    FROM examined
  ) AS p
  LEFT JOIN found f ON true
  LEFT JOIN LATERAL (
    SELECT room FROM rooms a WHERE a.shard = f.shard AND a.id = f.room_id
    UNION ALL
    SELECT room FROM resting_rooms b WHERE b.shard = f.shard AND b.id = f.room_id
    LIMIT 1
  ) AS k ON true
ORDER BY f.at DESC, f.id DESC

-- Renews a lease that has not ended, of a worker that is not fenced and has not kept a shard from a living heir for too
-- long. The fence row is only read. Tells what a glance tells.
WITH renewed AS (
  UPDATE workers w
  SET lease_until = clock_timestamp() + $2::integer * interval '1 ms', lease_ms = $2
  WHERE w.worker = $1 AND w.lease_until > clock_timestamp()
    AND NOT EXISTS (SELECT FROM fences f WHERE f.worker = w.worker AND f.fenced)
    AND NOT EXISTS (
      SELECT
      FROM shards s
      JOIN fences f ON f.worker = s.heir AND NOT f.fenced
      JOIN workers h ON h.worker = s.heir AND h.lease_until > clock_timestamp()
      WHERE s.owner = w.worker AND s.heir_until <= clock_timestamp()
    )
  RETURNING floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS database_time
),
-- More is left to hand a shard over than there ever is: the clock was set back.
limited AS (
  UPDATE shards s
  SET heir_until = clock_timestamp() + $2::integer * interval '1.2 ms'
  FROM renewed
  WHERE s.owner = $1 AND s.heir IS NOT NULL
    AND s.heir_until > clock_timestamp() + $2::integer * interval '1.2 ms' + interval '1 s'
)
SELECT r.database_time, f.membership, f.planned, o.others, o.unheard, o.next_lease_end, o.longest_lease
FROM
  renewed r,
  fleet f,
  LATERAL (
    SELECT
      count(*)::integer AS others,
      count(*) FILTER (WHERE w.hears <> (SELECT m.hears FROM workers m WHERE m.worker = $1))::integer AS unheard,
      floor(extract(epoch FROM min(CASE
        -- More than a whole lease is left: the clock was set back.
        WHEN w.lease_until > clock_timestamp() + (w.lease_ms + 1000) * interval '1 ms' THEN interval '0'
        ELSE w.lease_until - clock_timestamp()
      END)) * 1000)::bigint AS next_lease_end,
      max(w.lease_ms) AS longest_lease
    FROM workers w JOIN fences x USING (worker)
    WHERE NOT x.fenced AND w.worker <> $1
  ) AS o

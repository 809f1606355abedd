-- What has changed in the fleet, for worker $1.
SELECT
  floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS database_time,
  f.membership, f.planned, o.others, o.unheard, o.next_lease_end, o.longest_lease
FROM
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

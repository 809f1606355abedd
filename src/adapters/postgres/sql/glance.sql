-- What has changed in the fleet, for worker $1.
SELECT f.membership, f.planned, o.others, o.next_lease_end
FROM
  fleet f,
  LATERAL (
    SELECT
      count(*)::integer AS others,
      floor(extract(epoch FROM min(w.lease_until) - clock_timestamp()) * 1000)::bigint AS next_lease_end
    FROM workers w JOIN fences x USING (worker)
    WHERE NOT x.fenced AND w.worker <> $1
  ) AS o

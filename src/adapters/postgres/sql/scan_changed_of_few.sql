-- As scan_changed, shard by shard: for a worker that holds few of them, so that it does not read the rooms of all others.
SELECT
  pg_snapshot_xmin(pg_current_snapshot())::text AS now,
  c.shard,
  c.id,
  c.version,
  c.tail,
  c.at_rest
FROM (VALUES (1)) AS one
LEFT JOIN (
  SELECT h.shard, r.id, r.version, r.tail, r.phase = 'idle' AND r.settled = r.tail AND r.gap_since IS NULL AS at_rest
  FROM
    unnest($1::integer[]) AS h (shard),
    LATERAL (SELECT * FROM rooms o WHERE o.shard = h.shard AND age(o.xmin) <= age($2::text::xid) OFFSET 0) AS r
) AS c ON $2::text IS NOT NULL

-- Rooms of these shards whose rows were written by a transaction that had not ended when an earlier snapshot was taken,
-- or that began after it: $2 is the oldest transaction that was open then. No index is touched by that, and nothing need
-- be written to be found. At least one row comes, with that of this snapshot.
SELECT
  pg_snapshot_xmin(pg_current_snapshot())::text AS now,
  r.shard,
  r.id,
  r.version,
  r.tail,
  r.phase = 'idle' AND r.settled = r.tail AND r.gap_since IS NULL AS at_rest
FROM (VALUES (1)) AS one
LEFT JOIN rooms r ON
  $2::text IS NOT NULL
  AND (r.shard IN (SELECT unnest($1::integer[]))) IS TRUE
  AND age(r.xmin) <= age($2::text::xid)

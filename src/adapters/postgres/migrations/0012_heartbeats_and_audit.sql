-- Whoever renews a lease, or writes, waits behind a change of its table: that may not take long.
SET LOCAL lock_timeout = '5s';

ALTER TABLE workers
  -- The whole life of a lease: no more of it is ever left, unless the database's clock was set back. It is also as long as
  -- the worker may take to hand a shard over. Null: a version that does not say so.
  ADD COLUMN lease_ms integer CHECK (lease_ms > 0),
  -- What signals it hears, as a digest: workers that differ do not hear each other. Null: none, or not said.
  ADD COLUMN hears text COLLATE "C" CHECK (octet_length(hears) <= 64);

-- Whoever serves may add to the audit, and neither change it nor take anything out of it but what is old: whatever it is
-- asked for, the last 30 days stay.
CREATE FUNCTION prune_audit(before bigint, most integer) RETURNS integer
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  WITH pruned AS (
    DELETE FROM public.audit
    WHERE id IN (
      SELECT id FROM public.audit
      WHERE at < least(before, floor(extract(epoch FROM clock_timestamp() - interval '30 days') * 1000)::bigint)
      ORDER BY id
      LIMIT most
    )
    RETURNING 1
  )
  SELECT count(*)::integer FROM pruned
$$;
REVOKE ALL ON FUNCTION prune_audit(bigint, integer) FROM PUBLIC;

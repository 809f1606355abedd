-- Whoever renews a lease, or writes, waits behind a change of its table: that may not take long.
SET LOCAL lock_timeout = '5s';

-- Where messages are: what processes tell of themselves, for people to look at. Nothing is decided from it.

-- One row per process, written over once a second.
CREATE TABLE pipeline_parts (
  worker text COLLATE "C" PRIMARY KEY,
  as_of bigint NOT NULL,
  -- The number of the last minute that it has added to `channel_minutes`: none is added twice.
  added bigint NOT NULL DEFAULT 0,
  part jsonb
) WITH (fillfactor = 50);

-- Rooms that have been in one phase for more than a moment, as each process lists those that it holds. Only who waits and
-- since when: everything else is in the room's own row, which may have moved on.
CREATE TABLE lingering_rooms (
  shard integer NOT NULL,
  id bigint NOT NULL,
  worker text COLLATE "C" NOT NULL,
  since bigint NOT NULL,
  phase phase NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  channel text COLLATE "C" NOT NULL,
  PRIMARY KEY (shard, id, worker)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX lingering_rooms_by_phase ON lingering_rooms (tenant, phase, since, id);
-- It does not begin with the same expression, so that nothing about one channel is ever planned through the other one.
CREATE INDEX lingering_rooms_by_channel ON lingering_rooms ((tenant || ''), channel, phase, since, id);

-- Counts by bucket, in arrays that end with their last bucket that is not 0.
CREATE FUNCTION add_counts(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT coalesce(array_agg(coalesce(x, 0) + coalesce(y, 0) ORDER BY place), '{}')
  FROM ROWS FROM (unnest(a), unnest(b)) WITH ORDINALITY AS t (x, y, place)
$$;
CREATE AGGREGATE sum_counts(bigint[]) (SFUNC = add_counts, STYPE = bigint[], INITCOND = '{}', PARALLEL = SAFE, COMBINEFUNC = add_counts);

-- What each channel did in each minute, over all processes.
CREATE TABLE channel_minutes (
  tenant text COLLATE "C" NOT NULL,
  channel text COLLATE "C" NOT NULL,
  minute bigint NOT NULL CHECK (minute % 60000 = 0),
  -- In the order of TOTALS_IN_ORDER in src/adapters/postgres/pipeline.ts.
  totals bigint[] NOT NULL,
  -- One for each of LATENCIES in src/engine/tallies.ts.
  accept_to_first_send bigint[] NOT NULL,
  ack_to_next_send bigint[] NOT NULL,
  ack_delay bigint[] NOT NULL,
  accept_to_settled bigint[] NOT NULL,
  PRIMARY KEY (tenant, channel, minute)
);
CREATE INDEX channel_minutes_by_minute ON channel_minutes (minute, tenant);

-- What has settled, one row per message, partitioned by the UTC day of settling so that old days can be dropped.

CREATE TYPE outcome AS ENUM ('acked', 'assumed', 'failed', 'expired', 'cancelled', 'skipped');

CREATE TABLE history (
  shard integer NOT NULL,
  room_id bigint NOT NULL,
  sequence bigint NOT NULL,
  settled_at bigint NOT NULL,
  accepted_at bigint NOT NULL,
  level_at bigint,
  platform_at bigint,
  -- Versions of the room that claimed the message first (0: never) and that settled it.
  first_claim_version bigint NOT NULL,
  settle_version bigint NOT NULL,
  -- Raised with every later change of the row; compared and set.
  revision integer NOT NULL DEFAULT 1,
  outcome outcome NOT NULL,
  level ack_level NOT NULL,
  possibly_delivered boolean NOT NULL,
  reason text COLLATE "C" NOT NULL,
  code text COLLATE "C",
  late_nack_code text COLLATE "C",
  platform_id text COLLATE "C",
  message_id text COLLATE "C" NOT NULL,
  source text COLLATE "C" NOT NULL,
  attempts json NOT NULL,
  digest bytea NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (shard, room_id, sequence, settled_at)
) PARTITION BY RANGE (settled_at);

CREATE INDEX history_by_message_id ON history ((-shard), (-room_id), message_id);

-- Catches what no day's partition was made for, so that a message can always settle.
CREATE TABLE history_default PARTITION OF history DEFAULT;

-- Making and dropping partitions needs the rights of the tables' owner. The service's own role has none of them: it
-- calls these two functions, which can do nothing else.

CREATE FUNCTION make_history_partitions(first_day date, last_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  day date;
  name text;
  begins bigint;
  made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('roomline: history partitions'));
  FOR day IN SELECT first_day + i FROM generate_series(0, last_day - first_day) AS i LOOP
    name := 'history_' || to_char(day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass(name) IS NOT NULL;
    begins := (day - DATE '1970-01-01')::bigint * 86400000;
    EXECUTE format('CREATE TABLE %I (LIKE history INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = 90)', name);
    -- Rows of that day which the default partition had to take.
    EXECUTE format(
      'WITH moved AS (DELETE FROM history_default WHERE settled_at >= $1 AND settled_at < $2 RETURNING *)
       INSERT INTO %I SELECT * FROM moved', name) USING begins, begins + 86400000;
    EXECUTE format(
      'ALTER TABLE history ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, begins, begins + 86400000);
    made := made + 1;
  END LOOP;
  RETURN made;
END
$$;

CREATE FUNCTION drop_history_partitions(before bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
  partition record;
  dropped integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('roomline: history partitions'));
  FOR partition IN
    SELECT c.relname AS name, to_date(right(c.relname, 8), 'YYYYMMDD') AS day
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'history'::regclass AND c.relname ~ '^history_\d{8}$'
  LOOP
    CONTINUE WHEN (partition.day + 1 - DATE '1970-01-01')::bigint * 86400000 > before;
    EXECUTE format('DROP TABLE %I', partition.name);
    dropped := dropped + 1;
  END LOOP;
  DELETE FROM history_default WHERE settled_at < before;
  RETURN dropped;
END
$$;

REVOKE ALL ON FUNCTION make_history_partitions(date, date), drop_history_partitions(bigint) FROM PUBLIC;

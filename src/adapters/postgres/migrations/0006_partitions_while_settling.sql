-- A partition for a day on which messages may be settling already: the whole history is locked while it is made. Else
-- an append that has just looked which partitions there are finds a moved row in neither and takes a copy for new, a
-- settle that is on its way to the default partition is refused there, and one that was faster forbids the attachment.
-- A day of which the default partition has taken too many rows to be moved in a moment stays there to its end: it is
-- read, recognised and dropped from there as well, and nobody waits.
CREATE OR REPLACE FUNCTION make_history_partitions(first_day date, last_day date) RETURNS integer
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
    PERFORM FROM history_default WHERE settled_at >= begins AND settled_at < begins + 86400000 OFFSET 10000 LIMIT 1;
    IF FOUND THEN
      RAISE WARNING 'no partition for %: history_default holds more than 10000 rows of that day', day;
      CONTINUE;
    END IF;
    -- A day of margin for clocks; those made ahead, every day one, make nobody wait.
    IF day <= (now() AT TIME ZONE 'UTC')::date + 1 THEN
      LOCK TABLE ONLY history IN ACCESS EXCLUSIVE MODE;
    END IF;
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

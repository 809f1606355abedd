-- Which cluster this is, and the timeline it writes to at this moment: both null where the role may not ask, and on a
-- standby. (The control file's own timeline follows a promotion only with the next checkpoint.)
CREATE FUNCTION cluster_identity(OUT system_identifier bigint, OUT timeline integer)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog
AS $$
BEGIN
  IF pg_is_in_recovery() THEN
    RETURN;
  END IF;
  timeline := ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::integer;
  system_identifier := (pg_control_system()).system_identifier;
EXCEPTION WHEN insufficient_privilege THEN
  timeline := NULL;
END
$$;

-- What operators decided about a database that may have lost commits, and about the rooms they had held for it.
CREATE TABLE database_decisions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  decision text COLLATE "C" NOT NULL CHECK (decision IN ('hold', 'resend', 'retry', 'skip', 'cancel')),
  decided_by text NOT NULL,
  database_role text NOT NULL DEFAULT session_user,
  reason text NOT NULL,
  old_system_identifier bigint,
  old_timeline integer,
  new_system_identifier bigint,
  new_timeline integer,
  -- Rooms that had an unsettled message, and how many of them the decision changed.
  rooms_open integer NOT NULL,
  rooms_changed integer NOT NULL
);

-- I3 with one reason more.
ALTER TABLE rooms DROP CONSTRAINT i3_reason, ADD CONSTRAINT i3_reason CHECK (
  (reason IS NULL) = (phase NOT IN ('waiting', 'held'))
  AND (phase <> 'waiting' OR reason IN ('not_before', 'limit', 'channel', 'paused'))
  AND (phase <> 'held' OR reason IN ('refused', 'attempts_exhausted', 'outcome_unknown', 'history_changed'))
);
ALTER TABLE resting_rooms DROP CONSTRAINT i3_reason, ADD CONSTRAINT i3_reason CHECK (
  (reason IS NULL) = (phase NOT IN ('waiting', 'held'))
  AND (phase <> 'waiting' OR reason IN ('not_before', 'limit', 'channel', 'paused'))
  AND (phase <> 'held' OR reason IN ('refused', 'attempts_exhausted', 'outcome_unknown', 'history_changed'))
);

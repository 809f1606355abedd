-- Whoever renews a lease, or writes, waits behind a change of its table: that may not take long.
SET LOCAL lock_timeout = '5s';

-- Postgres parses the text of every CHECK of a table anew for each statement that writes it, which for one row costs
-- more than the rest of an update. A function is compiled once by each connection, and its call is a short text. In
-- PL/pgSQL: a function in SQL would be put in its place, and parsed as before. Rows that exist obey the checks that go.

-- The invariants of src/room/invariants.ts by their numbers (I2 and I9 concern `tail` and envelopes; I10 attempts).
CREATE FUNCTION room_keeps_invariants(
  phase phase, version bigint, settled bigint, next_order bigint, attempt integer, spent integer,
  first_claim_version bigint, reason text, until bigint, level ack_level, platform_id text, attempts json, mark text,
  nack json, bytes_left boolean, paused boolean
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN
    -- I1
    version >= 0 AND settled >= 0 AND attempt >= 0 AND spent >= 0 AND first_claim_version >= 0 AND next_order > 0
    -- I3
    AND (reason IS NULL) = (phase NOT IN ('waiting', 'held'))
    AND (phase <> 'waiting' OR reason IN ('not_before', 'limit', 'channel', 'paused'))
    AND (phase <> 'held' OR reason IN ('refused', 'attempts_exhausted', 'outcome_unknown', 'history_changed'))
    -- I4
    AND (until IS NOT NULL) = (
      phase IN ('awaiting_ack', 'backing_off', 'unknown')
      OR (phase = 'waiting' AND reason IN ('not_before', 'limit'))
    )
    -- I5
    AND (attempt > 0 OR phase NOT IN ('sending', 'awaiting_ack', 'unknown', 'backing_off'))
    -- I6
    AND (
      phase <> 'idle'
      OR (attempt = 0 AND spent = 0 AND level = 'none' AND platform_id IS NULL AND attempts::text = '[]')
    )
    -- I7
    AND (phase = 'sending' OR (mark IS NULL AND nack IS NULL))
    AND (phase = 'unknown' OR NOT bytes_left)
    AND (mark IS NULL OR mark IN ('skip', 'cancel'))
    -- I8
    AND (attempt > 0) = (first_claim_version > 0)
    -- I11
    AND (NOT paused OR phase NOT IN ('ready', 'idle'));
END
$$;

CREATE FUNCTION message_keeps_limits(
  sequence bigint, message_id text, digest bytea, failure_policy text, source text, cancelled_by text
) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN
    sequence > 0
    AND octet_length(message_id) BETWEEN 1 AND 256
    AND octet_length(digest) = 32
    AND (failure_policy IS NULL OR failure_policy IN ('move_on', 'hold'))
    AND source IN ('pubsub', 'http', 'buffer')
    AND (cancelled_by IS NULL OR cancelled_by IN ('operator', 'superseded'));
END
$$;

DO $$
DECLARE
  rooms_table text;
BEGIN
  FOREACH rooms_table IN ARRAY ARRAY['rooms', 'resting_rooms'] LOOP
    EXECUTE format(
      'ALTER TABLE %1$I
         DROP CONSTRAINT i1_counters, DROP CONSTRAINT i3_reason, DROP CONSTRAINT i4_deadline, DROP CONSTRAINT i5_begun,
         DROP CONSTRAINT i6_idle, DROP CONSTRAINT i7_open_attempt, DROP CONSTRAINT i8_first_claim,
         DROP CONSTRAINT i11_paused, DROP CONSTRAINT known_mark, DROP CONSTRAINT %1$s_next_order_check,
         ADD CONSTRAINT keeps_invariants CHECK (room_keeps_invariants(
           phase, version, settled, next_order, attempt, spent, first_claim_version, reason, until, level, platform_id,
           attempts, mark, nack, bytes_left, paused
         )) NOT VALID',
      rooms_table
    );
  END LOOP;
END
$$;

ALTER TABLE messages
  DROP CONSTRAINT messages_sequence_check, DROP CONSTRAINT messages_message_id_check,
  DROP CONSTRAINT messages_digest_check, DROP CONSTRAINT messages_failure_policy_check,
  DROP CONSTRAINT messages_source_check, DROP CONSTRAINT known_cancelled_by,
  ADD CONSTRAINT keeps_limits CHECK (
    message_keeps_limits(sequence, message_id, digest, failure_policy, source, cancelled_by)
  ) NOT VALID;

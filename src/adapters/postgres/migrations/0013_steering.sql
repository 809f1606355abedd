-- Whoever renews a lease, or writes, waits behind a change of its table: that may not take long.
SET LOCAL lock_timeout = '5s';

-- What became of dead letters at the hands of operators.
ALTER TABLE dead_letters
  ADD COLUMN closed_as text COLLATE "C" CHECK (closed_as IN ('replayed', 'discarded')),
  ADD COLUMN closed_at bigint,
  -- The name of the key.
  ADD COLUMN closed_by text COLLATE "C",
  -- The message that it was replayed as.
  ADD COLUMN replay_shard integer,
  ADD COLUMN replay_room_id bigint,
  ADD COLUMN replay_sequence bigint,
  ADD CONSTRAINT closed_whole CHECK (num_nulls(closed_as, closed_at, closed_by) IN (0, 3)),
  ADD CONSTRAINT replayed_whole CHECK (
    num_nulls(replay_shard, replay_room_id, replay_sequence) = CASE WHEN closed_as = 'replayed' THEN 0 ELSE 3 END
  );

-- Lists go by time, from any point on, of all letters, of a channel or of a room. The latter two have the times negated:
-- they share no expression with the first, so that no list of theirs can be planned through it. Nothing here ever
-- changes: closing a letter stays a heap-only update.
CREATE INDEX dead_letters_by_time ON dead_letters (at, id);
CREATE INDEX dead_letters_by_channel ON dead_letters (tenant, channel, (-at), (-id));
CREATE INDEX dead_letters_by_room ON dead_letters ((-shard), room_id, (-at), (-id));

-- Failed attempts and refused payloads, counted by what they have in common. Processes add what they counted in memory.
CREATE TABLE failures (
  fingerprint bytea PRIMARY KEY CHECK (octet_length(fingerprint) = 16),
  -- Null where the payload never came to a channel.
  tenant text COLLATE "C",
  channel text COLLATE "C",
  code text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL CHECK (kind IN ('refused', 'unknown', 'interrupted', 'intake')),
  count bigint NOT NULL CHECK (count >= 0),
  dead_letters bigint NOT NULL CHECK (dead_letters >= 0),
  first_seen bigint NOT NULL,
  last_seen bigint NOT NULL,
  sample_shard integer,
  sample_room_id bigint,
  sample_sequence bigint,
  CHECK (num_nulls(sample_shard, sample_room_id, sample_sequence) IN (0, 3))
) WITH (fillfactor = 70);

-- The hot tables. `rooms` holds a cursor per room, never a status per message; `messages` holds what waits or is in
-- flight. All times are whole milliseconds of engine time. Names and ids compare by their bytes, in every locale.

CREATE TYPE phase AS ENUM (
  'idle', 'ready', 'waiting', 'sending', 'awaiting_ack', 'backing_off', 'unknown', 'held'
);
-- In this order: each level implies those before it.
CREATE TYPE ack_level AS ENUM ('none', 'accepted', 'sent', 'delivered', 'read');

CREATE TABLE settings (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  -- Fixed for the life of the database: every room was placed by it.
  shards integer NOT NULL CHECK (shards BETWEEN 1 AND 65536),
  created_at timestamptz NOT NULL DEFAULT now(),
  -- Which cluster this is and on which timeline it was created; null where the role may not ask.
  system_identifier bigint,
  timeline integer
);

-- References carry room ids in 48 bits.
CREATE SEQUENCE room_ids AS bigint MAXVALUE 281474976710655 CACHE 16;

-- A table with two keys indexes the second one by negated numbers: the two indexes then share no expression, so that a
-- lookup by one key can never be planned through the other one, whatever the statistics say. (Tables of a queue are
-- analyzed while they are empty, and a plan made then outlives the quiet.)

-- No index on phase, cursors, version or deadlines: they change with every decision, and an index on them would end
-- heap-only updates. No constraint involves `tail`: append raises it without knowing the decision, and the other way
-- round. The constraints are the invariants of src/room/invariants.ts, by their numbers.
CREATE TABLE rooms (
  shard integer NOT NULL,
  id bigint NOT NULL DEFAULT nextval('room_ids'),
  version bigint NOT NULL DEFAULT 0,
  settled bigint NOT NULL DEFAULT 0,
  tail bigint NOT NULL DEFAULT 0,
  since bigint NOT NULL,
  until bigint,
  gap_until bigint NOT NULL DEFAULT 0,
  level_at bigint,
  platform_at bigint,
  first_claim_version bigint NOT NULL DEFAULT 0,
  created_at bigint NOT NULL,
  -- When a message was last appended, or the room taken back from rest.
  touched_at bigint NOT NULL,
  attempt integer NOT NULL DEFAULT 0,
  spent integer NOT NULL DEFAULT 0,
  phase phase NOT NULL DEFAULT 'idle',
  level ack_level NOT NULL DEFAULT 'none',
  paused boolean NOT NULL DEFAULT false,
  bytes_left boolean NOT NULL DEFAULT false,
  tenant text COLLATE "C" NOT NULL,
  channel text COLLATE "C" NOT NULL,
  room text COLLATE "C" NOT NULL,
  reason text COLLATE "C",
  platform_id text COLLATE "C",
  mark text COLLATE "C",
  nack json,
  attempts json NOT NULL DEFAULT '[]',
  PRIMARY KEY (shard, id),
  CONSTRAINT i1_counters CHECK (
    version >= 0 AND settled >= 0 AND attempt >= 0 AND spent >= 0 AND first_claim_version >= 0
  ),
  CONSTRAINT i3_reason CHECK (
    (reason IS NULL) = (phase NOT IN ('waiting', 'held'))
    AND (phase <> 'waiting' OR reason IN ('not_before', 'limit', 'channel', 'paused'))
    AND (phase <> 'held' OR reason IN ('refused', 'attempts_exhausted', 'outcome_unknown'))
  ),
  CONSTRAINT i4_deadline CHECK (
    (until IS NOT NULL) = (
      phase IN ('awaiting_ack', 'backing_off', 'unknown')
      OR (phase = 'waiting' AND reason IN ('not_before', 'limit'))
    )
  ),
  CONSTRAINT i5_begun CHECK (attempt > 0 OR phase NOT IN ('sending', 'awaiting_ack', 'unknown', 'backing_off')),
  CONSTRAINT i6_idle CHECK (
    phase <> 'idle'
    OR (
      attempt = 0 AND spent = 0 AND level = 'none' AND platform_id IS NULL AND attempts::text = '[]'
    )
  ),
  CONSTRAINT i7_open_attempt CHECK (
    (phase = 'sending' OR (mark IS NULL AND nack IS NULL)) AND (phase = 'unknown' OR NOT bytes_left)
  ),
  CONSTRAINT i8_first_claim CHECK ((attempt > 0) = (first_claim_version > 0)),
  CONSTRAINT i11_paused CHECK (NOT paused OR phase NOT IN ('ready', 'idle')),
  CONSTRAINT known_mark CHECK (mark IN ('skip', 'cancel'))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

CREATE UNIQUE INDEX rooms_by_key ON rooms ((-shard), tenant, channel, room);

ALTER SEQUENCE room_ids OWNED BY rooms.id;

-- Rooms without a message for a day, with their numbering and version, so that the hot table stays small. The columns
-- are those of `rooms`, in the same order: a migration that changes one changes both.
CREATE TABLE resting_rooms (
  LIKE rooms INCLUDING CONSTRAINTS,
  PRIMARY KEY (shard, id)
);

CREATE UNIQUE INDEX resting_rooms_by_key ON resting_rooms ((-shard), tenant, channel, room);

CREATE TABLE messages (
  shard integer NOT NULL,
  room_id bigint NOT NULL,
  sequence bigint NOT NULL CHECK (sequence > 0),
  accepted_at bigint NOT NULL,
  not_before bigint,
  expires_at bigint,
  ack_timeout_ms bigint,
  cancelled boolean NOT NULL DEFAULT false,
  message_id text COLLATE "C" NOT NULL CHECK (octet_length(message_id) BETWEEN 1 AND 256),
  failure_policy text COLLATE "C" CHECK (failure_policy IN ('move_on', 'hold')),
  source text COLLATE "C" NOT NULL CHECK (source IN ('pubsub', 'http')),
  digest bytea NOT NULL CHECK (octet_length(digest) = 32),
  body bytea NOT NULL,
  PRIMARY KEY (shard, room_id, sequence)
) WITH (autovacuum_vacuum_scale_factor = 0.05);

CREATE UNIQUE INDEX messages_by_message_id ON messages ((-shard), (-room_id), message_id);

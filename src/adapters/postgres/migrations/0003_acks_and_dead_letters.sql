-- Where a platform's id leads (shard, room_id, sequence), and the ack that came for it before any acceptance named it.
-- Both meet on the one key, so whoever commits second sees the other.
CREATE TABLE platform_ids (
  tenant text COLLATE "C" NOT NULL,
  channel text COLLATE "C" NOT NULL,
  platform_id text COLLATE "C" NOT NULL,
  shard integer,
  room_id bigint,
  sequence bigint,
  level ack_level,
  nack json,
  at bigint,
  -- Since when the ack waits; null where none does.
  kept_at bigint,
  -- Housekeeping by the database's own clock.
  named_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, channel, platform_id),
  CONSTRAINT whole_message CHECK (num_nulls(shard, room_id, sequence) IN (0, 3)),
  CONSTRAINT whole_ack CHECK (num_nulls(level, at, kept_at) IN (0, 3)),
  CONSTRAINT message_or_ack CHECK (room_id IS NOT NULL OR kept_at IS NOT NULL)
) WITH (fillfactor = 90);

CREATE INDEX platform_ids_waiting ON platform_ids (kept_at) WHERE kept_at IS NOT NULL;

CREATE TABLE dead_letters (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at bigint NOT NULL,
  kind text COLLATE "C" NOT NULL CHECK (kind IN ('message', 'intake')),
  reason text COLLATE "C" NOT NULL,
  detail text,
  -- Of a message; its body is in the history.
  tenant text COLLATE "C",
  channel text COLLATE "C",
  shard integer,
  room_id bigint,
  sequence bigint,
  -- Of a payload that intake refused. The key is a digest: what it is made of is the publisher's, of any length.
  payload bytea,
  attributes json,
  dedupe_key bytea UNIQUE,
  CHECK ((kind = 'message') = (num_nulls(shard, room_id, sequence) = 0)),
  CHECK ((kind = 'intake') = (num_nulls(payload, attributes, dedupe_key) = 0))
);

CREATE TABLE channels (
  tenant text COLLATE "C" NOT NULL,
  channel text COLLATE "C" NOT NULL,
  condition json NOT NULL,
  saved_at bigint NOT NULL,
  PRIMARY KEY (tenant, channel)
);

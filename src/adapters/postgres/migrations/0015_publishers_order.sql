-- Whoever renews a lease, or writes, waits behind a change of its table: that may not take long.
SET LOCAL lock_timeout = '5s';

-- A publisher's own order within a room: what is ahead of its turn is parked, without a sequence. No row is rewritten.
-- Processes of an older version know nothing of it: publishers number their messages once none of them is left.

ALTER TABLE rooms
  -- The next number of the publisher's order. Like `tail` it is written by appends and skips only, never by decisions.
  ADD COLUMN next_order bigint NOT NULL DEFAULT 1 CHECK (next_order > 0),
  -- Since when something has been parked behind the present gap; null where nothing is parked.
  ADD COLUMN gap_since bigint;
ALTER TABLE resting_rooms
  ADD COLUMN next_order bigint NOT NULL DEFAULT 1 CHECK (next_order > 0),
  ADD COLUMN gap_since bigint CHECK (gap_since IS NULL);

-- Null where the publisher gave none; `late_order` is true where it came after its number had been skipped, else null.
ALTER TABLE messages
  ADD COLUMN order_number bigint,
  ADD COLUMN late_order boolean;
ALTER TABLE history
  ADD COLUMN order_number bigint,
  ADD COLUMN late_order boolean;

CREATE TABLE parked (
  shard integer NOT NULL,
  room_id bigint NOT NULL,
  order_number bigint NOT NULL CHECK (order_number > 1),
  accepted_at bigint NOT NULL,
  not_before bigint,
  expires_at bigint,
  ack_timeout_ms bigint,
  message_id text COLLATE "C" NOT NULL CHECK (octet_length(message_id) BETWEEN 1 AND 256),
  failure_policy text COLLATE "C" CHECK (failure_policy IN ('move_on', 'hold')),
  source text COLLATE "C" NOT NULL CHECK (source IN ('pubsub', 'http')),
  digest bytea NOT NULL CHECK (octet_length(digest) = 32),
  body bytea NOT NULL,
  PRIMARY KEY (shard, room_id, order_number)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX parked_by_message_id ON parked ((-shard), (-room_id), message_id);

-- Numbers that were given up, as ranges that never meet; and those of them whose messages came after all.
CREATE TABLE skipped_orders (
  shard integer NOT NULL,
  room_id bigint NOT NULL,
  first bigint NOT NULL CHECK (first > 0),
  last bigint NOT NULL,
  at bigint NOT NULL,
  PRIMARY KEY (shard, room_id, first),
  CHECK (last >= first)
);
CREATE TABLE late_orders (
  shard integer NOT NULL,
  room_id bigint NOT NULL,
  order_number bigint NOT NULL,
  at bigint NOT NULL,
  PRIMARY KEY (shard, room_id, order_number)
);

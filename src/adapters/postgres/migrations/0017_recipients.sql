-- Whoever writes waits behind a change of its table: that may not take long.
SET LOCAL lock_timeout = '5s';

-- Which rooms messages to a recipient have been in, where the room's name does not say it. Nothing is decided from it.
CREATE TABLE recipients (
  tenant text COLLATE "C" NOT NULL,
  recipient text COLLATE "C" NOT NULL,
  channel text COLLATE "C" NOT NULL,
  shard integer NOT NULL,
  room_id bigint NOT NULL,
  -- When a message to it was last accepted, to the day.
  seen_at bigint NOT NULL,
  PRIMARY KEY (tenant, recipient, channel, room_id)
);
CREATE INDEX recipients_by_time ON recipients (seen_at);

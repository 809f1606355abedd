-- What a room's attempts borrowed from its channel's limit on one end user, as the time at which it is paid back. It is
-- written by claims alone, which write the row anyhow, and so survives whoever holds the room.
ALTER TABLE rooms ADD COLUMN debt_until bigint NOT NULL DEFAULT 0;
ALTER TABLE resting_rooms ADD COLUMN debt_until bigint NOT NULL DEFAULT 0;

-- Whoever writes waits behind a change of its table: that may not take long.
SET LOCAL lock_timeout = '5s';

-- How far the partitions of the buffer have been inserted. A cursor moves in the transaction that inserts, so that it
-- says exactly what is in the store.
CREATE TABLE buffer_partitions (
  partition integer PRIMARY KEY CHECK (partition >= 0),
  -- Raised whenever it gets another consumer: what an earlier one sends is refused.
  term bigint NOT NULL DEFAULT 0,
  -- The id of the last entry that is in the store.
  cursor text COLLATE "C" NOT NULL DEFAULT '0-0' CHECK (cursor ~ '^[0-9]{1,20}-[0-9]{1,20}$'),
  -- Of the stream that the cursor belongs to: another one means that Redis has lost what it held.
  history text COLLATE "C",
  consumer text COLLATE "C",
  lease_until timestamptz,
  CHECK ((consumer IS NULL) = (lease_until IS NULL))
) WITH (fillfactor = 50);

-- Processes that empty the buffer.
CREATE TABLE buffer_consumers (
  consumer text COLLATE "C" PRIMARY KEY,
  lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- In its caller's transaction; what that transaction inserted goes with it where the cursor is not there.
CREATE FUNCTION move_buffer_cursor(its_partition integer, its_term bigint, its_cursor text, next text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  UPDATE public.buffer_partitions SET cursor = next
  WHERE partition = its_partition AND term = its_term AND cursor = its_cursor;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the cursor has moved, or another consumer has the partition' USING ERRCODE = 'RL001';
  END IF;
END
$$;

ALTER TABLE messages
  DROP CONSTRAINT messages_source_check,
  ADD CONSTRAINT messages_source_check CHECK (source IN ('pubsub', 'http', 'buffer')) NOT VALID;
ALTER TABLE parked
  DROP CONSTRAINT parked_source_check,
  ADD CONSTRAINT parked_source_check CHECK (source IN ('pubsub', 'http', 'buffer')) NOT VALID;

-- Several workers: what each may hold, and whither shards are to go.
ALTER TABLE workers
  -- The name of the node, the same in every life.
  ADD COLUMN name text COLLATE "C" NOT NULL DEFAULT '' CHECK (octet_length(name) <= 256),
  ADD COLUMN roles text[] COLLATE "C" NOT NULL DEFAULT '{intake,api,webhook,worker}',
  ADD COLUMN weight double precision NOT NULL DEFAULT 1 CHECK (weight >= 0 AND weight <= 1000),
  ADD COLUMN draining boolean NOT NULL DEFAULT false;

ALTER TABLE shards
  -- To whom a living owner is to hand the shard over, and until when.
  ADD COLUMN heir text COLLATE "C",
  ADD COLUMN heir_until timestamptz,
  ADD CONSTRAINT heir_has_limit CHECK ((heir IS NULL) = (heir_until IS NULL));
CREATE INDEX shards_owner ON shards (owner);
CREATE INDEX shards_handed_over ON shards (owner) WHERE heir IS NOT NULL;

-- An operator's word about the nodes of a name.
CREATE TABLE worker_weights (
  name text COLLATE "C" PRIMARY KEY CHECK (octet_length(name) BETWEEN 1 AND 256),
  weight double precision NOT NULL CHECK (weight >= 0 AND weight <= 1000)
);
CREATE TABLE shard_pins (
  shard integer PRIMARY KEY REFERENCES shards,
  name text COLLATE "C" NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 256)
);

-- One row: which membership the shards were distributed for, and who is just distributing them.
CREATE TABLE fleet (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  membership bigint NOT NULL DEFAULT 1,
  planned bigint NOT NULL DEFAULT 0,
  planner text COLLATE "C",
  planner_until timestamptz
);
INSERT INTO fleet DEFAULT VALUES;

-- Whoever changes what a plan is made from, a process of an older version too, has it made anew. The row is locked last,
-- after the rows that were changed.
CREATE FUNCTION membership_changed() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
  UPDATE fleet SET membership = membership + 1;
  RETURN NULL;
END
$$;
CREATE TRIGGER membership_changed AFTER INSERT ON workers
  FOR EACH ROW EXECUTE FUNCTION membership_changed();
CREATE TRIGGER membership_drained AFTER UPDATE OF draining ON workers
  FOR EACH ROW WHEN (OLD.draining <> NEW.draining) EXECUTE FUNCTION membership_changed();
CREATE TRIGGER membership_changed AFTER UPDATE OF fenced ON fences
  FOR EACH ROW WHEN (OLD.fenced <> NEW.fenced) EXECUTE FUNCTION membership_changed();
CREATE TRIGGER membership_changed AFTER INSERT OR UPDATE OR DELETE ON worker_weights
  FOR EACH STATEMENT EXECUTE FUNCTION membership_changed();
CREATE TRIGGER membership_changed AFTER INSERT OR UPDATE OR DELETE ON shard_pins
  FOR EACH STATEMENT EXECUTE FUNCTION membership_changed();

-- Since when the membership is what it is, and since when each shard is its owner's.
ALTER TABLE fleet ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE shards ADD COLUMN moved_at timestamptz NOT NULL DEFAULT now();

CREATE OR REPLACE FUNCTION membership_changed() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
  UPDATE fleet SET membership = membership + 1, changed_at = clock_timestamp();
  RETURN NULL;
END
$$;

-- A statement that changes no row changes no membership.
CREATE FUNCTION rows_changed() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
  IF EXISTS (SELECT FROM changed) THEN
    UPDATE fleet SET membership = membership + 1, changed_at = clock_timestamp();
  END IF;
  RETURN NULL;
END
$$;
DROP TRIGGER membership_changed ON worker_weights;
CREATE TRIGGER weights_added AFTER INSERT ON worker_weights
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION rows_changed();
CREATE TRIGGER weights_changed AFTER UPDATE ON worker_weights
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION rows_changed();
CREATE TRIGGER weights_removed AFTER DELETE ON worker_weights
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION rows_changed();
DROP TRIGGER membership_changed ON shard_pins;
CREATE TRIGGER pins_added AFTER INSERT ON shard_pins
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION rows_changed();
CREATE TRIGGER pins_changed AFTER UPDATE ON shard_pins
  REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION rows_changed();
CREATE TRIGGER pins_removed AFTER DELETE ON shard_pins
  REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION rows_changed();

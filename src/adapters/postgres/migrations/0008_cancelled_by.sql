-- Who had a waiting message cancelled. No row is rewritten: the table is read once, and few of its rows are marked.
-- Processes of an older version name the column that goes: from here on their statements fail, without effect, until
-- they are replaced.
ALTER TABLE messages
  ADD COLUMN cancelled_by text COLLATE "C",
  ADD CONSTRAINT known_cancelled_by CHECK (cancelled_by IN ('operator', 'superseded'));
UPDATE messages SET cancelled_by = 'operator' WHERE cancelled;
ALTER TABLE messages DROP COLUMN cancelled;

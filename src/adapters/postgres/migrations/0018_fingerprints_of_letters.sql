-- Whoever writes waits behind a change of its table: that may not take long.
SET LOCAL lock_timeout = '5s';

-- Of the failure that made the letter, as its group has it; null of letters that are older than this. No row is read.
ALTER TABLE dead_letters
  ADD COLUMN fingerprint bytea,
  ADD CONSTRAINT dead_letters_fingerprint_check CHECK (octet_length(fingerprint) = 16) NOT VALID;

-- Lists of a group go by time, from any point on; negated, as those of a channel and of a room are.
CREATE INDEX dead_letters_by_fingerprint ON dead_letters (fingerprint, (-at), (-id)) WHERE fingerprint IS NOT NULL;

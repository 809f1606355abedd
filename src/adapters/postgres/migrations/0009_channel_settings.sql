-- Channels that operators configure by the API, beside those of the configuration files. Settings name their secrets;
-- no secret itself is ever stored.
CREATE TABLE channel_settings (
  tenant text COLLATE "C" NOT NULL CHECK (octet_length(tenant) BETWEEN 1 AND 64),
  channel text COLLATE "C" NOT NULL CHECK (octet_length(channel) BETWEEN 1 AND 64),
  settings jsonb NOT NULL CHECK (jsonb_typeof(settings) = 'object'),
  -- The number of the change that made them what they are: never given twice, also not to a channel of the same name.
  revision bigint NOT NULL CHECK (revision > 0),
  updated_at bigint NOT NULL,
  updated_by text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, channel)
);

-- One row: how many changes there were. Every change locks it first, so that they commit in the order of their numbers.
CREATE TABLE channel_settings_revision (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  revision bigint NOT NULL DEFAULT 0
);
INSERT INTO channel_settings_revision DEFAULT VALUES;

-- What operators did, of whatever kind. Rows are never changed.
CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at bigint NOT NULL,
  -- The name of the key that was used.
  actor text COLLATE "C" NOT NULL,
  action text COLLATE "C" NOT NULL CHECK (action ~ '^[a-z_]+(\.[a-z_]+)*$'),
  subject text COLLATE "C" NOT NULL,
  detail jsonb NOT NULL,
  request_id text COLLATE "C" NOT NULL
);
CREATE INDEX audit_by_subject ON audit (subject, id);

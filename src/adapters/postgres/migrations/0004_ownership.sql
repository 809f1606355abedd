-- Heartbeats. Leases are judged by this database's clock alone.
CREATE TABLE workers (
  worker text COLLATE "C" PRIMARY KEY,
  lease_until timestamptz NOT NULL,
  registered_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- What a claim proves. Renewals never touch these rows, so that they and the batches never wait for each other.
CREATE TABLE fences (
  worker text COLLATE "C" PRIMARY KEY,
  fenced boolean NOT NULL DEFAULT false,
  generation bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 50);

-- Rows change only when a shard moves.
CREATE TABLE shards (
  shard integer PRIMARY KEY,
  owner text COLLATE "C",
  epoch bigint NOT NULL DEFAULT 0
);

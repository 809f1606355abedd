/**
 * The schema. `migrate` is run by a role that owns the database (or may create in its `public` schema): it needs DDL.
 * The service itself needs none: it reads and writes rows, and makes and drops the history's partitions through two
 * functions that run with their owner's rights. Where the two are different roles, name the service's one when
 * migrating, and it is granted just that.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import pg from 'pg';
import { RoomlineError } from '../../errors.ts';
import { STATEMENTS } from './statements.ts';

const DIRECTORY = fileURLToPath(new URL('migrations', import.meta.url));
const TABLE = 'roomline_migrations';
const DEFAULT_SHARDS = 4_096;
const PARTITIONS_AHEAD_DAYS = 7;

export interface MigrateOptions {
  /** Hash buckets of rooms, fixed by the first migration; 4,096 where not said. */
  readonly shards?: number;
  /** A role that the service runs as, if it is not the one that migrates. */
  readonly serviceRole?: string;
  readonly ssl?: NonNullable<pg.ClientConfig['ssl']>;
}

/**
 * Brings the database's schema to what this version needs; does nothing where it is that already. Safe to run at once
 * from several processes: they take turns.
 * @throws RoomlineError `shards_mismatch` where the database was created with another number of shards than asked for
 */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<void> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'roomline migrate',
    ...(options.ssl === undefined ? {} : { ssl: options.ssl }),
  });
  await client.connect();
  try {
    await runner({
      dbClient: client,
      dir: DIRECTORY,
      migrationsTable: TABLE,
      schema: 'public',
      direction: 'up',
      // Each is a transaction of its own: what one has locked is free again before the next.
      singleTransaction: false,
      advisoryLockMode: 'wait',
      logger: { info: quiet, warn: quiet, error: quiet },
    });
    await settle(client, options);
  } finally {
    await client.end();
  }
}

/** The library's progress lines; what fails is thrown. */
function quiet(): void {}

/** What a new database holds from the start. */
async function settle(client: pg.Client, { shards, serviceRole }: MigrateOptions): Promise<void> {
  // Where the role could not ask before, it may be allowed to by now.
  await client.query(
    `INSERT INTO settings AS s (shards, system_identifier, timeline)
     SELECT $1, system_identifier, timeline FROM cluster_identity()
     ON CONFLICT (singleton) DO UPDATE
       SET system_identifier = excluded.system_identifier, timeline = excluded.timeline
       WHERE s.system_identifier IS NULL`,
    [shards ?? DEFAULT_SHARDS],
  );
  const { rows } = await client.query('SELECT shards FROM settings');
  const count = (rows[0] as { shards: number }).shards;
  if (shards !== undefined && shards !== count) throw shardsMismatch(count, shards);
  await client.query('INSERT INTO shards (shard) SELECT generate_series(0, $1 - 1) ON CONFLICT DO NOTHING', [count]);
  await client.query(STATEMENTS.makeHistoryPartitions.text, [PARTITIONS_AHEAD_DAYS]);
  if (serviceRole !== undefined) await grant(client, serviceRole);
}

export function shardsMismatch(actual: number, expected: number): RoomlineError {
  return new RoomlineError('shards_mismatch', {
    detail: `The database has ${actual} shards, not ${expected}.`,
    rule: `postgres.shards must be ${actual}`,
  });
}

async function grant(client: pg.Client, role: string): Promise<void> {
  const name = client.escapeIdentifier(role);
  await client.query(`
    GRANT USAGE ON SCHEMA public TO ${name};
    GRANT SELECT, INSERT, UPDATE, DELETE ON
      rooms, resting_rooms, messages, history, platform_ids, dead_letters, channels, workers, fences, shards, fleet,
      worker_weights, shard_pins TO ${name};
    GRANT SELECT, INSERT, UPDATE, DELETE ON parked, skipped_orders, late_orders TO ${name};
    GRANT SELECT, INSERT, UPDATE, DELETE ON channel_settings, pipeline_parts, lingering_rooms, channel_minutes TO ${name};
    GRANT SELECT, INSERT, UPDATE, DELETE ON buffer_partitions, buffer_consumers TO ${name};
    GRANT SELECT, UPDATE ON channel_settings_revision TO ${name};
    GRANT SELECT, INSERT ON audit TO ${name};
    GRANT SELECT, INSERT, UPDATE, DELETE ON failures, recipients TO ${name};
    GRANT SELECT ON settings, ${TABLE} TO ${name};
    GRANT UPDATE (system_identifier, timeline) ON settings TO ${name};
    GRANT SELECT, INSERT ON database_decisions TO ${name};
    GRANT USAGE ON SEQUENCE room_ids TO ${name};
    GRANT EXECUTE ON FUNCTION make_history_partitions(date, date), drop_history_partitions(bigint),
      prune_audit(bigint, integer), move_buffer_cursor(integer, bigint, text, text), add_counts(bigint[], bigint[]),
      cluster_identity, room_keeps_invariants, message_keeps_limits TO ${name};
  `);
}

/** The names of the migrations that this version knows, in their order. */
export const KNOWN_MIGRATIONS: readonly string[] = readdirSync(DIRECTORY)
  .filter((file) => file.endsWith('.sql'))
  .map((file) => file.slice(0, -'.sql'.length))
  .sort();

/** A query for the names of the migrations that a database has had; it fails where it has had none at all. */
export const APPLIED_MIGRATIONS = `SELECT name FROM ${TABLE} ORDER BY id`;

/** What is looked at before the store is used, and again by readiness. */
import pg from 'pg';
import { RoomlineError } from '../../errors.ts';
import { APPLIED_MIGRATIONS, KNOWN_MIGRATIONS, shardsMismatch } from './migrate.ts';
import type { PostgresOptions } from './options.ts';
import type { Pool } from './pool.ts';

const OLDEST_VERSION = 150_000;

/** What each setting must be so that a commit that was answered survives whatever the disk survives. */
const SAFE: Readonly<Record<string, readonly string[]>> = {
  fsync: ['on'],
  full_page_writes: ['on'],
  synchronous_commit: ['on', 'remote_apply'],
  default_transaction_isolation: ['read committed'],
};

export interface Check {
  /** Settings that break a promise, where they were allowed: `fsync = off`. */
  readonly unsafeSettings: readonly string[];
  readonly shards: number;
}

/**
 * @throws RoomlineError `schema_outdated`, `shards_mismatch` or `unsafe_postgres_setting`
 */
export async function checkDatabase(pool: Pool, options: PostgresOptions): Promise<Check> {
  await checkSchema(pool);
  const unsafeSettings = await findUnsafeSettings(pool);
  if (unsafeSettings.length > 0 && !options.allowUnsafeSettings) {
    const rule = Object.entries(SAFE).map(([name, values]) => `${name} = ${values.join(' or ')}`);
    throw new RoomlineError('unsafe_postgres_setting', {
      detail: `The server has ${unsafeSettings.join(', ')}.`,
      rule: rule.join(', '),
    });
  }
  const { rows } = await pool.query({ text: 'SELECT shards FROM settings' }, 'the check of the shards');
  const { shards } = rows[0] as { shards: number };
  if (options.shards !== undefined && options.shards !== shards) throw shardsMismatch(shards, options.shards);
  return { unsafeSettings, shards };
}

async function checkSchema(pool: Pool): Promise<void> {
  const applied = await appliedMigrations(pool);
  const missing = KNOWN_MIGRATIONS.filter((name) => !applied.includes(name));
  if (missing.length > 0) {
    throw new RoomlineError('schema_outdated', { detail: `The database lacks the migrations ${missing.join(', ')}.` });
  }
}

/** Names of the migrations that the database has had, oldest first; none where it was never migrated. */
export async function appliedMigrations(pool: Pool): Promise<string[]> {
  try {
    const { rows } = await pool.query({ text: APPLIED_MIGRATIONS }, 'the check of the schema');
    return (rows as { name: string }[]).map((row) => row.name);
  } catch (error) {
    const undefinedTable = error instanceof pg.DatabaseError && error.code === '42P01';
    if (undefinedTable) return [];
    throw error;
  }
}

async function findUnsafeSettings(pool: Pool): Promise<string[]> {
  const names = [...Object.keys(SAFE), 'server_version_num'];
  const query = { text: 'SELECT name, setting FROM pg_settings WHERE name = ANY ($1)', values: [names] };
  const { rows } = await pool.query(query, 'the check of the settings');
  return (rows as { name: string; setting: string }[]).flatMap(({ name, setting }) => {
    if (name === 'server_version_num') return Number(setting) < OLDEST_VERSION ? [`version ${setting}`] : [];
    return SAFE[name]?.includes(setting) ? [] : [`${name} = ${setting}`];
  });
}

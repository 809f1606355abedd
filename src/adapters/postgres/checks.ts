/**
 * What is looked at before the store is used, and again by every connection that it opens: whether the server may be
 * written to, whether its commits last, and whether its past is the one that is known.
 */
import pg, { type QueryConfig, type QueryResult } from 'pg';
import type { AnotherHistory, DatabaseIdentity } from '../../engine/fleet-ports.ts';
import { RoomlineError } from '../../errors.ts';
import { APPLIED_MIGRATIONS, KNOWN_MIGRATIONS, shardsMismatch } from './migrate.ts';
import { type PostgresOptions, sessionSettings } from './options.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS } from './statements.ts';

const OLDEST_VERSION = 150_000;

/** What each setting must be so that a commit that was answered survives whatever the disk survives. */
const SAFE: Readonly<Record<string, readonly string[]>> = {
  fsync: ['on'],
  full_page_writes: ['on'],
  synchronous_commit: ['on', 'remote_apply'],
  default_transaction_isolation: ['read committed'],
};

export interface ServerView {
  readonly databaseTimeMs: number;
  /** Null where nothing was stored. */
  readonly stored: DatabaseIdentity | null;
  /** Null where the role may not ask. */
  readonly seen: DatabaseIdentity | null;
  /** Null where both are known and the same, and where they cannot be compared. */
  readonly anotherHistory: AnotherHistory | null;
  /** Settings of the session under which a commit that was answered may be lost: `fsync = off`. */
  readonly unsafeSettings: readonly string[];
}

export type RunQuery = (query: QueryConfig) => Promise<QueryResult>;

interface ServerRecord {
  readonly in_recovery: boolean;
  readonly database_time: number;
  readonly stored_system_identifier: string | null;
  readonly stored_timeline: number | null;
  readonly seen_system_identifier: string | null;
  readonly seen_timeline: number | null;
  readonly settings: Readonly<Record<string, string>>;
}

/** @throws RoomlineError `database_in_recovery` where the session is on a standby */
export async function lookAtServer(run: RunQuery): Promise<ServerView> {
  const { rows } = await run({ text: STATEMENTS.lookAtServer.text });
  const record = rows[0] as ServerRecord | undefined;
  if (record === undefined) throw new RoomlineError('schema_outdated', { detail: 'The database has no settings.' });
  if (record.in_recovery) throw new RoomlineError('database_in_recovery');
  const stored = identityOf(record.stored_system_identifier, record.stored_timeline);
  const seen = identityOf(record.seen_system_identifier, record.seen_timeline);
  const differs =
    stored !== null &&
    seen !== null &&
    (stored.systemIdentifier !== seen.systemIdentifier || stored.timeline !== seen.timeline);
  return {
    databaseTimeMs: record.database_time,
    stored,
    seen,
    anotherHistory: differs ? { stored, seen } : null,
    unsafeSettings: unsafeAmong(record.settings),
  };
}

function identityOf(systemIdentifier: string | null, timeline: number | null): DatabaseIdentity | null {
  return systemIdentifier === null || timeline === null ? null : { systemIdentifier, timeline };
}

export interface Check {
  readonly shards: number;
  readonly view: ServerView;
}

/**
 * @throws RoomlineError `database_in_recovery`, `schema_outdated`, `shards_mismatch` or `unsafe_postgres_setting`
 */
export async function checkDatabase(
  pool: Pool,
  options: PostgresOptions,
  look: () => Promise<ServerView>,
): Promise<Check> {
  await checkSchema(pool);
  const view = await look();
  if (!options.allowUnsafeSettings) refuseUnsafe(view.unsafeSettings);
  await checkSession(pool, options);
  const { rows } = await pool.query({ text: 'SELECT shards FROM settings' }, 'the check of the shards');
  const { shards } = rows[0] as { shards: number };
  if (options.shards !== undefined && options.shards !== shards) throw shardsMismatch(shards, options.shards);
  return { view, shards };
}

/** A pooler's sessions have what their role is set to, and nothing tells when that is nothing. */
async function checkSession(pool: Pool, options: PostgresOptions): Promise<void> {
  const wanted = sessionSettings(options);
  const query = { text: 'SELECT name, setting FROM pg_settings WHERE name = ANY ($1)', values: [Object.keys(wanted)] };
  const { rows } = await pool.query(query, 'the check of the session');
  const differing = (rows as { name: string; setting: string }[]).filter(
    ({ name, setting }) => wanted[name] !== setting,
  );
  if (differing.length === 0) return;
  throw new RoomlineError('unsafe_postgres_setting', {
    detail: `The session has ${differing.map(({ name, setting }) => `${name} = ${setting}`).join(', ')}.`,
    rule: differing.map(({ name }) => `ALTER ROLE <role> SET ${name} = '${wanted[name]}'`).join('; '),
  });
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

/** Those of a session's settings that break a promise; `server_version_num` is one of them. */
export function unsafeAmong(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).flatMap(([name, setting]) => {
    if (name === 'server_version_num') return Number(setting) < OLDEST_VERSION ? [`version ${setting}`] : [];
    return SAFE[name]?.includes(setting) ? [] : [`${name} = ${setting}`];
  });
}

/** @throws RoomlineError `unsafe_postgres_setting` */
function refuseUnsafe(unsafeSettings: readonly string[]): void {
  if (unsafeSettings.length === 0) return;
  const rule = Object.entries(SAFE).map(([name, values]) => `${name} = ${values.join(' or ')}`);
  throw new RoomlineError('unsafe_postgres_setting', {
    detail: `The server has ${unsafeSettings.join(', ')}.`,
    rule: rule.join(', '),
  });
}

/** Databases for tests: each a clone of a migrated template, dropped afterwards together with a check for leaks. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { eventually } from './events.ts';
import type { ProvidedPostgres } from './global-setup.ts';
import { closePooled } from './pgbouncer.ts';

export type { ProvidedPostgres } from './global-setup.ts';

export type Migrate = (url: string) => Promise<void>;

export interface TestDatabase {
  readonly name: string;
  readonly url: string;
  /** The same through a pooler in transaction mode; null where none stands before it. */
  readonly pooledUrl: string | null;
  /**
   * Drops the database.
   * @throws Error where a connection to it is still open, naming what that connection did last.
   */
  drop(): Promise<void>;
}

const LEAK_DEADLINE_MS = 2_000;

/** The servers that the global setup has started, for `describe.each`. */
export function postgresServers(): readonly ProvidedPostgres[] {
  const servers = inject('postgresServers') as readonly ProvidedPostgres[] | undefined;
  if (servers === undefined) {
    throw new Error(
      'only tests that vitest.config.ts lists under WITH_POSTGRES get servers: name the file *.pg.test.ts',
    );
  }
  return servers;
}

/** A database with Roomline's schema, or with the one that `migrate` makes. */
export async function createDatabase(server: ProvidedPostgres, migrate?: Migrate): Promise<TestDatabase> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  await withAdmin(server, async (admin) => {
    if (migrate === undefined) await cloneTemplate(server, admin, name);
    else await admin.query(`CREATE DATABASE ${name}`);
  });
  const url = databaseUrl(server.url, name);
  const pooledUrl = server.pooledUrl === null ? null : databaseUrl(server.pooledUrl, name);
  await migrate?.(url);
  return {
    name,
    url,
    pooledUrl,
    drop: async () => {
      if (pooledUrl !== null) await closePooled(pooledUrl);
      await withAdmin(server, (admin) => drop(admin, name));
    },
  };
}

/** One way to a server: its own address, or through the pooler that stands before it. */
export interface Route {
  /** Such as `embedded 18, pooled`, for the names of tests. */
  readonly name: string;
  readonly server: ProvidedPostgres;
  readonly pooled: boolean;
}

/** Every way to every server, for `describe.each`. */
export function postgresRoutes(): readonly Route[] {
  return postgresServers().flatMap((server) => [
    { name: server.name, server, pooled: false },
    ...(server.pooledUrl === null ? [] : [{ name: `${server.name}, pooled`, server, pooled: true }]),
  ]);
}

const TEMPLATE = 'template_roomline';

/** Test files run in parallel: a lock on the server decides which of them makes the template. */
async function cloneTemplate(server: ProvidedPostgres, admin: pg.Client, name: string): Promise<void> {
  await admin.query('SELECT pg_advisory_lock(hashtext($1))', [TEMPLATE]);
  try {
    const { rowCount } = await admin.query('SELECT FROM pg_database WHERE datname = $1', [TEMPLATE]);
    if (rowCount === 0) await makeTemplate(server, admin);
    await admin.query(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`);
  } finally {
    await admin.query('SELECT pg_advisory_unlock(hashtext($1))', [TEMPLATE]);
  }
}

async function makeTemplate(server: ProvidedPostgres, admin: pg.Client): Promise<void> {
  // Imported only when needed, so that tests with a schema of their own do not depend on Roomline's.
  const { migrate } = await import('../../src/adapters/postgres/migrate.ts');
  // Under its name only when it is complete: a failed migration must not leave half a template.
  const draft = `${TEMPLATE}_draft`;
  await admin.query(`DROP DATABASE IF EXISTS ${draft} WITH (FORCE)`);
  await admin.query(`CREATE DATABASE ${draft}`);
  await migrate(databaseUrl(server.url, draft));
  await admin.query(`ALTER DATABASE ${draft} RENAME TO ${TEMPLATE}`);
}

async function drop(admin: pg.Client, name: string): Promise<void> {
  let open: string[] = [];
  const closed = eventually(
    `connections to ${name} are closed`,
    async () => {
      const { rows } = await admin.query<{ application_name: string; state: string; query: string }>(
        `SELECT application_name, state, left(query, 200) AS query FROM pg_stat_activity
         WHERE datname = $1 AND backend_type = 'client backend'`,
        [name],
      );
      open = rows.map((row) => `${row.application_name || 'unnamed'} (${row.state}): ${row.query}`);
      return open.length === 0;
    },
    { deadlineMs: LEAK_DEADLINE_MS },
  );
  try {
    await closed.catch((cause: unknown) => {
      throw new Error(`${open.length} connections to ${name} are still open:\n${open.join('\n')}`, { cause });
    });
  } finally {
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
  }
}

async function withAdmin<T>(server: ProvidedPostgres, run: (admin: pg.Client) => Promise<T>): Promise<T> {
  const admin = new pg.Client({ connectionString: server.url, application_name: 'roomline-test-admin' });
  await admin.connect();
  try {
    return await run(admin);
  } finally {
    await admin.end();
  }
}

function databaseUrl(server: string, name: string): string {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

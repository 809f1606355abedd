/**
 * Real Postgres servers for the tests that need them: the embedded version, and one that the system has installed, so
 * that two major versions are always tried. Both keep fsync on. A pooler stands before the first: what it changes is how
 * sessions meet, whatever server is behind it. In CI the second one and the pooler are required.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { serverAccount } from '../../simulators/postgres/account.ts';
import { systemBinaries } from '../../simulators/postgres/binaries.ts';
import { type PostgresServer, startPostgres } from '../../simulators/postgres/embedded.ts';
import { leaveOut } from './optional.ts';
import { findPgbouncer, type Pgbouncer, startPgbouncer } from './pgbouncer.ts';

export interface ProvidedPostgres {
  /** Such as `embedded 18`, for the names of tests. */
  readonly name: string;
  readonly major: number;
  /** URL of its maintenance database, as superuser. */
  readonly url: string;
  /** The same through a pooler in transaction mode; null where none stands before it. */
  readonly pooledUrl: string | null;
}

declare module 'vitest' {
  export interface ProvidedContext {
    readonly postgresServers: readonly ProvidedPostgres[];
  }
}

const SETTINGS = { max_connections: '200', shared_buffers: '128MB', max_wal_size: '4GB' };
const NONE_INSTALLED = 'No Postgres 15 or later is installed on this machine (on Debian: apt-get install postgresql)';
const NO_POOLER = 'No PgBouncer is installed on this machine (on Debian: apt-get install pgbouncer)';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'roomline-test-postgres-'));
  chmodSync(folder, 0o755);
  const started: PostgresServer[] = [];
  let pooler: Pgbouncer | null = null;
  const stopAll = async () => {
    await pooler?.stop();
    await Promise.all(started.map((server) => server.stop()));
    rmSync(folder, { recursive: true, force: true });
  };

  try {
    const [installed] = systemBinaries(serverAccount(folder));
    if (installed === undefined) {
      if (process.env.CI === 'true') throw new Error(`${NONE_INSTALLED}; in CI it is required`);
      process.stderr.write(`${NONE_INSTALLED}: testing with the embedded one only\n`);
    }
    const program = findPgbouncer();
    if (program === null) leaveOut('pooler', NO_POOLER, 'nothing is tested through a pooler');
    const wanted = [
      { label: 'embedded', binaries: 'embedded' },
      ...(installed === undefined ? [] : [{ label: 'system', binaries: installed.directory }]),
    ];
    const provided: ProvidedPostgres[] = [];
    for (const { label, binaries } of wanted) {
      const server = await startPostgres({ directory: join(folder, label), binaries, settings: SETTINGS });
      started.push(server);
      const url = server.url();
      let pooledUrl: string | null = null;
      if (program !== null && pooler === null) {
        pooler = await startPgbouncer(program, join(folder, 'pooler'), url);
        pooledUrl = pooler.url(url);
      }
      provided.push({ name: `${label} ${server.major}`, major: server.major, url, pooledUrl });
    }
    project.provide('postgresServers', provided);
    return stopAll;
  } catch (error) {
    await stopAll();
    throw error;
  }
}

/** What is refused at the start, and what is said when it changes while the stores are open. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type PostgresServer, startPostgres } from '../../../simulators/postgres/embedded.ts';
import { migrate } from '../../../src/adapters/postgres/migrate.ts';
import { createPostgres, type Postgres } from '../../../src/adapters/postgres/postgres.ts';
import { createSystemClock } from '../../../src/adapters/system-clock.ts';
import type { Instruments } from '../../../src/engine/instruments.ts';
import { createLog, createMetrics, recipientHasher, Telemetry } from '../../../src/telemetry.ts';
import { eventually } from '../../support/events.ts';
import { registrationOf } from '../../support/fleet.ts';
import { postgresServers } from '../../support/postgres.ts';
import { Database, openOptions, session } from './database.ts';

const LEASE_MS = 60_000;

interface Told {
  readonly lines: string[];
  readonly instruments: Instruments;
}

function listen(): Told {
  const lines: string[] = [];
  return {
    lines,
    instruments: {
      log: createLog({ level: 'debug', destination: { write: (line: string) => void lines.push(line) } }),
      metrics: createMetrics({ version: '1.0.0' }),
      telemetry: new Telemetry(),
      hash: recipientHasher('a secret of the tests'),
    },
  };
}

function create(url: string, { instruments }: Told, wishes: { readonly allowUnsafeSettings?: boolean } = {}) {
  const onFailure = (error: unknown): void => {
    throw error;
  };
  return createPostgres({ ...openOptions(url, wishes), instruments, clock: createSystemClock(), onFailure });
}

/** Its connections are closed by its service, which is started for that. */
async function close({ service }: Postgres): Promise<void> {
  await service.start();
  await service.stop();
}

function events({ lines }: Told): object[] {
  return lines.map((line) => {
    const { time: _time, level, ...rest } = JSON.parse(line) as Record<string, unknown>;
    return { level, ...rest };
  });
}

async function unsafeGauge({ instruments }: Told): Promise<number | undefined> {
  return (await instruments.metrics.unsafeSettings.get()).values[0]?.value;
}

describe.each(postgresServers())('$name: check', (server) => {
  let database: Database;
  beforeEach(async () => {
    database = await Database.create(server);
  });
  afterEach(() => database.close());

  it('refuses settings that would lose commits, unless they are allowed, and then says so', async () => {
    await database.query(`ALTER DATABASE ${new URL(database.url).pathname.slice(1)} SET synchronous_commit = off`);

    await expect(database.stores().check()).rejects.toMatchObject({
      code: 'unsafe_postgres_setting',
      detail: 'The server has synchronous_commit = off.',
    });
    const told = listen();
    const postgres = await create(database.url, told, { allowUnsafeSettings: true });
    expect(await postgres.readiness()).toEqual({
      name: 'postgres',
      ok: true,
      detail: 'commits may be lost: synchronous_commit = off (allowed by postgres.allowUnsafeSettings)',
    });
    expect(events(told)).toEqual([{ level: 'error', event: 'postgres.unsafe', reason: 'synchronous_commit = off' }]);
    await close(postgres);
  });

  it('refuses a database with another number of shards', async () => {
    await expect(database.stores({ shards: 7 }).check()).rejects.toMatchObject({ code: 'shards_mismatch' });
  });

  it('says once where the role may not ask which cluster this is, and how that is granted', async () => {
    const role = `blind_${new URL(database.url).pathname.slice(1)}`;
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'blind'; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC;
      GRANT ALL ON ALL TABLES IN SCHEMA public TO ${role}`);
    try {
      const url = new URL(database.url);
      url.username = role;
      url.password = 'blind';
      const told = listen();
      const postgres = await create(url.href, told);
      expect(events(told)).toEqual([
        {
          level: 'warn',
          event: 'database.uncomparable',
          reason: 'the role may not ask which cluster and timeline this is',
          rule: 'GRANT EXECUTE ON FUNCTION pg_control_system(), pg_current_wal_lsn(), pg_walfile_name(pg_lsn) TO <role>',
        },
      ]);
      await postgres.stores.ownership.register(registrationOf('a', LEASE_MS));
      expect(await postgres.stores.ownership.renew('a', LEASE_MS)).toMatchObject({ anotherHistory: null });
      await close(postgres);

      await database.query(
        `GRANT EXECUTE ON FUNCTION pg_control_system(), pg_current_wal_lsn(), pg_walfile_name(pg_lsn) TO ${role}`,
      );
      const granted = listen();
      const seeing = await create(url.href, granted);
      expect(events(granted)).toEqual([]);
      await close(seeing);
    } finally {
      await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });

  it('says where no cluster was stored, which the next migration makes good', async () => {
    await database.query('UPDATE settings SET system_identifier = NULL, timeline = NULL');
    const told = listen();
    await close(await create(database.url, told));
    expect(events(told)).toMatchObject([{ event: 'database.uncomparable', rule: 'roomline migrate' }]);

    await migrate(database.url);
    const again = listen();
    await close(await create(database.url, again));
    expect(events(again)).toEqual([]);
  });
});

describe('settings of a server', () => {
  let folder: string;
  let server: PostgresServer;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'roomline-checks-'));
    chmodSync(folder, 0o755);
    server = await startPostgres({ directory: join(folder, 'postgres') });
    await migrate(server.url());
  });
  afterAll(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(() => change('ALTER SYSTEM RESET ALL', `ALTER ROLE ${server.user} RESET ALL`));

  async function change(...statements: readonly string[]): Promise<void> {
    await session(server.url(), async (client) => {
      for (const statement of statements) await client.query(statement);
      await client.query('SELECT pg_reload_conf()');
    });
  }

  /** A reload is heard of by each session in its own time. */
  async function refusal(): Promise<{ readonly code: string; readonly detail: string; readonly rule: string }> {
    return eventually('the start is refused', async () => {
      try {
        await close(await create(server.url(), listen()));
        return null;
      } catch (error) {
        return error as { code: string; detail: string; rule: string };
      }
    });
  }

  it.each([
    ['fsync', 'off', 'ALTER SYSTEM SET fsync = off'],
    ['full_page_writes', 'off', 'ALTER SYSTEM SET full_page_writes = off'],
    ['synchronous_commit', 'off', 'ALTER SYSTEM SET synchronous_commit = off'],
    ['synchronous_commit', 'local', 'ALTER SYSTEM SET synchronous_commit = local'],
    ['synchronous_commit', 'off', 'ALTER ROLE roomline SET synchronous_commit = off'],
  ])('%s = %s is refused at the start: %s', async (name, value, statement) => {
    await change(statement);
    expect(await refusal()).toMatchObject({
      code: 'unsafe_postgres_setting',
      detail: `The server has ${name} = ${value}.`,
      rule: expect.stringContaining(`${name} = on`),
    });
  });

  it('are looked at by every renewal: a reload is told of once, in the log, in a metric and by readiness', async () => {
    const told = listen();
    const postgres = await create(server.url(), told);
    const { ownership } = postgres.stores;
    await ownership.register(registrationOf('reload', LEASE_MS));
    expect(await unsafeGauge(told)).toBe(0);
    expect(await postgres.readiness()).toEqual({ name: 'postgres', ok: true, detail: 'answers' });

    const renewedUntil = (unsafe: number) =>
      eventually(`${unsafe} unsafe settings`, async () => {
        await ownership.renew('reload', LEASE_MS);
        return (await unsafeGauge(told)) === unsafe;
      });
    await change('ALTER SYSTEM SET fsync = off', 'ALTER SYSTEM SET full_page_writes = off');
    await renewedUntil(2);
    expect(await postgres.readiness()).toEqual({
      name: 'postgres',
      ok: false,
      detail: 'commits may be lost: fsync = off, full_page_writes = off',
    });
    await change('ALTER SYSTEM RESET ALL');
    await renewedUntil(0);
    await eventually('readiness has heard of it', async () => (await postgres.readiness()).ok);
    const [first, last] = [events(told)[0], events(told).at(-1)];
    expect(first).toMatchObject({ level: 'error', event: 'postgres.unsafe' });
    expect(last).toEqual({ level: 'info', event: 'postgres.safe' });
    await close(postgres);
  });

  it('of a role are seen by the sessions that begin after they were changed', async () => {
    const told = listen();
    const postgres = await create(server.url(), told);
    const { ownership } = postgres.stores;
    await ownership.register(registrationOf('role', LEASE_MS));
    await change(`ALTER ROLE ${server.user} SET synchronous_commit = off`);
    await ownership.renew('role', LEASE_MS);
    expect(await unsafeGauge(told)).toBe(0);

    await session(server.url(), (client) =>
      client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%renewals'`,
      ),
    );
    await eventually('the lease is renewed by another session', () =>
      ownership.renew('role', LEASE_MS).catch(() => null),
    );
    expect(events(told)).toContainEqual({
      level: 'error',
      event: 'postgres.unsafe',
      reason: 'synchronous_commit = off',
    });
    expect(await postgres.readiness()).toMatchObject({ ok: false });
    await close(postgres);
  });
});

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrate } from '../../../src/adapters/postgres/migrate.ts';
import { createPostgres } from '../../../src/adapters/postgres/postgres.ts';
import { createSystemClock } from '../../../src/adapters/system-clock.ts';
import type { Instruments } from '../../../src/engine/instruments.ts';
import { createLog, createMetrics, recipientHasher, Telemetry } from '../../../src/telemetry.ts';
import { World } from '../../conformance/world.ts';
import { eventually } from '../../support/events.ts';
import { postgresServers } from '../../support/postgres.ts';
import { Database, openOptions } from './database.ts';

describe.each(postgresServers())('$name: createPostgres', (server) => {
  let database: Database;
  let lines: string[];
  let instruments: Instruments;
  beforeEach(async () => {
    database = await Database.create(server, async () => undefined);
    lines = [];
    const destination = { write: (line: string) => void lines.push(line) };
    instruments = {
      log: createLog({ level: 'debug', destination }),
      metrics: createMetrics({ version: '1.0.0' }),
      telemetry: new Telemetry(),
      hash: recipientHasher('a secret of the tests'),
    };
  });
  afterEach(() => database.close());

  function create() {
    const onFailure = (error: unknown): void => {
      throw error;
    };
    return createPostgres({ ...openOptions(database.url), instruments, clock: createSystemClock(), onFailure });
  }

  it('refuses a database that was not migrated, and leaves no connection behind', async () => {
    await expect(create()).rejects.toMatchObject({ code: 'schema_outdated' });
  });

  it('serves, says so, does its maintenance, and stops', async () => {
    await migrate(database.url, { shards: 32 });
    const missing = await newestPartition(database);
    await database.query(`DROP TABLE ${missing}`);
    const postgres = await create();
    expect(postgres.shards).toBe(32);
    expect(await postgres.readiness()).toEqual({ name: 'postgres', ok: true, detail: 'answers' });

    await postgres.service.start();
    await eventually('the missing partition is made', async () => {
      const { rows } = await database.query('SELECT to_regclass($1) IS NOT NULL AS made', [missing]);
      return (rows[0] as { made: boolean }).made;
    });
    await postgres.service.stop();
    expect(await postgres.readiness()).toMatchObject({ ok: false });
    expect(lines).toEqual([]);
  });

  it('logs maintenance that fails, and goes on serving', async () => {
    await migrate(database.url);
    await database.query('DROP FUNCTION drop_history_partitions');
    const postgres = await create();
    await postgres.service.start();
    await eventually('the failure is logged', () => lines.some((line) => line.includes('"maintenance"')));

    const world = new World(postgres.stores);
    expect(await world.append(world.message('a'))).toMatchObject([{ kind: 'appended' }]);
    await postgres.service.stop();
  });

  it('tells a refused row from everything else that can go wrong', async () => {
    await migrate(database.url);
    const postgres = await create();
    await postgres.service.start();
    const world = new World(postgres.stores);
    const refused = await world.append(world.message('')).catch((error: unknown) => error);
    await postgres.service.stop();
    const closed = await world.append(world.message('a')).catch((error: unknown) => error);

    expect([postgres.isPermanent(refused), postgres.isPermanent(closed)]).toEqual([true, false]);
  });

  it('passes TLS settings on to the driver', async () => {
    await migrate(database.url);
    const opened = database.stores({ ssl: { rejectUnauthorized: true } });
    await expect(opened.check()).rejects.toThrow(/SSL/);
  });
});

async function newestPartition(database: Database): Promise<string> {
  const { rows } = await database.query(`SELECT max(inhrelid::regclass::text) AS name FROM pg_inherits
    WHERE inhparent = 'history'::regclass AND inhrelid::regclass::text <> 'history_default'`);
  return (rows[0] as { name: string }).name;
}

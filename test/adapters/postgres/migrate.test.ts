import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KNOWN_MIGRATIONS, migrate } from '../../../src/adapters/postgres/migrate.ts';
import { claimBy, World } from '../../conformance/world.ts';
import { takeFreeShards } from '../../support/fleet.ts';
import { postgresServers } from '../../support/postgres.ts';
import { ack, START } from '../../support/rooms.ts';
import { Database, session } from './database.ts';

const NOTHING = async (): Promise<void> => undefined;

/** As a version left it that did not know this migration yet. */
async function migrateBefore(url: string, name: string): Promise<void> {
  await session(url, async (client) => {
    await runner({
      dbClient: client,
      dir: fileURLToPath(new URL('../../../src/adapters/postgres/migrations', import.meta.url)),
      migrationsTable: 'roomline_migrations',
      direction: 'up',
      count: KNOWN_MIGRATIONS.indexOf(name),
      log: () => undefined,
    });
  });
}

describe.each(postgresServers())('$name: migrate', (server) => {
  let database: Database;
  beforeEach(async () => {
    database = await Database.create(server, NOTHING);
  });
  afterEach(() => database.close());

  it('makes a database that is ready for use', async () => {
    await migrate(database.url, { shards: 16 });
    const opened = database.stores({ shards: 16 });

    expect(await opened.check()).toMatchObject({ view: { unsafeSettings: [], anotherHistory: null }, shards: 16 });
    expect(await opened.schemaVersion()).toEqual({ current: true, applied: KNOWN_MIGRATIONS });
    const { rows } = await database.query('SELECT count(*)::integer AS shards, max(shard) AS last FROM shards');
    expect(rows).toEqual([{ shards: 16, last: 15 }]);
    const settings = await database.query('SELECT system_identifier, timeline FROM settings');
    expect(settings.rows).toEqual([{ system_identifier: expect.stringMatching(/^\d+$/), timeline: 1 }]);
  });

  it('may run again, and from several processes at once', async () => {
    await Promise.all(Array.from({ length: 4 }, () => migrate(database.url, { shards: 8 })));
    await migrate(database.url);

    expect(await database.stores().check()).toMatchObject({ shards: 8 });
  });

  it('runs no function with its owner’s rights in a schema that its caller chooses', async () => {
    await migrate(database.url);
    const { rows } = await database.query(
      `SELECT proname AS name, proconfig AS settings FROM pg_proc WHERE prosecdef ORDER BY proname COLLATE "C"`,
    );
    const trusted = ['search_path=public, pg_temp', 'search_path=pg_catalog, pg_temp'];
    const paths = (rows as { name: string; settings: string[] | null }[]).map(({ name, settings }) => {
      return [name, (settings ?? []).filter((setting) => trusted.includes(setting)).length];
    });
    expect(paths).toEqual([
      ['drop_history_partitions', 1],
      ['make_history_partitions', 1],
      ['prune_audit', 1],
    ]);
  });

  it('does not change the number of shards', async () => {
    await migrate(database.url, { shards: 8 });
    await expect(migrate(database.url, { shards: 9 })).rejects.toMatchObject({ code: 'shards_mismatch' });
    expect(await database.stores().stores.ownership.shardCount()).toBe(8);
  });

  it('is missed where it has not run', async () => {
    const opened = database.stores();
    await expect(opened.check()).rejects.toMatchObject({ code: 'schema_outdated' });
    expect(await opened.schemaVersion()).toEqual({ current: false, applied: [] });

    await migrate(database.url);
    await database.query('DELETE FROM roomline_migrations WHERE name = $1', [KNOWN_MIGRATIONS.at(-1)]);
    await expect(opened.check()).rejects.toMatchObject({ code: 'schema_outdated' });
  });

  it('tolerates a database that a later version has migrated', async () => {
    await migrate(database.url);
    await database.query(`INSERT INTO roomline_migrations (name, run_on) VALUES ('9999_later', now())`);
    await expect(database.stores().check()).resolves.toMatchObject({ view: { unsafeSettings: [] } });
  });

  it('keeps of a database from before that a waiting message was cancelled', async () => {
    await migrateBefore(database.url, '0008_cancelled_by');
    await database.query(
      `INSERT INTO messages (shard, room_id, sequence, accepted_at, cancelled, message_id, source, digest, body)
       SELECT 0, 1, n, 0, n = 2, 'm-' || n, 'http', decode(repeat('00', 32), 'hex'), '{}' FROM generate_series(1, 3) AS n`,
    );

    await migrate(database.url);
    const { rows } = await database.query('SELECT sequence::integer, cancelled_by FROM messages ORDER BY sequence');
    expect(rows).toEqual([
      { sequence: 1, cancelled_by: null },
      { sequence: 2, cancelled_by: 'operator' },
      { sequence: 3, cancelled_by: null },
    ]);
    await expect(database.query(`UPDATE messages SET cancelled_by = 'nobody'`)).rejects.toThrow(/keeps_limits/);
  });

  it('grants a service role all that the service does, and no more', async () => {
    const role = `service_${randomBytes(4).toString('hex')}`;
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'service'`);
    // As where an owner lets nobody run what was not granted.
    await database.query('ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC');
    try {
      await migrate(database.url, { serviceRole: role });
      const url = new URL(database.url);
      url.username = role;
      url.password = 'service';
      const opened = database.stores({ url: url.href });
      await opened.check();
      const world = new World(opened.stores);
      const proof = await world.worker();
      const room = await world.apply(await world.roomWith(2), proof, claimBy(proof));
      await world.apply(room, proof, ack(1));
      await takeFreeShards(world.stores.ownership, proof.worker);
      await world.stores.ownership.release(proof.worker);
      // Two, or three where midnight has passed since the migration.
      expect(await opened.maintenance.makePartitions(9)).toBeGreaterThan(0);
      await opened.maintenance.dropExpired(START);
      const { settings, audit } = opened.operators;
      const channel = { tenant: 'default', channel: 'sales' };
      const note = {
        actor: 'ops',
        action: 'channel.put',
        subject: 'channel:default/sales',
        detail: {},
        requestId: '1',
      };
      expect(await settings.put(channel, {}, null, note)).toMatchObject({ revision: 1 });
      expect(await settings.put(channel, { account: 'acme' }, 1, note)).toMatchObject({ revision: 2 });
      expect(await settings.remove(channel, 2, note)).toBe(3);
      expect(await audit.list({ before: null, limit: 9, subject: null })).toHaveLength(3);

      await session(url.href, async (client) => {
        await expect(client.query('DROP TABLE messages')).rejects.toThrow(/must be owner/);
        await expect(client.query('CREATE TABLE mine ()')).rejects.toThrow(/permission denied/);
        await expect(client.query('DELETE FROM settings')).rejects.toThrow(/permission denied/);
        await expect(client.query('DELETE FROM audit')).rejects.toThrow(/permission denied/);
        await expect(client.query(`UPDATE audit SET actor = 'x'`)).rejects.toThrow(/permission denied/);
      });
      await opened.close();
    } finally {
      await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });
});

/** Development mode's reset: what it empties, what it keeps, and who may. */
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EMPTIED_TABLES, KEPT_TABLES } from '../../../src/adapters/postgres/development.ts';
import { migrate } from '../../../src/adapters/postgres/migrate.ts';
import type { PostgresStores } from '../../../src/adapters/postgres/stores.ts';
import { RoomlineError } from '../../../src/errors.ts';
import { claimBy, decide, unclaimed, World } from '../../conformance/world.ts';
import { postgresServers } from '../../support/postgres.ts';
import { accepted, ack } from '../../support/rooms.ts';
import { Database } from './database.ts';

const NOTE = { actor: 'dev', action: 'database.reset', subject: 'database', detail: {}, requestId: 'req-1' };

describe.each(postgresServers())('$name: reset', (server) => {
  let database: Database;
  let opened: PostgresStores;
  let world: World;
  beforeEach(async () => {
    database = await Database.create(server);
    opened = database.stores();
    world = new World(opened.stores);
  });
  afterEach(() => database.close());

  async function rowsOf(tables: readonly string[]): Promise<Record<string, number>> {
    const counts = await Promise.all(
      tables.map(async (table) => {
        const { rows } = await database.query(`SELECT count(*)::integer AS rows FROM ${table}`);
        return [table, (rows[0] as { rows: number }).rows] as const;
      }),
    );
    return Object.fromEntries(counts);
  }

  it('has decided about every table', async () => {
    const { rows } = await database.query(
      `SELECT relname AS name FROM pg_class
       WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition`,
    );
    const tables = (rows as { name: string }[]).map(({ name }) => name);
    expect([...EMPTIED_TABLES, ...KEPT_TABLES].toSorted()).toEqual(tables.toSorted());
  });

  it('leaves nothing of messages, and lets nothing begin that was known before', async () => {
    const proof = await world.worker('worker-1');
    const settled = await world.apply(
      await world.roomWith(1, 'one'),
      proof,
      claimBy(proof),
      accepted(1, 1, 'gw-1'),
      ack(1),
    );
    const waiting = await world.roomWith(2, 'two');
    await database.query(
      `INSERT INTO dead_letters (at, kind, reason, detail, tenant, channel, shard, room_id, sequence)
       VALUES (1, 'message', 'refused', 'code', 'default', 'support', 1, 7, 1)`,
    );

    expect(await opened.development.database()).toBe(new URL(database.url).pathname.slice(1));
    await opened.development.reset(NOTE);
    expect(new Set(Object.values(await rowsOf(EMPTIED_TABLES)))).toEqual(new Set([0]));
    expect(await opened.stores.history.readSettled(settled, 1)).toBeNull();
    // What still holds a room of before can store nothing of it, and its worker claims nothing more.
    const claim = decide(waiting, claimBy(proof));
    expect(await world.write(claim, proof)).toMatchObject({ kind: 'fenced' });
    expect(await world.write(unclaimed(claim), proof)).toMatchObject({ kind: 'conflict' });
    expect(await opened.stores.ownership.renew('worker-1', 10_000)).toBeNull();
    expect(await opened.operators.audit.list({ before: null, limit: 5, subject: null })).toMatchObject([NOTE]);
    // Rooms of the same names are others.
    const [again] = await world.append(world.message('m-1', { room: 'one' }));
    expect(again).toMatchObject({ kind: 'appended', sequence: 1 });
    expect(again?.kind === 'appended' && again.row.id).toBeGreaterThan(waiting.id);
  });

  it('is refused where the role of the service does not own the tables', async () => {
    const role = `service_${randomBytes(4).toString('hex')}`;
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'service'`);
    try {
      await migrate(database.url, { serviceRole: role });
      const url = new URL(database.url);
      url.username = role;
      url.password = 'service';
      await world.roomWith(1, 'one');
      const { development } = database.stores({ url: url.href });
      const refusal = await development.reset(NOTE).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(RoomlineError);
      expect(refusal).toMatchObject({ code: 'reset_not_permitted' });
      expect(await rowsOf(['rooms', 'messages', 'audit'])).toEqual({ rooms: 1, messages: 1, audit: 0 });
    } finally {
      await database.closeOpened();
      await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });
});

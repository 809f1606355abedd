/** What only a real database can do to batches: locks, broken connections, rows that it refuses. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { refusesRow } from '../../../src/adapters/postgres/failures.ts';
import { OutcomeUnknownError, type RoomWrite } from '../../../src/engine/ports.ts';
import { ordered, told } from '../../conformance/orders.ts';
import { claimBy, decide, sweepMany, World } from '../../conformance/world.ts';
import { eventually } from '../../support/events.ts';
import { postgresServers } from '../../support/postgres.ts';
import { ack, pause, START } from '../../support/rooms.ts';
import { Database } from './database.ts';

const DAY_MS = 86_400_000;

describe.each(postgresServers())('$name', (server) => {
  let database: Database;
  beforeAll(async () => {
    database = await Database.create(server);
  });
  afterEach(() => database.closeOpened());
  afterAll(() => database.close());

  describe('compareAndSet', () => {
    it('locked row: it is left alone, the rest of its batch is stored', async () => {
      const world = new World(database.stores().stores);
      const locked = decide(await world.roomWith(1, 'locked'), pause);
      const free = decide(await world.roomWith(1, 'free'), pause);
      const other = await database.session();
      await other.query('BEGIN');
      await other.query('SELECT FROM rooms WHERE id = $1 FOR NO KEY UPDATE', [locked.next.id]);

      const results = await world.stores.rooms.compareAndSet(0, [locked, free], null);
      expect(results.map((result) => result.kind)).toEqual(['busy', 'committed']);
      await other.query('ROLLBACK');
      expect(await world.write(locked)).toMatchObject({ kind: 'committed' });
    });

    it('lock timeout: a batch that waited in vain is busy as a whole and has had no effect', async () => {
      const world = new World(database.stores({ statementTimeoutMs: 1_000 }).stores);
      const proof = await world.worker();
      const claim = decide(await world.roomWith(1, 'claim'), claimBy(proof));
      const other = decide(await world.roomWith(1, 'other'), pause);
      const heir = await database.session();
      await heir.query('BEGIN; SELECT FROM fences FOR UPDATE');

      const results = await world.stores.rooms.compareAndSet(0, [other, claim], proof);
      expect(results.map((result) => result.kind)).toEqual(['busy', 'busy']);
      expect((await world.stored('other')).row.version).toBe(0);
      await heir.query('ROLLBACK');
      expect((await world.stores.rooms.compareAndSet(0, [other, claim], proof)).map((one) => one.kind)).toEqual([
        'committed',
        'committed',
      ]);
    });

    it('broken connection: the outcome is unknown, and the lane opens another one', async () => {
      const world = new World(database.stores().stores);
      const proof = await world.worker();
      const claim = decide(await world.roomWith(1), claimBy(proof));
      const heir = await database.session();
      await heir.query('BEGIN; SELECT FROM fences FOR UPDATE');
      const outcome = world.write(claim, proof).catch((error: unknown) => error);
      await database.waits('roomline lane 0');
      await database.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'roomline lane 0'`,
      );

      expect(await outcome).toBeInstanceOf(OutcomeUnknownError);
      await heir.query('ROLLBACK');
      expect(await world.write(claim, proof)).toMatchObject({ kind: 'committed' });
    });

    it('connection that broke while idle: the next call does not notice', async () => {
      const lost: Error[] = [];
      const world = new World(database.stores({ onConnectionLost: (error) => lost.push(error) }).stores);
      const write = decide(await world.roomWith(2), pause);
      await world.write(write);
      const broken = await database.query(
        `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'roomline %'`,
      );
      await expect.poll(() => lost.length).toBe(broken.rowCount);

      expect(await world.write(write)).toEqual({ kind: 'conflict' });
      expect(await world.append(world.message('m-3'))).toMatchObject([{ kind: 'appended', sequence: 3 }]);
      expect((await world.stored()).row.tail).toBe(3);
    });

    it('server out of reach: nothing was sent, so nothing is unknown', async () => {
      const world = new World(database.stores().stores);
      const write = decide(await world.roomWith(1), pause);
      const url = new URL(database.url);
      url.port = '1';
      const away = new World(database.stores({ url: url.href }).stores);

      const error = await away.write(write).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(Error);
      expect(error).not.toBeInstanceOf(OutcomeUnknownError);
      await expect(away.append(away.message('a'))).rejects.not.toBeInstanceOf(OutcomeUnknownError);
    });

    it('bad row: the error says that the row is refused, and nothing of its batch is stored', async () => {
      const world = new World(database.stores().stores);
      const good = decide(await world.roomWith(1, 'good'), pause);
      const bad = decide(await world.roomWith(1, 'bad'), pause);
      const next = { ...bad.next, platformId: 'nul\u0000' };
      const batch: RoomWrite[] = [good, { ...bad, next }];

      const error = await world.stores.rooms.compareAndSet(0, batch, null).catch((reason: unknown) => reason);
      expect(refusesRow(error)).toBe(true);
      expect((await world.stored('good')).row.version).toBe(0);
      expect(await world.write(good)).toMatchObject({ kind: 'committed' });
    });

    it('a message that is not there to settle leaves the whole batch unstored', async () => {
      const world = new World(database.stores().stores);
      const proof = await world.worker();
      const claimed = await world.apply(await world.roomWith(1), proof, claimBy(proof));
      const other = decide(await world.roomWith(1, 'other'), pause);
      const settle = decide(claimed, ack(1));
      const wrong = { ...settle, facts: settle.facts.map((fact) => ({ ...fact, sequence: 9 })) };

      await expect(world.stores.rooms.compareAndSet(0, [other, wrong], proof)).rejects.toThrow();
      expect((await world.stored()).row).toMatchObject({ version: claimed.version, settled: 0 });
      expect((await world.stored('other')).row.version).toBe(0);
    });

    it('lanes that there are not are refused', async () => {
      const world = new World(database.stores({ lanes: 1 }).stores);
      const write = decide(await world.roomWith(1), pause);
      await expect(world.write(write, null, 1)).rejects.toThrow(/lanes/);
    });
  });

  describe('append', () => {
    it('bad message: nothing of its batch is appended, and the rest can be without it', async () => {
      const world = new World(database.stores().stores);
      await world.append(world.message('known', { room: 'one' }));
      const bad = world.message('x'.repeat(257), { room: 'two' });
      const good = world.message('good', { room: 'one' });

      const error = await world.append(good, bad).catch((reason: unknown) => reason);
      expect(refusesRow(error)).toBe(true);
      expect((await world.stored('one')).row.tail).toBe(1);
      expect(await world.append(good)).toMatchObject([{ kind: 'appended', sequence: 2 }]);
    });

    it('batch that adds nothing to a room: its row is not written', async () => {
      const world = new World(database.stores().stores);
      const versions = async () =>
        (
          await database.query(
            `SELECT ctid::text, xmin::text FROM rooms WHERE room IN ('refuses', 'knows') ORDER BY room`,
          )
        ).rows as object[];
      await world.append(ordered(world, 1, { room: 'refuses' }), ordered(world, 1, { room: 'knows' }));
      const before = await versions();

      const other = ordered(world, 1, { room: 'refuses', id: 'other' });
      const results = await world.append(other, ordered(world, 1, { room: 'knows' }));
      expect(told(results)).toEqual(['order conflict 1', 'duplicate 1']);
      expect(before).toHaveLength(2);
      expect(await versions()).toEqual(before);
    });

    it('appenders of several processes: new rooms are made once, and every sequence given once', async () => {
      const processes = Array.from({ length: 4 }, () => new World(database.stores().stores));
      const [first] = processes as [World];
      const names = Array.from({ length: 10 }, (_, i) => `room-${i}`);
      const appended = await Promise.all(
        processes.flatMap(({ stores }, process) =>
          Array.from({ length: 5 }, (_, batch) => {
            const order = (process + batch) % 2 === 0 ? names : names.toReversed();
            return stores.rooms.append(order.map((room) => first.message(`${process}-${batch}`, { room })));
          }),
        ),
      );

      expect(appended.flat().every((result) => result.kind === 'appended')).toBe(true);
      for (const name of names) {
        const { row } = await first.stored(name);
        expect(row.tail).toBe(20);
        const listed = await first.stores.history.listRoom(row, null, 100);
        expect(listed.map((one) => one.sequence)).toEqual(Array.from({ length: 20 }, (_, i) => 20 - i));
      }
      expect((await database.query('SELECT FROM rooms WHERE channel = $1', [first.channel])).rowCount).toBe(
        names.length,
      );
    });

    it('locked room: the append waits for it and is numbered after what was appended meanwhile', async () => {
      const world = new World(database.stores().stores);
      const other = new World(database.stores({ applicationName: 'other' }).stores);
      const room = await world.roomWith(1);
      const holder = await database.session();
      await holder.query('BEGIN');
      await holder.query('SELECT FROM rooms WHERE id = $1 FOR NO KEY UPDATE', [room.id]);
      const waiting = other.stores.rooms.append([world.message('m-2'), world.message('m-1')]);
      await database.waits('other appends');
      await holder.query('COMMIT');

      expect((await waiting).map((result) => [result.kind, result.sequence])).toEqual([
        ['appended', 2],
        ['duplicate', 1],
      ]);
    });

    it.each([
      ['known', true],
      ['looked for', false],
    ])(
      'row that was written, and so moved, while an append waited for it: its tail is raised (%s)',
      async (_, known) => {
        const world = new World(database.stores().stores);
        const other = new World(database.stores({ applicationName: 'other' }).stores, world);
        const { id } = await world.roomWith(1);
        if (known) await other.append(world.message('m-1'));
        const writer = await database.session();
        await writer.query('BEGIN');
        await writer.query('UPDATE rooms SET version = version + 1, since = since + 1 WHERE id = $1', [id]);
        const waiting = other.append(world.message('m-2'));
        await database.waits('other appends');
        await writer.query('COMMIT');

        expect(await waiting).toMatchObject([{ kind: 'appended', sequence: 2, row: { version: 1, tail: 2 } }]);
        expect((await world.stored()).row).toMatchObject({ version: 1, tail: 2 });
        expect(await world.append(world.message('m-3'))).toMatchObject([{ kind: 'appended', sequence: 3 }]);
      },
    );

    it('broken connection: doing it again says what became of it', async () => {
      const world = new World(database.stores().stores);
      const room = await world.roomWith(1);
      const holder = await database.session();
      await holder.query('BEGIN');
      await holder.query('SELECT FROM rooms WHERE id = $1 FOR NO KEY UPDATE', [room.id]);
      const outcome = world.append(world.message('m-2')).catch((error: unknown) => error);
      await database.waits('roomline appends');
      await database.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND starts_with(application_name, 'roomline appends')`,
      );

      expect(await outcome).toBeInstanceOf(OutcomeUnknownError);
      await holder.query('ROLLBACK');
      expect(await world.append(world.message('m-2'))).toMatchObject([{ kind: 'appended', sequence: 2 }]);
    });

    it.each(['tenant', 'channel', 'room'])(
      'room that is another one’s by now, by its %s: it is left alone',
      async (name) => {
        const world = new World(database.stores().stores);
        const { id } = await world.roomWith(1);
        await database.query(`UPDATE rooms SET ${name} = $1 WHERE id = $2`, [`another ${id}`, id]);

        expect(await world.append(world.message('m-2'))).toMatchObject([{ kind: 'appended', sequence: 1 }]);
        const { rows } = await database.query('SELECT tail::integer FROM rooms WHERE id = $1', [id]);
        expect(rows).toEqual([{ tail: 1 }]);
      },
    );

    it('recognises ids for as long as it is told to, and not for ever', async () => {
      const world = new World(database.stores({ dedupeDays: 2 }).stores);
      const proof = await world.worker();
      await world.apply(await world.roomWith(1), proof, claimBy(proof), ack(1));
      const later = (days: number) => world.message('m-1', { acceptedAt: START + days * DAY_MS });

      expect(await world.append(later(2))).toMatchObject([{ kind: 'duplicate', sequence: 1 }]);
      expect(await world.append(later(3))).toMatchObject([{ kind: 'appended', sequence: 2 }]);
    });
  });

  describe('while a later version migrates', () => {
    it('stale plan: statements that were prepared before a column came are prepared again', async () => {
      const world = new World(database.stores().stores);
      const proof = await world.worker();
      const room = await world.roomWith(2);
      await world.append(world.message('again'));
      await world.stored();
      await database.query(
        'ALTER TABLE rooms ADD COLUMN later integer; ALTER TABLE resting_rooms ADD COLUMN later integer',
      );

      expect(await world.append(world.message('more'))).toMatchObject([{ kind: 'appended', sequence: 4 }]);
      expect((await world.stored()).row.tail).toBe(4);
      expect(await world.write(decide(room, claimBy(proof)), proof)).toMatchObject({ kind: 'committed', tail: 4 });
    });
  });

  describe.each([
    ['of a worker that holds few shards', 0],
    ['of a worker that holds many', 1_000],
  ])('changedSince, %s', (_, others) => {
    const held = (shard: number): number[] => [shard, ...Array.from({ length: others }, (_, n) => 1_000_000 + n)];

    it('finds what a transaction wrote that was open at the last call and committed after it', async () => {
      const world = new World(database.stores().stores);
      const { rooms } = world.stores;
      const room = await world.roomWith(1, 'slow');
      const other = await database.session();
      await other.query('BEGIN');
      await other.query('UPDATE rooms SET version = version + 1 WHERE id = $1', [room.id]);
      await world.roomWith(1, 'meanwhile');
      const { now } = await rooms.changedSince(held(world.shard), null);
      await world.roomWith(1, 'after');
      await other.query('COMMIT');
      const found = await rooms.changedSince(held(world.shard), now);
      expect(found.rooms.find(({ id }) => id === room.id)).toMatchObject({ version: 1, tail: 1 });
      let from = found.now;
      // Transactions of other databases of the server count, too, while they are open.
      await eventually('what was open has ended', async () => {
        const later = await rooms.changedSince(held(world.shard), from);
        from = later.now;
        return later.rooms.length === 0;
      });
    });
  });

  describe('sweep', () => {
    it('of many shards goes through a table that is too large for one statement, up to its end', async () => {
      const world = new World(database.stores().stores);
      const { shard, channel } = world;
      await world.roomWith(1, 'first');
      // It would tell where pages have room for a row, and may have done so before; a table that is written anew has none.
      await database.query('ALTER TABLE rooms SET (autovacuum_enabled = false)');
      await database.query('VACUUM (FULL) rooms');
      await database.query(
        `INSERT INTO rooms (shard, tenant, channel, room, since, created_at, touched_at)
         SELECT $1, 'other', $2, repeat(n::text, 200), 0, 0, 0 FROM generate_series(10000, 22000) AS n`,
        [shard, channel],
      );
      // Another session writes to the end of the table.
      await world.through(database.stores().stores).roomWith(1, 'last');
      const { rows } = await database.query(
        `SELECT room, (ctid::text::point)[0]::integer AS block FROM rooms WHERE channel = $1 AND tail > 0 ORDER BY 2`,
        [channel],
      );
      const [first, last] = rows as { room: string; block: number }[];
      expect((last?.block ?? 0) - (first?.block ?? 0)).toBeGreaterThan(1_024);

      const found = (await sweepMany(world, START)).filter(({ row }) => row.key.channel === channel);
      expect(found.map(({ row }) => row.key.room).sort()).toEqual(['first', 'last']);
      await database.query(`DELETE FROM rooms WHERE channel = $1 AND tenant = 'other'`, [channel]);
    });
  });

  describe('without prepared statements and session settings, as through a pooler', () => {
    it('everything works the same', async () => {
      const world = new World(database.stores({ preparedStatements: false, sessionSettings: 'role' }).stores);
      const proof = await world.worker();
      const room = await world.apply(await world.roomWith(2), proof, claimBy(proof));
      await world.apply(room, proof, ack(1), claimBy(proof));

      expect((await world.stored()).row).toMatchObject({ settled: 1, phase: 'sending' });
      const [found] = (await world.stores.rooms.sweep([world.shard], START, 10, null)).rooms;
      expect(found).toEqual(await world.stored());
      expect(await world.append(world.message('m-1'))).toMatchObject([{ kind: 'duplicate', sequence: 1 }]);
    });
  });
});

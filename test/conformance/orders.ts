/** A publisher's own order: what is ahead of its turn is parked, and gaps are closed or given up. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { AppendResult, NewMessage, RoomStore, Stores } from '../../src/engine/ports.ts';
import { ack, START } from '../support/rooms.ts';
import { claimBy, decide, sweepMany, unclaimed, World } from './world.ts';

/** A message with a number of its publisher's order; named after it, unless it says otherwise. */
export function ordered(
  world: World,
  order: number,
  wishes: Partial<NewMessage> & { readonly id?: string; readonly room?: string } = {},
): NewMessage {
  const { id = `o-${order}`, ...rest } = wishes;
  const message = world.message(id, { ...rest, order });
  const digest = createHash('sha256').update(`${order}:`).update(message.body).digest();
  return { ...message, digest };
}

/** What became of each, in a word. */
export function told(results: readonly AppendResult[]): string[] {
  return results.map((result) => {
    switch (result.kind) {
      case 'appended':
        return `${result.sequence}${result.late === true ? ' late' : ''}`;
      case 'parked':
        return `parked${result.duplicate ? ' again' : ''}, waits for ${result.gap.waitsFor}`;
      case 'order_conflict':
        return `order conflict ${result.order}`;
      default:
        return `${result.kind} ${result.sequence ?? 'parked'}`;
    }
  });
}

/** Ids of what waits in a room, in the order of their sequences. */
async function waiting(world: World, room = 'room'): Promise<string[]> {
  const { row } = await world.stored(room);
  const listed = await world.stores.history.listRoom(row, null, 200);
  expect(listed.map(({ sequence }) => sequence)).toEqual(listed.map((_, index) => row.tail - index));
  return listed.map(({ messageId }) => messageId).reverse();
}

async function skip(world: World, waitsFor: number, room = 'room'): ReturnType<RoomStore['skipGaps']> {
  const { shard, id } = (await world.stored(room)).row;
  return world.stores.rooms.skipGaps([{ shard, id, waitsFor }]);
}

export function describeOrders(stores: () => Stores): void {
  describe("a publisher's order", () => {
    it('numbers what comes in its turn as it comes', async () => {
      const world = new World(stores());
      expect(told(await world.append(ordered(world, 1), ordered(world, 2)))).toEqual(['1', '2']);
      expect(told(await world.append(ordered(world, 3)))).toEqual(['3']);
      expect((await world.stored()).gap).toBeUndefined();
      expect(await waiting(world)).toEqual(['o-1', 'o-2', 'o-3']);
    });

    it('parks what is ahead of its turn, durable and without a sequence', async () => {
      const world = new World(stores());
      const results = await world.append(ordered(world, 3, { notBefore: START + 1, expiresAt: START + 9 }));
      const stored = await world.stored();

      expect(told(results)).toEqual(['parked, waits for 1']);
      expect(stored.row).toMatchObject({ tail: 0, settled: 0, phase: 'idle', version: 0 });
      expect(stored.gap).toEqual({ waitsFor: 1, since: expect.any(Number) });
      expect(results[0]).toMatchObject({ row: stored.row, order: 3, sequence: null, gap: stored.gap });
      expect(await world.stores.rooms.countParked(stored.row)).toBe(1);
      const found = await world.stores.rooms.findMessage(stored.row, 'o-3');
      expect(found).toMatchObject({
        kind: 'parked',
        order: 3,
        acceptedAt: START,
        notBefore: START + 1,
        expiresAt: START + 9,
      });
      if (found?.kind === 'parked') expect([...found.body]).toEqual([...world.message('o-3').body]);
    });

    it('keeps what it parks as it came', async () => {
      const world = new World(stores());
      const wishes = {
        body: Uint8Array.of(0, 255, 254, 92, 34, 10),
        notBefore: START + 10,
        expiresAt: START + 20,
        ackTimeoutMs: 30,
        failurePolicy: 'hold',
        source: 'pubsub',
      } as const;
      await world.append(ordered(world, 2, wishes));
      await world.append(ordered(world, 1));
      const { row, envelopes, gap } = await world.stored();

      const { notBefore, expiresAt, ackTimeoutMs, failurePolicy } = wishes;
      const kept = { sequence: 2, messageId: 'o-2', acceptedAt: START, cancelledBy: null };
      expect(envelopes[1]).toEqual({ ...kept, notBefore, expiresAt, ackTimeoutMs, failurePolicy });
      expect(gap).toBeUndefined();
      const message = await world.stores.history.readWaiting(row, 2);
      expect(message).toMatchObject({ order: 2, messageId: 'o-2' });
      expect([...(message?.body ?? [])]).toEqual([...wishes.body]);
      expect(message?.late).toBeUndefined();
    });

    it('goes on with the run of those parked behind the one that closes the gap', async () => {
      const world = new World(stores());
      await world.append(ordered(world, 4), ordered(world, 2));
      await world.append(ordered(world, 6));
      const results = await world.append(ordered(world, 1));
      const first = await world.stored();

      expect(results).toMatchObject([{ kind: 'appended', sequence: 1, row: { tail: 2 }, gap: { waitsFor: 3 } }]);
      expect(first).toMatchObject({ row: { tail: 2 }, gap: { waitsFor: 3 } });
      expect(told(await world.append(ordered(world, 3)))).toEqual(['3']);
      expect((await world.stored()).gap).toMatchObject({ waitsFor: 5 });
      expect(told(await world.append(ordered(world, 5)))).toEqual(['5']);
      expect((await world.stored()).gap).toBeUndefined();
      expect(await waiting(world)).toEqual(['o-1', 'o-2', 'o-3', 'o-4', 'o-5', 'o-6']);
      expect(await world.stores.rooms.countParked(first.row)).toBe(0);
    });

    it('puts one batch in order, each message where its turn comes', async () => {
      const world = new World(stores());
      const results = await world.append(
        ordered(world, 3),
        world.message('plain-a'),
        ordered(world, 1),
        world.message('plain-b'),
        ordered(world, 2),
        world.message('plain-c'),
        ordered(world, 5),
      );

      expect(told(results)).toEqual(['5', '1', '2', '3', '4', '6', 'parked, waits for 4']);
      expect(await waiting(world)).toEqual(['plain-a', 'o-1', 'plain-b', 'o-2', 'o-3', 'plain-c']);
    });

    it('never lets a message without an order wait for a gap', async () => {
      const world = new World(stores());
      await world.append(ordered(world, 2));
      expect(told(await world.append(world.message('plain')))).toEqual(['1']);
      expect((await world.stored()).gap).toMatchObject({ waitsFor: 1 });
      expect(told(await world.append(ordered(world, 1)))).toEqual(['2']);
      expect(await waiting(world)).toEqual(['plain', 'o-1', 'o-2']);
    });

    it('keeps the rooms of one batch apart', async () => {
      const world = new World(stores());
      await world.append(ordered(world, 2, { room: 'one' }));
      const results = await world.append(
        ordered(world, 1, { room: 'two' }),
        ordered(world, 2, { room: 'three' }),
        ordered(world, 1, { room: 'one' }),
        ordered(world, 2, { room: 'two' }),
        world.message('plain', { room: 'four' }),
      );

      expect(told(results)).toEqual(['1', 'parked, waits for 1', '1', '2', '1']);
      expect(await waiting(world, 'one')).toEqual(['o-1', 'o-2']);
      expect(await waiting(world, 'two')).toEqual(['o-1', 'o-2']);
      expect((await world.stored('three')).row.tail).toBe(0);
    });

    it('recognises a repeated message wherever it is: parked, waiting, or settled', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      await world.append(ordered(world, 3), ordered(world, 1));
      expect(told(await world.append(ordered(world, 3), ordered(world, 1), ordered(world, 3)))).toEqual([
        'parked again, waits for 2',
        'duplicate 1',
        'parked again, waits for 2',
      ]);
      await world.apply(await world.read(), proof, claimBy(proof), ack(1));
      expect(told(await world.append(ordered(world, 2), ordered(world, 1), ordered(world, 3)))).toEqual([
        '2',
        'duplicate 1',
        'duplicate 3',
      ]);
      expect((await world.stored()).row.tail).toBe(3);
    });

    it('does not take what is parked in another room of its shard for its own', async () => {
      const world = new World(stores());
      await world.append(
        ordered(world, 3, { room: 'one' }),
        ordered(world, 4, { room: 'one' }),
        ordered(world, 2, { room: 'two', id: 'behind a gap' }),
      );
      expect(told(await world.append(world.message('o-3', { room: 'two' })))).toEqual(['1']);
      expect(told(await world.append(ordered(world, 3, { room: 'two', id: 'o-4' })))).toEqual(['parked, waits for 1']);
    });

    it.each(['with an order', 'without one'])('knows an id of a message %s in its own room alone', async (how) => {
      const world = new World(stores());
      const proof = await world.worker();
      for (const [room, settled, waits] of [['one', 'a', 'b'] as const, ['two', 'c', 'd'] as const]) {
        await world.append(world.message(settled, { room }), world.message(waits, { room }));
        await world.apply(await world.read(room), proof, claimBy(proof), ack(1));
      }
      const again = (id: string, order: number) =>
        how === 'without one' ? world.message(id, { room: 'two' }) : ordered(world, order, { id, room: 'two' });
      expect(told(await world.append(again('a', 1), again('b', 2)))).toEqual(['3', '4']);
    });

    it('gives up and makes good numbers of its own room alone', async () => {
      const world = new World(stores());
      await world.append(ordered(world, 3, { room: 'skips' }), ordered(world, 3, { room: 'skips too' }));
      await skip(world, 1, 'skips');
      await skip(world, 1, 'skips too');
      await world.append(...[1, 2, 3].map((order) => ordered(world, order, { room: 'has all' })));
      const late = (room: string) => ordered(world, 2, { room, id: 'late' });
      expect(told(await world.append(late('skips')))).toEqual(['2 late']);
      expect(told(await world.append(late('skips too'), late('has all')))).toEqual(['2 late', 'order conflict 2']);
    });

    it('goes on with the run of its own room alone', async () => {
      const world = new World(stores());
      const to = (room: string, ...orders: number[]) => orders.map((order) => ordered(world, order, { room }));
      await world.append(...to('another', 2, 3), ...to('one behind', 2), ...to('none behind', 5));
      const results = await world.append(...to('one behind', 1), ...to('none behind', 1));
      expect(told(results)).toEqual(['1', '1']);
      expect(await waiting(world, 'one behind')).toEqual(['o-1', 'o-2']);
      expect((await world.stored('one behind')).gap).toBeUndefined();
      expect(await waiting(world, 'none behind')).toEqual(['o-1']);
      expect((await world.stored('another')).row.tail).toBe(0);
    });

    it('tells of a gap only where there is one, whatever else the batch brings', async () => {
      const world = new World(stores());
      const results = await world.append(
        ordered(world, 1, { room: 'whole' }),
        ordered(world, 3, { room: 'has a gap' }),
        ordered(world, 4, { room: 'has a gap' }),
      );
      expect(results[0]).not.toHaveProperty('gap');
      expect(told(results)).toEqual(['1', 'parked, waits for 1', 'parked, waits for 1']);
      expect((await world.stored('whole')).gap).toBeUndefined();
      expect((await world.stored('has a gap')).gap).toMatchObject({ waitsFor: 1 });
    });

    it('takes no number for that of what stays parked: neither its room’s nor another room’s', async () => {
      const world = new World(stores());
      await world.append(
        ordered(world, 2, { room: 'one' }),
        ordered(world, 4, { room: 'one' }),
        ordered(world, 2, { room: 'two' }),
      );
      const results = await world.append(
        ordered(world, 4, { room: 'one' }),
        ordered(world, 2, { room: 'two' }),
        ordered(world, 1, { room: 'one' }),
      );
      expect(told(results)).toEqual(['parked again, waits for 3', 'parked again, waits for 1', '1']);
      expect(await waiting(world, 'one')).toEqual(['o-1', 'o-2']);
    });

    it('sees a repetition of a message that is new in the same batch', async () => {
      const world = new World(stores());
      const other = ordered(world, 4, { body: Buffer.from('other') });
      const results = await world.append(
        ordered(world, 4),
        ordered(world, 4),
        other,
        ordered(world, 1),
        ordered(world, 1),
      );
      expect(told(results)).toEqual([
        'parked, waits for 2',
        'parked again, waits for 2',
        'conflict parked',
        '1',
        'duplicate 1',
      ]);
    });

    it('refuses another body, or another order, under a known id', async () => {
      const world = new World(stores());
      await world.append(ordered(world, 3), ordered(world, 1), world.message('plain'));
      const before = await world.stored();
      const results = await world.append(
        ordered(world, 3, { body: Buffer.from('other') }),
        ordered(world, 2, { id: 'o-3' }),
        ordered(world, 1, { body: Buffer.from('other') }),
        ordered(world, 2, { id: 'plain' }),
        ordered(world, 9, { id: 'o-1' }),
      );
      expect(told(results)).toEqual(['conflict parked', 'conflict parked', 'conflict 1', 'conflict 2', 'conflict 1']);
      expect(told(await world.append(world.message('o-3')))).toEqual(['conflict parked']);
      expect(told(await world.append(world.message('o-1')))).toEqual(['conflict 1']);
      expect(await world.stored()).toEqual(before);
    });

    it('refuses a number that another message has: parked, appended, or in the same batch', async () => {
      const world = new World(stores());
      await world.append(ordered(world, 1), ordered(world, 3));
      const results = await world.append(
        ordered(world, 3, { id: 'x' }),
        ordered(world, 1, { id: 'y' }),
        ordered(world, 7, { id: 'z' }),
        ordered(world, 7, { id: 'zz' }),
      );
      expect(told(results)).toEqual([
        'order conflict 3',
        'order conflict 1',
        'parked, waits for 2',
        'order conflict 7',
      ]);
      expect(told(await world.append(ordered(world, 2)))).toEqual(['2']);
      expect(await waiting(world)).toEqual(['o-1', 'o-2', 'o-3']);
    });

    it('skips a gap: what is parked goes on up to the next one', async () => {
      const world = new World(stores());
      await world.append(ordered(world, 4), ordered(world, 5), ordered(world, 8));
      const [skipped] = await skip(world, 1);
      const stored = await world.stored();

      expect(skipped).toEqual({ tail: 2, gap: stored.gap, skipped: { first: 1, last: 3 } });
      expect(stored).toMatchObject({ row: { tail: 2, version: 0, phase: 'idle' }, gap: { waitsFor: 6 } });
      expect(await waiting(world)).toEqual(['o-4', 'o-5']);
      expect(await skip(world, 6)).toEqual([{ tail: 3, gap: null, skipped: { first: 6, last: 7 } }]);
      expect((await world.stored()).gap).toBeUndefined();
      expect(await waiting(world)).toEqual(['o-4', 'o-5', 'o-8']);
      expect(told(await world.append(ordered(world, 9)))).toEqual(['4']);
    });

    it('skips nothing where the room waits for another number by then, or for none', async () => {
      const world = new World(stores());
      await world.append(ordered(world, 3));
      await world.append(ordered(world, 1));
      const { row, gap } = await world.stored();
      expect(await skip(world, 1)).toEqual([{ tail: 1, gap, skipped: null }]);
      await world.append(ordered(world, 2));
      expect(await skip(world, 2)).toEqual([{ tail: 3, gap: null, skipped: null }]);
      expect(await skip(world, 4)).toEqual([{ tail: 3, gap: null, skipped: null }]);
      expect(await world.stores.rooms.skipGaps([{ shard: row.shard, id: 2 ** 47, waitsFor: 1 }])).toEqual([null]);
      expect(await world.stores.rooms.skipGaps([])).toEqual([]);
    });

    it('skips the gaps of several rooms at once, each by its own number', async () => {
      const world = new World(stores());
      await world.append(...['one', 'two', 'three'].map((room, i) => ordered(world, i + 2, { room })));
      const gaps = await Promise.all(
        ['three', 'one', 'two'].map(async (room) => {
          const { shard, id } = (await world.stored(room)).row;
          return { shard, id, waitsFor: room === 'two' ? 2 : 1 };
        }),
      );
      const results = await world.stores.rooms.skipGaps(gaps);
      expect(results.map((result) => result?.skipped)).toEqual([{ first: 1, last: 3 }, { first: 1, last: 1 }, null]);
      await expect(world.stores.rooms.skipGaps([...gaps, ...gaps])).rejects.toThrow('two gaps of one room');
    });

    it('appends what comes after its number was skipped, once, and says so', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      await world.append(ordered(world, 4));
      await skip(world, 1);
      const results = await world.append(
        ordered(world, 2),
        ordered(world, 5),
        ordered(world, 2, { id: 'again' }),
        ordered(world, 3),
      );
      expect(told(results)).toEqual(['2 late', '3', 'order conflict 2', '4 late']);
      expect(told(await world.append(ordered(world, 2), ordered(world, 3, { id: 'other' })))).toEqual([
        'duplicate 2',
        'order conflict 3',
      ]);
      expect(told(await world.append(ordered(world, 1), ordered(world, 6)))).toEqual(['5 late', '6']);
      const { row } = await world.stored();
      expect(await world.stores.history.readWaiting(row, 2)).toMatchObject({ order: 2, late: true });
      const room = await world.apply(await world.read(), proof, claimBy(proof), ack(1));
      await world.apply(room, proof, claimBy(proof), ack(2));
      expect(await world.stores.history.readSettled(row, 1)).toMatchObject({ order: 4 });
      expect(await world.stores.history.readSettled(row, 2)).toMatchObject({ order: 2, late: true });
      const listed = await world.stores.history.listRoom(row, null, 10);
      expect(listed.map(({ order, late }) => [order, late])).toEqual([
        [6, undefined],
        [1, true],
        [3, true],
        [5, undefined],
        [2, true],
        [4, undefined],
      ]);
    });

    it('finds a message by its id wherever it is', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      await world.append(ordered(world, 1), world.message('plain'), ordered(world, 3));
      const { row } = await world.stored();
      const { rooms } = world.stores;
      await world.apply(await world.read(), proof, claimBy(proof), ack(1));
      expect(await rooms.findMessage(row, 'o-1')).toEqual({ kind: 'numbered', sequence: 1 });
      expect(await rooms.findMessage(row, 'plain')).toEqual({ kind: 'numbered', sequence: 2 });
      expect(await rooms.findMessage(row, 'o-3')).toMatchObject({ kind: 'parked', order: 3 });
      expect(await rooms.findMessage(row, 'nothing')).toBeNull();
      expect(await rooms.findMessage({ ...row, id: row.id + 1_000_000 }, 'plain')).toBeNull();
    });

    it('lets the largest number be followed by none', async () => {
      const world = new World(stores());
      const largest = Number.MAX_SAFE_INTEGER - 1;
      await world.append(ordered(world, largest));
      expect(await skip(world, 1)).toEqual([{ tail: 1, gap: null, skipped: { first: 1, last: largest - 1 } }]);
      expect(told(await world.append(ordered(world, largest, { id: 'other' })))).toEqual([`order conflict ${largest}`]);
    });

    it('is no transition: a decision made before goes through, and leaves the gap as it is', async () => {
      const world = new World(stores());
      const proof = await world.worker();
      const write = decide(await world.roomWith(1), claimBy(proof));
      await world.append(ordered(world, 2));
      const { gap } = await world.stored();

      expect(await world.write(write, proof)).toEqual({ kind: 'committed', tail: 1, inbox: [] });
      expect(await world.stored()).toMatchObject({ row: { phase: 'sending' }, gap });
      await skip(world, 1);
      const settle = unclaimed(decide(write.next, ack(1)));
      expect(await world.write(settle, proof)).toEqual({ kind: 'committed', tail: 2, inbox: [] });
      expect((await world.stored()).gap).toBeUndefined();
    });

    it('keeps a room with a gap among those that need their holder', async () => {
      const world = new World(stores());
      const { rooms } = world.stores;
      const { now: since } = await rooms.changedSince([world.shard], null);
      await world.append(ordered(world, 2));
      const found = [
        await rooms.scan([world.shard], 10, null),
        (await rooms.sweep([world.shard], START, 10, null)).rooms,
        await sweepMany(world, START),
      ];
      for (const some of found) {
        const own = some.filter(({ row }) => row.key.channel === world.channel);
        expect(own).toMatchObject([{ row: { tail: 0 }, gap: { waitsFor: 1 } }]);
      }
      const { id } = (await world.stored()).row;
      const marks = (await rooms.changedSince([world.shard], since)).rooms.filter((mark) => mark.id === id);
      expect(marks).toMatchObject([{ atRest: false }]);
      const [read] = await rooms.readRooms([(await world.stored()).row]);
      expect(read?.gap).toMatchObject({ waitsFor: 1 });
    });

    it('times each gap from when something was first parked behind it', async () => {
      const world = new World(stores());
      await world.append(ordered(world, 3));
      const first = (await world.stored()).gap;
      await world.append(ordered(world, 5));
      expect((await world.stored()).gap).toEqual(first);
      await world.append(ordered(world, 1), ordered(world, 2));
      const second = (await world.stored()).gap;
      expect(second?.waitsFor).toBe(4);
      expect(second?.since).toBeGreaterThanOrEqual(first?.since ?? Number.POSITIVE_INFINITY);
    });

    it('of two that close a gap and skip it at once, one finds the other', async () => {
      const world = new World(stores());
      for (let round = 0; round < 20; round++) {
        const room = `race-${round}`;
        await world.append(ordered(world, 2, { room }));
        const [results, [skipped]] = await Promise.all([
          world.append(ordered(world, 1, { room })),
          skip(world, 1, room),
        ]);
        const late = told(results)[0] === '2 late';
        expect([late ? '2 late' : '1', skipped?.skipped === null]).toEqual([told(results)[0], !late]);
        expect(await waiting(world, room)).toEqual(late ? ['o-2', 'o-1'] : ['o-1', 'o-2']);
      }
    });

    it('is kept by appends that come at once', async () => {
      const world = new World(stores());
      const count = 40;
      const orders = Array.from({ length: count }, (_, i) => ((i * 17) % count) + 1);
      await Promise.all(orders.map((order) => world.append(ordered(world, order))));
      expect(await waiting(world)).toEqual(Array.from({ length: count }, (_, i) => `o-${i + 1}`));
    });
  });
}

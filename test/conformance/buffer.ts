/** Cursors of the buffer, alone and together with appends. */
import { describe, expect, it } from 'vitest';
import { BEGINNING, type BufferCursors, CursorMovedError, type PartitionState } from '../../src/engine/buffer-ports.ts';
import { type Harness, World } from './world.ts';

const LEASE_MS = 60_000;

export function describeBuffer(harness: () => Harness): void {
  describe('cursors of the buffer', () => {
    const cursors = (): BufferCursors => harness().bufferCursors;

    /** One partition, and the consumer that has it. */
    async function held(consumer = 'a'): Promise<PartitionState> {
      await cursors().layOut(1);
      const [state] = await cursors().take(consumer, [0], LEASE_MS);
      if (state === undefined) throw new Error('somebody else has it');
      return state;
    }

    it('are laid out once, whoever begins, and anew only while nobody consumes', async () => {
      expect(await cursors().layOut(0)).toBe(0);
      const counts = await Promise.all([4, 4, 4].map((partitions) => cursors().layOut(partitions)));
      expect(counts).toEqual([4, 4, 4]);
      expect(await cursors().layOut(2)).toBe(4);
      expect(await cursors().layOut(0)).toBe(4);
      await cursors().look('a', LEASE_MS);
      expect(await cursors().layOutAnew(2)).toBe(false);
      expect(await cursors().layOut(2)).toBe(4);
      await cursors().leave('a');
      expect(await cursors().layOutAnew(2)).toBe(true);
      expect(await cursors().layOut(2)).toBe(2);
      expect(await cursors().layOutAnew(5)).toBe(true);
      expect(await cursors().layOut(5)).toBe(5);
    });

    it('have one consumer each, until its lease ends or it gives them back', async () => {
      await cursors().layOut(3);
      expect(await cursors().look('a', LEASE_MS)).toMatchObject({ consumers: 1, held: [], free: [0, 1, 2] });
      const taken = await cursors().take('a', [0, 1], LEASE_MS);
      expect(taken.map(({ partition, term, cursor, history }) => ({ partition, term, cursor, history }))).toEqual(
        expect.arrayContaining([0, 1].map((partition) => ({ partition, term: 1, cursor: BEGINNING, history: null }))),
      );
      expect(await cursors().take('b', [0, 1, 2], LEASE_MS)).toMatchObject([{ partition: 2, term: 1 }]);
      const view = await cursors().look('b', LEASE_MS);
      expect(view).toMatchObject({ consumers: 2, held: [{ partition: 2 }], free: [] });

      await cursors().release('a', [1, 2]);
      expect((await cursors().look('b', LEASE_MS)).free).toEqual([1]);
      expect(await cursors().take('b', [1], LEASE_MS)).toMatchObject([{ partition: 1, term: 2 }]);
      await cursors().leave('a');
      expect(await cursors().look('b', LEASE_MS)).toMatchObject({ consumers: 1, free: [0] });

      await cursors().take('c', [0], -1);
      expect((await cursors().look('b', LEASE_MS)).free).toEqual([0]);
      // Nobody took it meanwhile: it is still c's, and its term is the same.
      expect(await cursors().look('c', LEASE_MS)).toMatchObject({ held: [{ partition: 0, term: 2 }] });
      expect((await cursors().look('b', LEASE_MS)).free).toEqual([]);
    });

    it('move with what is appended, and by themselves', async () => {
      const { term } = await held();
      const world = new World(harness().stores);
      const append = (ids: string[], from: string, to: string) =>
        world.stores.rooms.append(
          ids.map((id) => world.message(id, { room: `room of ${id}` })),
          { partition: 0, term, from, to },
        );
      expect((await append(['a', 'b'], BEGINNING, '10-1')).map(({ kind }) => kind)).toEqual(['appended', 'appended']);
      expect(await cursors().read(0)).toMatchObject({ cursor: '10-1' });
      expect((await append(['b', 'c'], '10-1', '10-18446744073709551615')).map(({ kind }) => kind)).toEqual([
        'duplicate',
        'appended',
      ]);
      await cursors().move({ partition: 0, term, from: '10-18446744073709551615', to: '11-0' });
      expect(await cursors().read(0)).toMatchObject({ cursor: '11-0', term });
      expect(await cursors().read(7)).toBeNull();
    });

    it('get another stream, and are read from its beginning', async () => {
      const { term } = await held();
      await cursors().restart({ partition: 0, term, from: BEGINNING, to: '7-7' }, 'h');
      expect(await cursors().read(0)).toEqual({ partition: 0, term, cursor: '7-7', history: 'h' });
      const late = cursors().restart({ partition: 0, term, from: BEGINNING, to: '8-8' }, 'i');
      await expect(late).rejects.toBeInstanceOf(CursorMovedError);
      expect(await cursors().read(0)).toMatchObject({ cursor: '7-7', history: 'h' });
    });

    it('stale consumer: whoever lost its term appends nothing and moves nothing', async () => {
      const { term } = await held('stale');
      await cursors().release('stale', [0]);
      const [heir] = await cursors().take('heir', [0], LEASE_MS);
      const world = new World(harness().stores);
      const move = { partition: 0, term, from: BEGINNING, to: '5-0' };
      const late = [
        () => world.stores.rooms.append([world.message('a')], move),
        () => cursors().move(move),
        () => cursors().restart(move, 'h'),
      ];
      for (const one of late) await expect(one()).rejects.toBeInstanceOf(CursorMovedError);
      expect(await world.stores.rooms.findRoom(world.key(), world.shard)).toSatisfy(
        (stored: { row: { tail: number } } | null) => stored === null || stored.row.tail === 0,
      );
      expect(await cursors().read(0)).toMatchObject({ cursor: BEGINNING, term: heir?.term });
    });

    it('late of two: of two inserts from one cursor one is stored, as a whole', async () => {
      const { term } = await held();
      const world = new World(harness().stores);
      let from = BEGINNING;
      for (let round = 1; round <= 10; round++) {
        const results = await Promise.allSettled(
          [1, 2, 3].map((n) =>
            world.stores.rooms.append(
              [1, 2].map((i) => world.message(`${round}-${n}-${i}`, { room: `room ${round % 3}` })),
              { partition: 0, term, from, to: `${round}-${n}` },
            ),
          ),
        );
        const stored = results.findIndex(({ status }) => status === 'fulfilled') + 1;
        expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected', 'rejected']);
        from = (await cursors().read(0))?.cursor ?? '';
        expect(from).toBe(`${round}-${stored}`);
      }
      const tails = await Promise.all([0, 1, 2].map(async (n) => (await world.stored(`room ${n}`)).row.tail));
      expect(tails.reduce((sum, tail) => sum + tail, 0)).toBe(20);
    });
  });
}

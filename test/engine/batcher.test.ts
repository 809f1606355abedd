import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AGAIN, Batcher, type Company } from '../../src/engine/batcher.ts';
import { settled } from '../support/engine.ts';

type Flush = {
  readonly items: readonly number[];
  answer(results: readonly (string | typeof AGAIN)[]): Promise<void>;
  fail(error: Error): Promise<void>;
};

const COMPANY_MS = 2;

/** Time and turns of the event loop that the test ends by hand. */
function controlledTime() {
  const timers = new Set<() => void>();
  const turn: (() => void)[] = [];
  return {
    company: {
      mostMs: COMPANY_MS,
      endOfTurn: (callback: () => void) => void turn.push(callback),
      after: (ms: number, callback: () => void) => {
        expect(ms).toBe(COMPANY_MS);
        timers.add(callback);
        return () => void timers.delete(callback);
      },
    },
    timers,
    async endTurn(): Promise<void> {
      for (const callback of turn.splice(0)) callback();
      await settled();
    },
    async expire(): Promise<void> {
      for (const callback of timers) callback();
      timers.clear();
      await settled();
    },
  };
}

/** A batcher whose flushes the test ends by hand. */
function controlled(maxRows: number, options: { company?: Company; pause?: () => Promise<void> } = {}) {
  const flushes: Flush[] = [];
  let open = 0;
  let mostOpen = 0;
  const batcher = new Batcher<number, string>({
    maxRows,
    ...(options.company === undefined ? {} : { company: options.company }),
    ...(options.pause === undefined ? {} : { pauseBeforeAgain: options.pause }),
    flush: (items) => {
      open++;
      mostOpen = Math.max(mostOpen, open);
      return new Promise((resolve, reject) => {
        const end = (act: () => void): Promise<void> => {
          open--;
          act();
          return settled();
        };
        flushes.push({
          items: [...items],
          answer: (results) => end(() => resolve(results)),
          fail: (error) => end(() => reject(error)),
        });
      });
    },
  });
  return { batcher, flushes, mostOpen: () => mostOpen };
}

describe('a batcher', () => {
  it('answers every item once, in order, with one flush in flight, whatever is put off or fails', async () => {
    const step = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({ type: fc.constant('submit' as const), count: fc.integer({ min: 1, max: 4 }) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({
          type: fc.constant('answer' as const),
          again: fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ type: fc.constant('submit all' as const), count: fc.integer({ min: 0, max: 7 }) }),
      },
      { weight: 1, arbitrary: fc.record({ type: fc.constant('fail' as const) }) },
      { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('end turn' as const, 'expire' as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(step, { maxLength: 25 }),
        fc.boolean(),
        async (maxRows, steps, waits) => {
          const time = controlledTime();
          const { batcher, flushes, mostOpen } = controlled(maxRows, waits ? { company: time.company } : {});
          const answers = new Map<number, string>();
          let submitted = 0;
          let ended = 0;
          let mayFail = true;
          const put = (item: number) =>
            void batcher.submit(item).then(
              (result) => answers.set(item, `${answers.get(item) ?? ''}${result}`),
              () => answers.set(item, `${answers.get(item) ?? ''}failed`),
            );
          const endOne = async (again: readonly boolean[]): Promise<void> => {
            const flush = flushes[ended];
            if (flush === undefined) return;
            ended++;
            await flush.answer(flush.items.map((item, index) => (again[index] === true ? AGAIN : `done ${item}`)));
          };
          for (const one of steps) {
            if (one.type === 'submit') for (let n = 0; n < one.count; n++) put(submitted++);
            else if (one.type === 'submit all') {
              const items = Array.from({ length: one.count }, () => submitted++);
              void batcher
                .submitAll(items, () => 'failed')
                .then((results) => {
                  expect(results).toHaveLength(items.length);
                  for (const [index, item] of items.entries()) {
                    answers.set(item, `${answers.get(item) ?? ''}${results[index]}`);
                  }
                });
            } else if (one.type === 'answer') await endOne(one.again);
            else if (one.type === 'end turn') await time.endTurn();
            else if (one.type === 'expire') await time.expire();
            else if (mayFail && flushes[ended] !== undefined) {
              mayFail = false;
              await flushes[ended++]?.fail(new Error('broken'));
            }
            await settled();
          }
          while (answers.size < submitted) {
            await time.endTurn();
            await time.expire();
            await endOne([]);
          }
          await batcher.idle();
          expect(time.timers.size).toBe(0);

          expect(mostOpen()).toBeLessThanOrEqual(1);
          for (const { items } of flushes) {
            expect(items.length).toBeLessThanOrEqual(maxRows);
            // What was put off keeps its place before all that came later.
            expect(items).toEqual([...items].sort((a, b) => a - b));
          }
          expect(answers.size).toBe(submitted);
          for (const [item, answer] of answers) expect([`done ${item}`, 'failed']).toContain(answer);
          expect(batcher.waiting).toBe(0);
        },
      ),
      { numRuns: 150 },
    );
  });

  it('lets one turn of the event loop share the first batch', async () => {
    const { batcher, flushes } = controlled(10);
    const work = [1, 2, 3].map((item) => batcher.submit(item));
    await settled();
    expect(flushes.map(({ items }) => items)).toEqual([[1, 2, 3]]);
    await flushes[0]?.answer(['a', 'b', 'c']);
    expect(await Promise.all(work)).toEqual(['a', 'b', 'c']);
  });

  describe('that waits for company', () => {
    const itemsOf = (flushes: readonly Flush[]) => flushes.map(({ items }) => items);

    it('lets an item go at the end of its turn beside which none is expected', async () => {
      const time = controlledTime();
      const { batcher, flushes } = controlled(10, time);
      for (const [index, item] of [1, 2].entries()) {
        const work = batcher.submit(item);
        await settled();
        expect(flushes).toHaveLength(index);
        await time.endTurn();
        expect(flushes).toHaveLength(index + 1);
        await flushes[index]?.answer(['done']);
        expect(await work).toBe('done');
      }
      expect(time.timers.size).toBe(0);
    });

    it('expects as many as were open when the last flush ended, those that it answered and those that waited', async () => {
      const time = controlledTime();
      const { batcher, flushes } = controlled(10, time);
      void batcher.submit(1);
      await time.endTurn();
      for (const item of [2, 3]) void batcher.submit(item);
      await flushes[0]?.answer(['a']);
      expect(itemsOf(flushes)).toEqual([[1]]);
      // Whoever had the answer comes again, and with it others of the same turn.
      for (const item of [4, 5]) void batcher.submit(item);
      await settled();
      expect(itemsOf(flushes)).toEqual([[1]]);
      await time.endTurn();
      expect(itemsOf(flushes)).toEqual([[1], [2, 3, 4, 5]]);
      expect(time.timers.size).toBe(0);
      await flushes[1]?.answer(['b', 'c', 'd', 'e']);
      await batcher.idle();
    });

    it('waits no longer than it may for those that do not come, and then for no more than came', async () => {
      const time = controlledTime();
      const { batcher, flushes } = controlled(10, time);
      for (const item of [1, 2]) void batcher.submit(item);
      await time.endTurn();
      await flushes[0]?.answer(['a', 'b']);
      void batcher.submit(3);
      await time.endTurn();
      expect(itemsOf(flushes)).toEqual([[1, 2]]);
      await time.expire();
      expect(itemsOf(flushes)).toEqual([[1, 2], [3]]);
      await flushes[1]?.answer(['c']);
      void batcher.submit(4);
      await time.endTurn();
      expect(itemsOf(flushes)).toEqual([[1, 2], [3], [4]]);
      await flushes[2]?.answer(['d']);
      await batcher.idle();
    });

    it('does not wait where many were there: such crowds fill batches by themselves', async () => {
      const time = controlledTime();
      const { batcher, flushes } = controlled(1_000, time);
      const crowd = Array.from({ length: 65 }, (_, item) => item);
      void batcher.submitAll(crowd, () => 'failed');
      await time.endTurn();
      await flushes[0]?.answer(crowd.map(() => 'done'));
      void batcher.submit(65);
      await time.endTurn();
      expect(itemsOf(flushes)).toEqual([crowd, [65]]);
      await flushes[1]?.answer(['done']);
      await batcher.idle();
    });

    it('does not wait for more than a batch holds', async () => {
      const time = controlledTime();
      const { batcher, flushes } = controlled(3, time);
      void batcher.submitAll([1, 2, 3, 4, 5, 6], () => 'failed');
      await time.endTurn();
      await flushes[0]?.answer(['a', 'b', 'c']);
      expect(itemsOf(flushes)).toEqual([
        [1, 2, 3],
        [4, 5, 6],
      ]);
      expect(time.timers.size).toBe(0);
      await flushes[1]?.answer(['d', 'e', 'f']);
      await batcher.idle();
    });
  });

  it('halves what it tries after a batch of which nothing was taken, and doubles it as batches go through', async () => {
    const { batcher, flushes } = controlled(8);
    const work = Array.from({ length: 12 }, (_, item) => batcher.submit(item));
    const next = async (takes: boolean): Promise<number> => {
      await settled();
      const { items, answer } = flushes.at(-1) as Flush;
      await answer(items.map((item) => (takes ? String(item) : AGAIN)));
      return items.length;
    };
    expect(await next(false)).toBe(8);
    expect(await next(false)).toBe(4);
    expect(await next(true)).toBe(2);
    expect(await next(true)).toBe(4);
    expect(await next(true)).toBe(6);
    expect(await Promise.all(work)).toEqual(Array.from({ length: 12 }, (_, item) => String(item)));
  });

  it('pauses before it tries a batch again of which nothing was taken, and only then', async () => {
    const pauses: PromiseWithResolvers<void>[] = [];
    const { batcher, flushes } = controlled(10, {
      pause: () => {
        const pause = Promise.withResolvers<void>();
        pauses.push(pause);
        return pause.promise;
      },
    });
    const work = [batcher.submit(1), batcher.submit(2)];
    await settled();
    await flushes[0]?.answer([AGAIN, 'b']);
    expect(pauses).toHaveLength(0);
    await flushes[1]?.answer([AGAIN]);
    expect(pauses).toHaveLength(1);
    expect(flushes).toHaveLength(2);
    pauses[0]?.resolve();
    await settled();
    await flushes[2]?.answer(['a']);
    expect(await Promise.all(work)).toEqual(['a', 'b']);
  });

  it('rejects a batch whose answers do not match its items, and goes on', async () => {
    const { batcher, flushes } = controlled(1);
    const first = batcher.submit(1);
    const refusal = expect(first).rejects.toThrow('answered 0 of 1');
    const second = batcher.submit(2);
    await settled();
    await flushes[0]?.answer([]);
    await refusal;
    await flushes[1]?.answer(['b']);
    expect(await second).toBe('b');
  });

  it('is idle only when nothing waits and nothing is in flight', async () => {
    const { batcher, flushes } = controlled(1);
    let idle = false;
    const work = [batcher.submit(1), batcher.submit(2)];
    void batcher.idle().then(() => {
      idle = true;
    });
    await settled();
    await flushes[0]?.answer(['a']);
    expect(idle).toBe(false);
    await flushes[1]?.answer(['b']);
    await Promise.all(work);
    await settled();
    expect(idle).toBe(true);
  });

  it('ends a batch before it becomes too heavy, but lets one item go however heavy it is', async () => {
    const flushed: number[][] = [];
    const batcher = new Batcher<number, number>({
      maxRows: 4,
      weight: { of: (item) => item, most: 10 },
      flush: async (items) => {
        flushed.push([...items]);
        return items;
      },
    });
    const items = [4, 5, 2, 50, 1, 1, 1, 1, 1];
    expect(await batcher.submitAll(items, () => -1)).toEqual(items);
    expect(flushed).toEqual([[4, 5], [2], [50], [1, 1, 1, 1], [1]]);
  });
});

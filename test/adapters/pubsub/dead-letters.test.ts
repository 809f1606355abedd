import { describe, expect, it } from 'vitest';
import { DeadLetterLane, type IntakeLetter } from '../../../src/adapters/pubsub/dead-letters.ts';
import { createLog, createMetrics, recipientHasher, Telemetry } from '../../../src/telemetry.ts';

const letter = (name: string, bytes = 1): IntakeLetter => ({
  reason: 'field_type',
  detail: '',
  payload: new Uint8Array(bytes),
  attributes: {},
  dedupeKey: name,
  at: 0,
});

/** A lane whose pauses end at once; `take` is the store. */
function newLane(take: (letters: readonly IntakeLetter[]) => Promise<void> | void) {
  const batches: string[][] = [];
  let pauses = 0;
  let mayStore = true;
  const lane = new DeadLetterLane({
    mayStore: () => mayStore,
    store: {
      async putIntake(letters) {
        batches.push(letters.map(({ dedupeKey }) => dedupeKey));
        await take(letters);
      },
    },
    clock: {
      after(_delayMs, callback) {
        pauses++;
        const timer = setImmediate(callback);
        return () => clearImmediate(timer);
      },
    },
    instruments: {
      log: createLog({ level: 'error', destination: { write: () => undefined } }),
      metrics: createMetrics({ version: '0.0.0' }),
      telemetry: new Telemetry(),
      hash: recipientHasher('a key'),
    },
  });
  return {
    lane,
    batches,
    pauses: () => pauses,
    allow: (allowed: boolean) => {
      mayStore = allowed;
    },
  };
}

describe('the lane of dead letters', () => {
  it('writes what comes together in one statement, and what comes meanwhile in the next', async () => {
    const { lane, batches } = newLane(() => undefined);
    const first = ['a', 'b'].map((name) => lane.put(letter(name)));
    await first[0];
    expect(await Promise.all([...first, lane.put(letter('c'))])).toEqual([true, true, true]);
    expect(batches).toEqual([['a', 'b'], ['c']]);
  });

  it('bounds a statement by number and by size', async () => {
    const { lane, batches } = newLane(() => undefined);
    const many = Array.from({ length: 120 }, (_, index) => lane.put(letter(`${index}`)));
    const big = [3, 3, 9, 1].map((mebibytes) => lane.put(letter('big', mebibytes * 1024 * 1024)));
    await Promise.all([...many, ...big]);
    expect(batches.map(({ length }) => length)).toEqual([100, 21, 1, 1, 1]);
  });

  it('stores nothing while it is not decided which past of the database is the true one', async () => {
    const { lane, batches, pauses, allow } = newLane(() => undefined);
    allow(false);
    const stored = lane.put(letter('a'));
    while (pauses() < 3) await new Promise((resolve) => setImmediate(resolve));
    expect(batches).toEqual([]);
    allow(true);
    expect(await stored).toBe(true);
    allow(false);
    const given = lane.put(letter('b'));
    lane.close();
    expect(await given).toBe(false);
  });

  it('tries again until the store is back', async () => {
    let failures = 3;
    const { lane, pauses } = newLane(() => {
      if (failures-- > 0) throw new Error('the store is away');
    });
    expect(await Promise.all(['a', 'b'].map((name) => lane.put(letter(name))))).toEqual([true, true]);
    expect(pauses()).toBe(3);
  });

  it('lets a letter that the store never takes hold up no other', async () => {
    const { lane, batches } = newLane((letters) => {
      if (letters.some(({ dedupeKey }) => dedupeKey === 'poison')) throw new Error('a value that no column takes');
    });
    const poison = lane.put(letter('poison'));
    const others = Array.from({ length: 10 }, (_, index) => lane.put(letter(`${index}`)));
    expect(await Promise.all(others)).toEqual(others.map(() => true));
    expect(await lane.put(letter('later'))).toBe(true);
    expect(batches.flat().filter((name) => name === '5').length).toBe(2);
    lane.close();
    expect(await poison).toBe(false);
  });

  it('gives up at its close, and writes nothing after it', async () => {
    const { lane, batches } = newLane(() => {
      throw new Error('the store is away');
    });
    const waiting = lane.put(letter('a'));
    lane.close();
    expect(await waiting).toBe(false);
    expect(await lane.put(letter('b'))).toBe(false);
    await new Promise((resolve) => setImmediate(resolve));
    expect(batches.flat()).not.toContain('b');
  });
});

import { describe, expect, test } from 'vitest';
import { type FaultyOptions, faultyStores, StoreUnavailableError } from '../../../src/adapters/memory/faulty.ts';
import { createMemoryStores } from '../../../src/adapters/memory/stores.ts';
import { OutcomeUnknownError } from '../../../src/engine/ports.ts';
import { registrationOf, takeFreeShards } from '../../support/fleet.ts';
import { emptyRoom } from '../../support/rooms.ts';

function setup(interpose: FaultyOptions['interpose'], clock?: FaultyOptions['clock']) {
  const stores = createMemoryStores({ shards: 4, now: () => 1_000 });
  const faulty = faultyStores(stores, clock === undefined ? { interpose } : { interpose, clock });
  return { stores, faulty };
}

const shardsOf = async (stores: ReturnType<typeof setup>['stores']): Promise<number> =>
  (await takeFreeShards(stores.ownership, 'w2')).length;

describe('faulty stores', () => {
  test('pass on what they are not told to break, and say what is called', async () => {
    const calls: string[] = [];
    const { faulty } = setup(({ store, method, args }) => {
      calls.push(`${store}.${method}(${args.join()})`);
      return 'run';
    });
    expect(await faulty.ownership.register(registrationOf('w1', 500))).toEqual({
      databaseTimeMs: 1_000,
      generation: 1,
      anotherHistory: null,
    });
    expect(await faulty.rooms.readRooms([])).toEqual([]);
    expect(calls).toEqual(['ownership.register([object Object])', 'rooms.readRooms()']);
  });

  test.each([
    ['fail_before', StoreUnavailableError, 4],
    ['lose_before', OutcomeUnknownError, 4],
    ['run_then_fail', OutcomeUnknownError, 0],
  ] as const)('%s: the caller learns nothing of what became of the call', async (action, error, left) => {
    const { stores, faulty } = setup(({ method }) => (method === 'applyPlan' ? action : 'run'));
    await faulty.ownership.register(registrationOf('w1', 500));
    await stores.ownership.register(registrationOf('w2', 500));
    await expect(takeFreeShards(faulty.ownership, 'w1')).rejects.toBeInstanceOf(error);
    expect(await shardsOf(stores)).toBe(left);
  });

  test('busy: every write comes back and none is stored', async () => {
    const { stores, faulty } = setup(({ method }) => (method === 'compareAndSet' ? 'busy' : 'run'));
    const next = { ...emptyRoom(), version: 1 };
    const write = { expectedVersion: 0, next, facts: [], claims: false };
    expect(await faulty.rooms.compareAndSet(0, [write], null)).toEqual([{ kind: 'busy' }]);
    expect(await stores.rooms.readRooms([next])).toEqual([null]);
  });

  test('a delay holds back the statement, or its answer, until the clock says so', async () => {
    const timers: { delayMs: number; fire: () => void }[] = [];
    const armed: (() => void)[] = [];
    const clock = {
      after: (delayMs: number, fire: () => void) => {
        timers.push({ delayMs, fire });
        armed.shift()?.();
        return () => undefined;
      },
    };
    const nextTimer = (): Promise<void> => new Promise((resolve) => armed.push(resolve));
    const { stores, faulty } = setup(() => ({ action: 'run', beforeMs: 30, afterMs: 70 }), clock);

    const before = nextTimer();
    const answer = faulty.ownership.register(registrationOf('w1', 500));
    await before;
    await expect(stores.ownership.renew('w1', 500)).rejects.toThrow('not registered');

    const after = nextTimer();
    timers[0]?.fire();
    await after;
    expect(await stores.ownership.renew('w1', 500)).not.toBeNull();

    timers[1]?.fire();
    expect(await answer).toEqual({ databaseTimeMs: 1_000, generation: 1, anotherHistory: null });
    expect(timers.map((timer) => timer.delayMs)).toEqual([30, 70]);
  });

  test('a delay without a clock is a defect of the test', async () => {
    const { faulty } = setup(() => ({ action: 'run', beforeMs: 1 }));
    await expect(faulty.channels.load()).rejects.toThrow('without a clock');
  });
});

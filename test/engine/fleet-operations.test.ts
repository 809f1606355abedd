/** What workers make of what operators say, in whole engines. */
import { describe, expect, it } from 'vitest';
import { openMemoryStores } from '../../src/adapters/memory/stores.ts';
import { FleetOperations } from '../../src/engine/fleet-operations.ts';
import { Bed, type Process, SHARDS, START } from '../support/engine.ts';
import { SignalBus } from '../support/signals.ts';

const HALF = SHARDS / 2;
const BY = { actor: 'ops', requestId: 'request-1' };
const NOTHING = { weights: new Map(), pins: [], moves: [] };

/** Two workers with half of the shards each, and what an operator asks, of a third process. */
async function pair(withSignals: boolean) {
  const bus = withSignals ? new SignalBus() : null;
  let now = (): number => START;
  const memory = openMemoryStores({ shards: SHARDS, now: () => now() });
  const bed = new Bed({ database: () => memory.stores, signals: bus });
  now = () => bed.time.now;
  const first = await bed.boot({ name: 'first' });
  const second = await bed.boot({ name: 'second' });
  const fleet = new FleetOperations({
    store: memory.operators.fleet,
    audit: memory.operators.audit,
    signals: bus?.port() ?? null,
    clock: { monotonic: () => bed.time.now },
  });
  await bed.time.until(() => second.engine.ownership.shards.size === HALF);
  return { bed, first, second, fleet };
}

const held = (process: Process): number => process.engine.ownership.shards.size;

describe.each([
  ['without signals, by looking', false, 2_500],
  ['by a signal, at once', true, 500],
] as const)('%s, workers carry out', (_how, withSignals, limitMs) => {
  it('a drain and its end', async () => {
    const { bed, first, second, fleet } = await pair(withSignals);
    const drained = await fleet.drain('first', true, false, BY);
    expect(drained.worker).toBe(first.engine.ownership.worker);
    await bed.time.until(() => held(second) === SHARDS, limitMs);
    expect([held(first), first.engine.ownership.isAlive]).toEqual([0, true]);
    await fleet.drain('first', false, false, BY);
    await bed.time.until(() => held(first) === HALF, limitMs);
    expect(held(second)).toBe(HALF);
    expect(await fleet.progress()).toMatchObject({ planned: true, promised: 0, last: { action: 'fleet.undrain' } });
  });

  it('other weights, pins and moves', async () => {
    const { bed, first, second, fleet } = await pair(withSignals);
    const decided = await fleet.rebalance({ ...NOTHING, weights: new Map([['second', 3]]) }, null, false, BY);
    await bed.time.until(() => held(first) === SHARDS / 4, limitMs);
    expect(held(second)).toBe(decided.workers.find(({ name }) => name === 'second')?.after);

    const shards = { first: 0, last: SHARDS / 4 - 1 };
    await fleet.rebalance(
      { ...NOTHING, weights: new Map([['second', null]]), pins: [{ shards, name: 'first' }] },
      null,
      false,
      BY,
    );
    const pinned = Array.from({ length: SHARDS / 4 }, (_, shard) => shard);
    await bed.time.until(() => pinned.every((shard) => first.engine.ownership.holds(shard)), limitMs);
    await bed.time.until(() => held(first) === HALF, limitMs);

    const [shard = -1] = [...first.engine.ownership.shards].filter((each) => !pinned.includes(each));
    const [other = -1] = second.engine.ownership.shards;
    const moves = [
      { shards: { first: shard, last: shard }, worker: 'second' },
      { shards: { first: other, last: other }, worker: 'first' },
    ];
    await fleet.rebalance({ ...NOTHING, moves }, null, false, BY);
    await bed.time.until(() => second.engine.ownership.holds(shard) && first.engine.ownership.holds(other), limitMs);
    // No plan that comes after it takes it back.
    await fleet.rebalance(NOTHING, null, false, BY);
    await bed.time.advance(6_000);
    expect([second.engine.ownership.holds(shard), first.engine.ownership.holds(other)]).toEqual([true, true]);
  });
});

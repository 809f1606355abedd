import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Assignment, assign, DEFAULT_BOUND, type WeightedWorker } from '../../src/room/assignment.ts';

const SHARDS = 4_096;

function named(count: number, weight = 1): WeightedWorker[] {
  return Array.from({ length: count }, (_, n) => ({ worker: `worker-${n}`, weight }));
}

function unowned(shards = SHARDS): null[] {
  return new Array<null>(shards).fill(null);
}

function loadsOf({ wanted }: Assignment, workers: readonly WeightedWorker[]): number[] {
  const loads = new Map(workers.map(({ worker }) => [worker, 0]));
  for (const owner of wanted) if (owner !== null) loads.set(owner, (loads.get(owner) ?? 0) + 1);
  return [...loads.values()];
}

function sharesOf(shards: number, workers: readonly WeightedWorker[]): number[] {
  const sum = workers.reduce((total, { weight }) => total + weight, 0);
  return workers.map(({ weight }) => (shards * weight) / sum);
}

/** A2: between 1/bound and bound times the share, or the share rounded up and down. */
function expectBand(assignment: Assignment, workers: readonly WeightedWorker[], bound = DEFAULT_BOUND): void {
  const shares = sharesOf(assignment.wanted.length, workers);
  loadsOf(assignment, workers).forEach((load, index) => {
    const share = shares[index] ?? Number.NaN;
    expect(load).toBeLessThanOrEqual(Math.max(Math.ceil(share - 1e-6), share * bound));
    expect(load).toBeGreaterThanOrEqual(Math.min(Math.floor(share + 1e-6), share / bound));
  });
}

const worker = fc.record({
  worker: fc.string({ minLength: 1, maxLength: 12 }),
  weight: fc.oneof(
    { weight: 4, arbitrary: fc.constant(1) },
    fc.integer({ min: 0, max: 8 }),
    fc.double({ min: 0, max: 1e300, noNaN: true }),
  ),
});
const workerSet = fc.uniqueArray(worker, { maxLength: 40, selector: (each) => each.worker });

interface World {
  readonly workers: readonly WeightedWorker[];
  readonly owners: readonly (string | null)[];
  readonly pins: ReadonlyMap<number, string>;
}

/** Any owners, live, gone or none; pins to live and to unknown workers. */
const world: fc.Arbitrary<World> = fc
  .tuple(workerSet, fc.uniqueArray(fc.string({ minLength: 1 }), { maxLength: 3 }), fc.integer({ min: 1, max: 300 }))
  .chain(([workers, gone, shards]) => {
    const name = fc.constantFrom('nowhere', ...gone, ...workers.map((each) => each.worker));
    return fc.record({
      workers: fc.constant(workers),
      owners: fc.array(fc.option(name, { freq: 8 }), { minLength: shards, maxLength: shards }),
      pins: fc
        .array(fc.tuple(fc.nat(shards - 1), name), { maxLength: 12 })
        .map((entries) => new Map<number, string>(entries)),
    });
  });

describe('any owners, workers and pins', () => {
  test('A1, A5: nothing goes to a draining or unknown worker, pins to others are kept, and the moves tell the rest', () => {
    fc.assert(
      fc.property(world, ({ workers, owners, pins }) => {
        const { wanted, moves } = assign({ owners, workers, pins });
        const weighted = new Set(workers.filter(({ weight }) => weight > 0).map((each) => each.worker));
        const live = new Set(workers.map((each) => each.worker));
        const after = [...owners];
        for (const { shard, from, to } of moves) {
          expect(after[shard]).toBe(from);
          expect(to).not.toBe(from);
          expect(weighted.has(to)).toBe(true);
          after[shard] = to;
        }
        wanted.forEach((owner, shard) => {
          if (weighted.size > 0) expect(weighted.has(owner ?? '')).toBe(true);
          else expect(owner).toBe(live.has(owners[shard] ?? '') ? owners[shard] : null);
          expect(owner).toBe(owner === null ? null : after[shard]);
          const pin = pins.get(shard);
          if (pin !== undefined && weighted.has(pin)) expect(owner).toBe(pin);
        });
      }),
      { numRuns: 400 },
    );
  });

  test('A4: assigning again from what is wanted moves nothing', () => {
    fc.assert(
      fc.property(world, ({ workers, owners, pins }) => {
        const { wanted } = assign({ owners, workers, pins });
        expect(assign({ owners: wanted, workers, pins })).toEqual({ wanted, moves: [] });
      }),
      { numRuns: 400 },
    );
  });

  test('the order of the workers counts for nothing', () => {
    fc.assert(
      fc.property(world, fc.infiniteStream(fc.nat()), ({ workers, owners, pins }, keys) => {
        const shuffled = workers
          .map((each) => ({ each, key: keys.next().value as number }))
          .sort((a, b) => a.key - b.key)
          .map(({ each }) => each);
        expect(assign({ owners, workers: shuffled, pins })).toEqual(assign({ owners, workers, pins }));
      }),
      { numRuns: 200 },
    );
  });

  test('A2: without pins every load is in the band, for whatever weights', () => {
    fc.assert(
      fc.property(world, ({ workers, owners }) => {
        const weighted = workers.filter(({ weight }) => weight > 0);
        fc.pre(weighted.length > 0);
        // Shares of weights that are 300 powers of ten apart cannot be added up by the test either.
        fc.pre(Math.max(...weighted.map(({ weight }) => weight)) / Math.min(...weighted.map((w) => w.weight)) < 1e9);
        expectBand(assign({ owners, workers }), weighted);
      }),
      { numRuns: 400 },
    );
  });

  test('A3: between two live workers a shard moves from one above its share to one below it', () => {
    fc.assert(
      fc.property(world, ({ workers, owners }) => {
        const weighted = workers.filter(({ weight }) => weight > 0);
        fc.pre(weighted.length > 0 && weighted.every(({ weight }) => weight < 1e9));
        const shares = sharesOf(owners.length, weighted);
        const loads = loadsOf({ wanted: owners, moves: [] }, weighted);
        const at = new Map(weighted.map((each, index) => [each.worker, index]));
        for (const { from, to } of assign({ owners, workers }).moves) {
          const [giver, getter] = [at.get(from ?? ''), at.get(to)];
          if (giver !== undefined) expect(loads[giver]).toBeGreaterThan(Math.floor((shares[giver] ?? 0) + 1e-6));
          expect(loads[getter ?? -1]).toBeLessThan(Math.ceil((shares[getter ?? -1] ?? 0) - 1e-6));
        }
      }),
      { numRuns: 400 },
    );
  });
});

describe('equal workers', () => {
  test.each([1, 2, 3, 7, 8, 16, 33, 48, 63, 64])('%i of them hold the same: max/mean ≤ 1.06', (count) => {
    const workers = named(count);
    const assignment = assign({ owners: unowned(), workers });
    expect(assignment.moves).toHaveLength(SHARDS);
    expect(Math.max(...loadsOf(assignment, workers)) / (SHARDS / count)).toBeLessThanOrEqual(1.06);
    expectBand(assignment, workers, 1);
  });

  test('one joining or leaving moves its own shards and no other, from 1 to 64 workers', () => {
    let { wanted } = assign({ owners: unowned(), workers: named(1) });
    for (let count = 2; count <= 64; count++) {
      const joined = assign({ owners: wanted, workers: named(count) });
      expect(joined.moves.length).toBeLessThanOrEqual((1.1 * SHARDS) / count);
      expect(new Set(joined.moves.map(({ to }) => to))).toEqual(new Set([`worker-${count - 1}`]));
      const left = assign({ owners: joined.wanted, workers: named(count).slice(1) });
      expect(left.moves.length).toBeLessThanOrEqual((1.1 * SHARDS) / count);
      expect(new Set(left.moves.map(({ from }) => from))).toEqual(new Set(['worker-0']));
      wanted = joined.wanted;
    }
  });

  test('whatever has come and gone before, the next join or leave moves at most 1.1/n, and all stays in the band', () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.nat()), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), steps, (start, history) => {
        let workers = named(start);
        let { wanted } = assign({ owners: unowned(), workers });
        let born = start;
        for (const [joins, which] of history) {
          const more = (joins || workers.length === 1) && workers.length < 64;
          const before = workers;
          workers = more
            ? [...before, { worker: `worker-${born++}`, weight: 1 }]
            : before.filter((_, index) => index !== which % before.length);
          const next = assign({ owners: wanted, workers });
          expect(next.moves.length).toBeLessThanOrEqual((1.1 * SHARDS) / Math.max(workers.length, before.length));
          expectBand(next, workers);
          wanted = next.wanted;
        }
      }),
      { numRuns: 30 },
    );
  });

  test('the newcomer takes from the fullest, the shards of one that left go to the emptiest', () => {
    const fill = (...counts: number[]) => counts.flatMap((count, n) => new Array<string>(count).fill(`worker-${n}`));
    const joined = assign({ owners: fill(103, 99, 98), workers: named(4), bound: 2 });
    const given = (name: string) => joined.moves.filter(({ from }) => from === name).length;
    expect([given('worker-0'), given('worker-1'), given('worker-2')]).toEqual([28, 24, 23]);
    const left = assign({ owners: fill(110, 90, 100, 100), workers: named(3), bound: 2 });
    expect(loadsOf(left, named(3))).toEqual([134, 133, 133]);
  });

  test('nobody moves while loads are in the band, and with the bound 1 they are made even', () => {
    const owners = [...new Array<string>(1_030).fill('worker-0'), ...new Array<string>(970).fill('worker-1')];
    // 970 is below 1,000 / 1.03 by less than a shard.
    expect(assign({ owners: owners.slice(0, 1_999), workers: named(2) }).moves.length).toBeGreaterThan(0);
    const even = [...new Array<string>(1_025).fill('worker-0'), ...new Array<string>(975).fill('worker-1')];
    expect(assign({ owners: even, workers: named(2) }).moves).toEqual([]);
    expect(assign({ owners: even, workers: named(2), bound: 1 }).moves).toHaveLength(25);
  });
});

describe('weights', () => {
  test('are honoured, and a changed one moves the difference', () => {
    const workers = [3, 2, 1].map((weight, n) => ({ worker: `worker-${n}`, weight }));
    const before = assign({ owners: unowned(600), workers });
    expect(loadsOf(before, workers)).toEqual([300, 200, 100]);
    const changed = workers.map((each) => ({ ...each, weight: 2 }));
    const after = assign({ owners: before.wanted, workers: changed });
    expect(after.moves).toHaveLength(100);
    expect(after.moves.every(({ from, to }) => from === 'worker-0' && to === 'worker-2')).toBe(true);
  });

  test('a draining worker gives all to those that hold least', () => {
    const workers = named(4);
    const before = assign({ owners: unowned(400), workers });
    const draining = workers.map((each, n) => (n === 2 ? { ...each, weight: 0 } : each));
    const after = assign({ owners: before.wanted, workers: draining });
    expect(loadsOf(after, workers).sort()).toEqual([0, 133, 133, 134]);
    expect(after.moves).toHaveLength(100);
  });

  test('where all drain, owners keep what they have and nobody gets what has no owner', () => {
    const workers = named(2, 0);
    expect(assign({ owners: ['worker-0', null, 'gone', 'worker-1'], workers })).toEqual({
      wanted: ['worker-0', null, null, 'worker-1'],
      moves: [],
    });
    expect(assign({ owners: ['gone'], workers: [] })).toEqual({ wanted: [null], moves: [] });
  });

  test.each([Number.MIN_VALUE, Number.MAX_VALUE])('of %d alone or twice are like any other', (weight) => {
    expect(loadsOf(assign({ owners: unowned(100), workers: named(1, weight) }), named(1))).toEqual([100]);
    expect(loadsOf(assign({ owners: unowned(100), workers: named(2, weight) }), named(2))).toEqual([50, 50]);
  });

  test('with more workers than shards, nobody holds more than one', () => {
    const workers = named(50);
    const assignment = assign({ owners: unowned(20), workers });
    expect(Math.max(...loadsOf(assignment, workers))).toBe(1);
    expect(assign({ owners: assignment.wanted, workers: named(51) }).moves).toEqual([]);
  });
});

describe('pins', () => {
  const pinned = (count: number, to: string) => new Map(Array.from({ length: count }, (_, shard) => [shard, to]));

  test('move a shard and keep it; when they end, what is too much goes back', () => {
    const workers = named(4);
    const before = assign({ owners: unowned(400), workers });
    const pins = pinned(250, 'worker-3');
    const held = assign({ owners: before.wanted, workers, pins });
    expect(loadsOf(held, workers)).toEqual([50, 50, 50, 250]);
    expect(held.wanted.slice(0, 250).every((owner) => owner === 'worker-3')).toBe(true);
    expect(loadsOf(assign({ owners: held.wanted, workers }), workers)).toEqual([100, 100, 100, 100]);
  });

  test('within the share of their worker, the others get theirs as before', () => {
    const workers = named(4);
    const assignment = assign({ owners: unowned(400), workers, pins: pinned(60, 'worker-1') });
    expect(loadsOf(assignment, workers)).toEqual([100, 100, 100, 100]);
  });

  test.each([
    ['gone', named(2)],
    ['worker-1', [...named(1), { worker: 'worker-1', weight: 0 }]],
  ])('to %s, which is not live or drains, count for nothing', (to, workers) => {
    const owners = unowned(100);
    expect(assign({ owners, workers, pins: pinned(10, to) })).toEqual(assign({ owners, workers }));
  });
});

describe('a choice among equals', () => {
  test('is spread: what one leaves goes to all others in equal parts', () => {
    const before = assign({ owners: unowned(), workers: named(9) });
    const after = assign({ owners: before.wanted, workers: named(9).slice(0, 8) });
    const received = named(8).map(({ worker: name }) => after.moves.filter(({ to }) => to === name).length);
    expect(Math.max(...received) - Math.min(...received)).toBeLessThanOrEqual(1);
  });

  test('keeps most of what it was when the workers differ by one', () => {
    // Two processes that see different members plan the same for most of the shards, even from nothing.
    const [one, other] = [64, 63].map((count) => assign({ owners: unowned(), workers: named(count) }).wanted);
    const same = one?.filter((owner, shard) => owner === other?.[shard]).length ?? 0;
    expect(same / SHARDS).toBeGreaterThan(0.7);
  });

  test('is fixed for all processes and versions', () => {
    const { wanted } = assign({ owners: unowned(12), workers: named(3) });
    expect(wanted.map((owner) => owner?.slice(-1)).join('')).toBe('020011021221');
  });
});

test.each([
  ['a negative weight', [{ worker: 'a', weight: -1 }], 1],
  ['a weight that is no number', [{ worker: 'a', weight: Number.NaN }], 1],
  ['an endless weight', [{ worker: 'a', weight: Number.POSITIVE_INFINITY }], 1],
  ['a worker named twice', [...named(1), ...named(1)], 1],
  ['a worker without a name', [{ worker: '', weight: 1 }], 1],
  ['a bound below 1', named(1), 0.99],
  ['a bound that is no number', named(1), Number.NaN],
])('%s is refused', (_, workers, bound) => {
  expect(() => assign({ owners: [null], workers, bound })).toThrow(RangeError);
});

test('65,536 shards and 1,000 workers take less than 200 ms of a core, from nothing and after a change', () => {
  const workers = named(1_000);
  // Of the processor, not of the clock on the wall: what else the machine does counts for nothing.
  const timed = (owners: readonly (string | null)[], live: readonly WeightedWorker[]): [Assignment, number] => {
    let least = Number.POSITIVE_INFINITY;
    let assignment = assign({ owners, workers: live });
    for (let run = 0; run < 5; run++) {
      const before = process.cpuUsage();
      assignment = assign({ owners, workers: live });
      const { user, system } = process.cpuUsage(before);
      least = Math.min(least, (user + system) / 1_000);
    }
    return [assignment, least];
  };
  const [filled, fillMs] = timed(unowned(65_536), workers);
  const [left, leaveMs] = timed(filled.wanted, workers.slice(1));
  expect(left.moves.length).toBeLessThanOrEqual(66);
  expect(fillMs).toBeLessThan(200);
  expect(leaveMs).toBeLessThan(50);
});

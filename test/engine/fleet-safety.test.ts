/** What keeps a fleet going where something beside its processes fails: clocks, connections, signals. In whole engines. */
import { describe, expect, it } from 'vitest';
import { createMemoryStores } from '../../src/adapters/memory/stores.ts';
import { DatabaseClock } from '../../src/engine/database-clock.ts';
import { StoreWork } from '../../src/engine/store-work.ts';
import { Bed, type BedOptions, channelOf, type Process, SHARDS, settled } from '../support/engine.ts';
import { registrationOf } from '../support/fleet.ts';

const LEASE_MS = 10_000;
const HOUR_MS = 3_600_000;

const held = (process: Process): number => process.engine.ownership.shards.size;
const logged = (process: Process, name: string) => process.logged.filter(({ event }) => event === name);

/** A bed whose database's clock can be set. */
function bedWithClock(options: BedOptions = {}): { bed: Bed; setClock: (byMs: number) => void } {
  let offsetMs = 0;
  let now = (): number => 0;
  const memory = createMemoryStores({ shards: SHARDS, now: () => now() });
  const bed = new Bed({ ...options, database: () => memory });
  now = () => bed.time.now + offsetMs;
  return {
    bed,
    setClock: (byMs) => {
      offsetMs += byMs;
    },
  };
}

async function twoWorkers(bed: Bed): Promise<[Process, Process]> {
  const first = await bed.boot();
  const second = await bed.boot();
  await bed.time.until(() => held(second) === SHARDS / 2);
  return [first, second];
}

describe('a hand-over', () => {
  it('waits for the longest send of its owner, whatever the planner takes for the longest', async () => {
    const bed = new Bed();
    const owner = await bed.boot();
    owner.engine.configureChannel(channelOf({ sendTimeoutMs: 7_400 }));
    for (let room = 0; room < 12; room++) await owner.publish(`room-${room}`, ['a']);
    const planner = bed.process();
    planner.engine.configureChannel(channelOf({ sendTimeoutMs: 50 }));
    await planner.engine.service.start();
    await bed.time.advance(7_300);
    expect(planner.countOf('ownership', 'applyPlan')).toBeGreaterThan(0);
    for (const send of [...bed.platform.sends]) await send.accept();
    await bed.time.until(() => held(planner) === SHARDS / 2, 1_000);
    await bed.time.advance(2 * LEASE_MS);
    expect(logged(owner, 'ownership.lost')).toEqual([]);
    expect(bed.platform.sends).toHaveLength(12);
  });

  it('bears that its owner hears of it last, has just begun the longest send, and the store is slow after that', async () => {
    const bed = new Bed({ settings: { renewEveryMs: 1_700 } });
    const owner = await bed.boot();
    owner.engine.configureChannel(channelOf({ sendTimeoutMs: 7_800 }));
    const heir = await bed.boot();
    await bed.time.advance(1_600);
    for (let room = 0; room < 12; room++) await owner.publish(`room-${room}`, ['a']);
    owner.faults = ({ method }) => (method === 'compareAndSet' ? { action: 'run', afterMs: 600 } : 'run');
    await bed.time.advance(7_700);
    for (const send of [...bed.platform.sends]) await send.accept();
    await bed.time.until(() => held(heir) === SHARDS / 2, 2_000);
    await bed.time.advance(2 * LEASE_MS);
    expect(logged(owner, 'ownership.lost')).toEqual([]);
    expect(bed.platform.sends).toHaveLength(12);
  });
});

describe('the database’s clock', () => {
  it('is known to have been set by what lies outside of both looks, and not by a slow answer', () => {
    const clock = new DatabaseClock();
    expect(clock.look(1_000_000, 0, 10)).toBe(0);
    expect(clock.look(1_002_000, 2_000, 2_010)).toBe(0);
    // Read at any time within the 9 s that the answer took.
    expect(clock.look(1_004_000, 2_000, 11_000)).toBe(0);
    expect(clock.look(1_012_000, 12_000, 12_001)).toBe(0);
    expect(clock.look(1_014_300, 14_000, 14_000)).toBe(300);
    expect(clock.look(1_014_300 - HOUR_MS, 14_000, 14_000)).toBe(-HOUR_MS);
  });

  it('set ahead by an hour lets nobody take the shards of one whose lease is still trusted', async () => {
    const { bed, setClock } = bedWithClock();
    const [first, second] = await twoWorkers(bed);
    const shards = [...first.engine.ownership.shards];
    // It hears nothing for a while, and goes on under its lease.
    await bed.time.advance(100);
    first.faults = ({ method }) => (method === 'renew' || method === 'glance' ? 'fail_before' : 'run');
    setClock(HOUR_MS);
    for (let passed = 0; passed < LEASE_MS - 2_500; passed += 100) {
      await bed.time.advance(100);
      const both = shards.filter((shard) => second.engine.ownership.holds(shard));
      expect(both).toEqual([]);
    }
    expect(logged(second, 'database.clock_set')).toMatchObject([{ fields: { durationMs: HOUR_MS } }]);
    await bed.time.until(() => held(second) === SHARDS, LEASE_MS);
    expect(first.engine.ownership.mayTakeOver(shards[0] ?? 0)).toBe(false);
  });

  it('set ahead lets nobody judge a longer lease than its own before that can have ended', async () => {
    const { bed, setClock } = bedWithClock();
    const longLeaseMs = 3 * LEASE_MS;
    const first = await bed.boot({ leaseMs: longLeaseMs });
    const second = await bed.boot();
    await bed.time.until(() => held(second) === SHARDS / 2);
    const shards = [...first.engine.ownership.shards];
    await bed.time.advance(100);
    first.faults = ({ method }) => (method === 'renew' || method === 'glance' ? 'fail_before' : 'run');
    setClock(HOUR_MS);
    for (let passed = 0; passed < longLeaseMs - 2_500; passed += 100) {
      await bed.time.advance(100);
      expect(shards.filter((shard) => second.engine.ownership.holds(shard))).toEqual([]);
    }
    await bed.time.until(() => held(second) === SHARDS, longLeaseMs);
  });

  it('set back by an hour keeps no shard of a dead worker for longer than a lease', async () => {
    const { bed, setClock } = bedWithClock();
    const [first, second] = await twoWorkers(bed);
    first.loseStores();
    setClock(-HOUR_MS);
    await bed.time.until(() => held(second) === SHARDS, LEASE_MS + 2_500);
    expect(logged(second, 'ownership.lost')).toEqual([]);
  });

  it('set back by an hour leaves every live worker what it has', async () => {
    const { bed, setClock } = bedWithClock();
    const workers = await twoWorkers(bed);
    setClock(-HOUR_MS);
    await bed.time.advance(3 * LEASE_MS);
    for (const worker of workers) {
      expect(held(worker)).toBe(SHARDS / 2);
      expect(logged(worker, 'ownership.lost')).toEqual([]);
      expect(logged(worker, 'ownership.taken_over')).toEqual([]);
    }
  });

  it('set back before a process starts: it gives those who may live a lease’s time, and takes over then', async () => {
    const { bed, setClock } = bedWithClock();
    const first = await bed.boot();
    first.loseStores();
    setClock(-HOUR_MS);
    const bornAt = bed.time.now;
    const second = await bed.boot();
    expect(held(second)).toBe(0);
    await bed.time.until(() => held(second) === SHARDS, LEASE_MS + 1_000);
    expect(bed.time.now - bornAt).toBeGreaterThanOrEqual(LEASE_MS);
  });
});

describe('a worker that renews its lease and can do nothing else', () => {
  const broken = { reads: ['ownShards', 'glance'], writes: ['compareAndSet'] };

  it.each(Object.entries(broken))('ends where its %s fail for three leases', async (_use, methods) => {
    const bed = new Bed();
    const process = await bed.boot();
    process.faults = ({ method }) => (methods.includes(method) ? 'fail_before' : 'run');
    void process.publish('r', ['a']);
    await bed.time.advance(3 * LEASE_MS - 1_000);
    expect(process.failures).toEqual([]);
    expect(await process.gauge('storeFailingSeconds')).toBeGreaterThan(20);
    await bed.time.advance(5_500);
    expect(process.failures).toHaveLength(1);
    expect(logged(process, 'ownership.unable')).toHaveLength(1);
    expect(process.engine.ownership.isAlive).toBe(true);
  });

  it('goes on where some of it works now and then', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    let calls = 0;
    process.faults = ({ method }) => (method === 'ownShards' && ++calls % 8 > 0 ? 'fail_before' : 'run');
    await bed.time.advance(6 * LEASE_MS);
    expect(calls).toBeGreaterThan(50);
    expect(process.failures).toEqual([]);
  });

  it('is not one of which two writes failed an hour apart, and none was tried in between', async () => {
    let now = 0;
    const work = new StoreWork({ monotonic: () => now });
    const fail = () => expect(work.watch('writes', Promise.reject(new Error('cut off')))).rejects.toThrow('cut off');
    await fail();
    now = HOUR_MS;
    await fail();
    expect(work.failingMs).toBeLessThan(LEASE_MS);
  });

  it('waits where the whole store is away, and for a while after that', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.loseStores();
    await bed.time.advance(5 * LEASE_MS);
    process.faults = ({ method }) => (broken.reads.includes(method) ? 'fail_before' : 'run');
    await bed.time.advance(2 * LEASE_MS);
    expect(process.failures).toEqual([]);
  });
});

describe('without signals', () => {
  it('a fleet looks less often the larger it is, so that all of it together asks no more', async () => {
    const looksIn = async (others: number): Promise<number> => {
      const bed = new Bed();
      for (let n = 0; n < others; n++) {
        await bed.stores.ownership.register(registrationOf(`other-${n}`, HOUR_MS, { roles: ['api'] }));
      }
      const process = await bed.boot({ renewEveryMs: 4_000 });
      await bed.time.advance(1_000);
      const before = process.countOf('ownership', 'glance');
      await bed.time.advance(4_000);
      return process.countOf('ownership', 'glance') - before;
    };
    expect(await looksIn(10)).toBeGreaterThanOrEqual(15);
    expect(await looksIn(1_000)).toBeLessThanOrEqual(2);
  });
});

describe('signals that others do not hear', () => {
  it('are told of once, and again when all hear each other', async () => {
    const bed = new Bed();
    const process = await bed.boot({ hears: 'one' });
    await bed.stores.ownership.register(registrationOf('other', HOUR_MS, { roles: ['api'], hears: 'two' }));
    await bed.time.advance(5_000);
    expect(logged(process, 'signals.divided').map(({ fields }) => fields.count)).toEqual([1]);
    expect(await process.gauge('signalsUnheard')).toBe(1);
    await bed.stores.ownership.release('other');
    await bed.time.advance(5_000);
    await settled();
    expect(logged(process, 'signals.divided').map(({ fields }) => fields.count)).toEqual([1, 0]);
  });
});

/** A database that may have lost what had been committed: nothing is claimed in it until an operator has decided. */
import { describe, expect, it } from 'vitest';
import { createMemoryStores } from '../../src/adapters/memory/stores.ts';
import { holdAllRooms, releaseAllRooms } from '../../src/engine/all-rooms.ts';
import { explainHistory } from '../../src/engine/another-history.ts';
import type { AnotherHistory } from '../../src/engine/fleet-ports.ts';
import type { Stores } from '../../src/engine/ports.ts';
import { Bed, channelOf, type Process, SHARDS, START, settled } from '../support/engine.ts';

const PROMOTED: AnotherHistory = {
  stored: { systemIdentifier: '7000000000000000001', timeline: 1 },
  seen: { systemIdentifier: '7000000000000000001', timeline: 2 },
};
const RESTORED: AnotherHistory = {
  stored: PROMOTED.stored,
  seen: { systemIdentifier: '7000000000000000002', timeline: 1 },
};

/** A database whose past can be changed. */
class Worn {
  history: AnotherHistory | null = null;
  readonly bed = new Bed({ anotherHistory: () => this.history });

  /** What the command line does with all rooms. */
  get allRooms() {
    const { bed } = this;
    return {
      store: bed.stores.rooms,
      shards: SHARDS,
      policyOf: () => channelOf().policy,
      now: () => bed.time.now,
      pause: () => settled(),
    };
  }

  async phases(...rooms: readonly string[]): Promise<string[]> {
    const rows = await Promise.all(rooms.map((room) => this.bed.row(room)));
    return rows.map(({ phase, reason }) => (reason === null ? phase : `${phase} ${reason}`));
  }
}

function events(process: Process): string[] {
  return process.logged.map(({ event }) => event).filter((event) => /^(database|ownership)\./.test(event));
}

describe('another history', () => {
  it('is told in one line', () => {
    expect(explainHistory(PROMOTED)).toBe(
      'another timeline (2, was 1): rooms are held until an operator decides: roomline database status',
    );
    expect(explainHistory(RESTORED)).toBe(
      'another cluster (7000000000000000002, was 7000000000000000001): rooms are held until an operator decides: roomline database status',
    );
  });

  it('found at the start lets no life begin, and begins one as soon as it is adopted', async () => {
    const worn = new Worn();
    const { bed } = worn;
    const first = await bed.boot();
    await first.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await first.engine.service.stop();

    worn.history = RESTORED;
    const second = await bed.boot();
    await bed.time.advance(30_000);
    expect(second.engine.ownership.worker).toBeNull();
    expect(second.engine.ownership.anotherHistory).toEqual(RESTORED);
    expect(second.engine.ownership.clockIsSet).toBe(true);
    expect([...second.engine.ownership.shards]).toEqual([]);
    expect(bed.platform.log).toEqual(['r/a']);
    expect(second.logged.filter(({ event }) => event === 'database.another_history')).toEqual([
      {
        event: 'database.another_history',
        fields: {
          reason: 'cluster',
          stored: 'cluster 7000000000000000001, timeline 1',
          seen: 'cluster 7000000000000000002, timeline 1',
        },
      },
    ]);
    expect(await second.gauge('anotherHistory')).toBe(1);

    worn.history = null;
    await bed.time.advance(30_000);
    expect(second.engine.ownership.shards.size).toBe(SHARDS);
    expect(events(second)).toContain('database.adopted');
    expect(await second.gauge('anotherHistory')).toBe(0);
    expect(bed.platform.log).toContain('r/b');
  });

  it('found at a renewal ends every claim at once, although the lease is alive', async () => {
    const worn = new Worn();
    const { bed } = worn;
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await process.publish('timed', ['a', 'b']);
    await bed.platform.sends[0]?.accept();
    await bed.platform.sends[1]?.accept();
    worn.history = PROMOTED;
    await bed.time.advance(2_000);
    expect(events(process).slice(-2)).toEqual(['database.another_history', 'ownership.lost']);
    expect(process.logged.at(-1)?.fields).toMatchObject({ reason: 'another_history' });
    // Nothing times out meanwhile: what "assumed" would mean is not known.
    await bed.time.advance(60_000);
    expect(await worn.phases('r', 'timed')).toEqual(['awaiting_ack', 'awaiting_ack']);

    // An ack settles what it matches, and nothing follows it.
    await process.ack(bed, 'r', 1);
    await bed.time.advance(10_000);
    expect(await bed.outcomes('r')).toEqual(['acked']);
    expect(bed.platform.log).toEqual(['r/a', 'timed/a']);

    worn.history = null;
    await bed.time.advance(20_000);
    expect(bed.platform.log).toEqual(['r/a', 'timed/a', 'r/b', 'timed/b']);
    expect(await bed.outcomes('timed')).toEqual(['assumed']);
  });

  it('refuses a claim before any renewal has seen it', async () => {
    const worn = new Worn();
    const { bed } = worn;
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    worn.history = PROMOTED;
    const acking = process.ack(bed, 'r', 1);
    await bed.time.advance(100);
    await acking;
    expect(bed.platform.log).toEqual(['r/a']);
    expect(process.engine.ownership.anotherHistory).toEqual(PROMOTED);
    await bed.time.advance(10_000);
    expect(await bed.outcomes('r')).toEqual(['acked']);
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('takes no message until it is adopted, and then all of them in their order', async () => {
    const worn = new Worn();
    const { bed } = worn;
    const process = await bed.boot();
    worn.history = PROMOTED;
    await bed.time.advance(2_000);
    const accepting = process.publish('r', ['a', 'b']);
    await bed.time.advance(5_000);
    expect(process.engine.intake.outstanding).toBe(2);
    worn.history = null;
    await bed.time.advance(5_000);
    expect(await accepting).toMatchObject([
      { kind: 'accepted', sequence: 1 },
      { kind: 'accepted', sequence: 2 },
    ]);
    expect(bed.platform.log).toEqual(['r/a']);
  });
});

describe('a message that takes the number of a lost one', () => {
  it.each(['bob', 'alice'])('is sent with its own body: %s', async (room) => {
    let history: AnotherHistory | null = null;
    const now = (): number => bed.time.now;
    const newStores = () => createMemoryStores({ shards: SHARDS, now, anotherHistory: () => history });
    let restored: Stores | null = null;
    const bed: Bed = new Bed({
      anotherHistory: () => history,
      database: (first) => routed(first, () => restored ?? first),
    });
    const process = await bed.boot();
    await process.publish('alice', ['secret'], { notBefore: START + 3_600_000 });
    history = RESTORED;
    await bed.time.advance(4_000);
    // The database as it was restored, before the message came, and adopted like that.
    restored = newStores();
    history = null;
    await bed.time.advance(4_000);
    await process.publish(room, ['hello']);
    await bed.time.advance(4_000);
    expect(bed.platform.log).toEqual([`${room}/hello`]);
  });
});

/** Stores whose every call goes to whatever stores there are then. */
function routed(first: Stores, current: () => Stores): Stores {
  const names = Object.keys(first) as (keyof Stores)[];
  return Object.fromEntries(
    names.map((name) => [
      name,
      new Proxy(first[name], {
        get: (_target, member: string) => {
          const store = current()[name] as unknown as Record<string, unknown>;
          const value = store[member];
          return typeof value === 'function' ? value.bind(store) : value;
        },
      }),
    ]),
  ) as unknown as Stores;
}

describe('all rooms', () => {
  it('are held from whatever they were doing, and go on in order when they are released', async () => {
    const worn = new Worn();
    const { bed } = worn;
    const process = await bed.boot();
    await process.publish('settled', ['a']);
    await bed.platform.last.accept();
    await process.ack(bed, 'settled', 1);
    await process.publish('open', ['a', 'b']);
    await process.publish('accepted', ['a', 'b']);
    await bed.platform.last.accept();
    await process.publish('refused', ['a']);
    await bed.platform.last.refuse();
    await process.publish('unanswered', ['a']);
    await bed.platform.last.fail();
    const rooms = ['settled', 'open', 'accepted', 'refused', 'unanswered'];
    expect(await worn.phases(...rooms)).toEqual(['idle', 'sending', 'awaiting_ack', 'backing_off', 'unknown']);
    process.loseStores();

    expect(await holdAllRooms(worn.allRooms)).toEqual({ open: 4, changed: 4 });
    expect(await worn.phases(...rooms)).toEqual(['idle', ...Array.from({ length: 4 }, () => 'held history_changed')]);
    expect(await holdAllRooms(worn.allRooms)).toEqual({ open: 4, changed: 0 });

    await bed.time.advance(60_000);
    const second = await bed.boot();
    await bed.time.advance(20_000);
    const sentBefore = bed.platform.sends.length;
    await second.ack(bed, 'accepted', 1);
    expect(await bed.outcomes('accepted')).toEqual(['acked']);
    // What comes next may have been sent in the past that was lost: the hold stays with it.
    await bed.time.advance(20_000);
    expect(bed.platform.log.slice(sentBefore)).toEqual([]);
    expect(await worn.phases('accepted')).toEqual(['held history_changed']);

    expect(await releaseAllRooms(worn.allRooms, 'retry')).toEqual({ open: 4, changed: 4 });
    await bed.time.advance(5_000);
    expect(bed.platform.log.slice(sentBefore).sort()).toEqual(['accepted/b', 'open/a', 'refused/a', 'unanswered/a']);
    const [first, again] = bed.platform.sends.filter(({ room }) => room === 'open');
    expect(again?.request).toMatchObject({ reference: first?.request.reference, attempt: 2 });
  });

  it('are decided about although others write to them at the same time', async () => {
    const worn = new Worn();
    const { bed } = worn;
    const process = await bed.boot();
    process.faults = ({ method }) => (method === 'compareAndSet' ? 'fail_before' : 'run');
    for (const room of ['busy', 'moved', 'quiet']) await process.publish(room, ['a']);
    const answers = ['busy', 'conflict'] as const;
    let calls = 0;
    const store = Object.create(bed.stores.rooms) as typeof bed.stores.rooms;
    store.compareAndSet = async (lane, writes, proof) => {
      expect(proof).toBeNull();
      const kind = answers[calls++];
      const others = kind === undefined ? [] : writes.filter(({ next }) => next.key.room !== 'quiet');
      const own = writes.filter((write) => !others.includes(write));
      const results = await bed.stores.rooms.compareAndSet(lane, own, proof);
      return writes.map((write) => {
        if (others.includes(write)) return { kind: kind ?? 'busy' };
        const result = results[own.indexOf(write)];
        if (result === undefined) throw new Error('the store has not answered for every write');
        return result;
      });
    };
    expect(await holdAllRooms({ ...worn.allRooms, store })).toEqual({ open: 3, changed: 3 });
    expect(calls).toBe(3);
    expect(await releaseAllRooms({ ...worn.allRooms, store: bed.stores.rooms }, 'skip')).toEqual({
      open: 3,
      changed: 3,
    });
    expect(await bed.outcomes('moved')).toEqual(['skipped']);
  });

  it('that others never leave alone are given up', async () => {
    const worn = new Worn();
    const { bed } = worn;
    const process = await bed.boot();
    process.faults = ({ method }) => (method === 'compareAndSet' ? 'fail_before' : 'run');
    await process.publish('busy', ['a']);
    const store = Object.create(bed.stores.rooms) as typeof bed.stores.rooms;
    store.compareAndSet = async (_lane, writes) => writes.map(() => ({ kind: 'busy' }));
    await expect(holdAllRooms({ ...worn.allRooms, store })).rejects.toThrow('1 rooms are written to by others');
  });
});

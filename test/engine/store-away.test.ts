/** A store that is away, slow to come back, older than it was, or not known yet. */
import { describe, expect, it } from 'vitest';
import type { Stores } from '../../src/engine/ports.ts';
import { Bed, messageOf, START, withRooms } from '../support/engine.ts';

describe('while the store is away', () => {
  it('for a minute, everything waits, and everything goes on when it is back', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    const rooms = ['awaiting', 'sending', 'acked', 'queued'];
    for (const room of rooms.slice(0, 3)) await process.publish(room, ['a', 'b']);
    await bed.platform.sends[0]?.accept();
    await bed.platform.sends[2]?.accept();
    process.loseStores('lose_before');
    const queued = process.engine.intake.accept(messageOf('queued', 'a'));
    const acking = process.ack(bed, 'acked', 1);
    await bed.platform.sends[1]?.accept();
    await bed.time.advance(60_000);
    expect(bed.platform.log).toEqual(['awaiting/a', 'sending/a', 'acked/a']);

    process.regainStores();
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
    await bed.time.advance(15_000);
    await Promise.all([queued, acking]);
    expect(await bed.outcomes('acked')).toEqual(['acked', 'assumed']);
    expect(await bed.outcomes('awaiting')).toEqual(['assumed', 'assumed']);
    expect(await bed.outcomes('sending')).toEqual(['assumed', 'assumed']);
    expect(await bed.outcomes('queued')).toEqual(['assumed']);
    expect(bed.platform.log.toSorted()).toEqual([
      'acked/a',
      'acked/b',
      'awaiting/a',
      'awaiting/b',
      'queued/a',
      'sending/a',
      'sending/b',
    ]);
    expect(await bed.stores.deadLetters.list(null, 10)).toEqual([]);
    expect(process.failures).toEqual([]);
  });

  it('shorter than a lease, nothing is claimed that the lease would not outlive, and claims go on with the renewal', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.faults = ({ store }) => (store === 'ownership' ? 'lose_before' : 'run');
    await bed.time.advance(4_900);
    await process.publish('early', ['a']);
    await bed.time.advance(2);
    await process.publish('late', ['a']);
    await bed.time.advance(3_000);
    expect(bed.platform.log).toEqual(['early/a']);
    process.regainStores();
    await bed.time.advance(250);
    expect(bed.platform.log).toEqual(['early/a', 'late/a']);
    expect(process.engine.ownership.worker).toBe('worker-1.1');
  });

  it('a room takes up a few events, and callers of more are told at once to come again', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    const [open] = bed.platform.sends;
    process.loseStores();
    const row = await bed.row('r');
    const post = () =>
      process.engine.rooms.post(row, { type: 'ack', sequence: 1, level: 'sent', at: START, cumulative: false });
    const first = post();
    await bed.time.advance(1_000);
    const more = Array.from({ length: 40 }, post);
    const refused = (await Promise.allSettled(more.slice(15))).filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(25);
    await open?.accept();
    process.regainStores();
    await bed.time.advance(1_000);
    expect(await first).toEqual({ kind: 'applied' });
    await Promise.all(more.slice(0, 15));
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', level: 'sent' });
  });

  it('an event of a room that is not in memory is refused at once', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1);
    const row = await bed.row('r');
    process.loseStores();
    await expect(process.engine.rooms.post(row, { type: 'pause' })).rejects.toThrow();
  });

  it('a store that comes back older than what was read from it is believed, and asked no more than needed', async () => {
    const lost = { versions: 0 };
    const bed = new Bed({ database: (stores) => goneBackInTime(stores, lost) });
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    lost.versions = 1;
    const from = process.calls.length;
    await process.ack(bed, 'r', 1);
    await bed.time.advance(100);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect(process.calls.slice(from).filter(({ method }) => method === 'compareAndSet')).toHaveLength(2);
  });

  it('a room whose messages cannot be found is asked for now and then, not in a tight circle', async () => {
    const bed = new Bed({
      database: (stores) =>
        withRooms(stores, {
          readRooms: async (addresses) => {
            const rooms = await stores.rooms.readRooms(addresses);
            return rooms.map((room) => room && { ...room, envelopes: [] });
          },
        }),
    });
    const process = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await other.publish('r', ['a']);
    await bed.time.advance(5_000);
    const from = process.countOf('rooms', 'readRooms');
    const paused = process.engine.rooms.post(await bed.row('r'), { type: 'pause' });
    const resumed = process.engine.rooms.post(await bed.row('r'), { type: 'resume' });
    await bed.time.advance(10_000);
    await Promise.all([paused, resumed]);
    expect(process.countOf('rooms', 'readRooms') - from).toBeLessThan(60);
  });
});

describe('before the first life has begun', () => {
  it('no event is decided by the machine’s own clock', async () => {
    const bed = new Bed({ wallWrongByMs: 3_600_000 });
    const holder = await bed.boot();
    await holder.publish('r', ['a']);
    await holder.publish('r', ['b'], { expiresAt: START + 60_000 });
    await bed.platform.last.accept();
    const process = bed.process();
    await expect(process.ack(bed, 'r', 1)).rejects.toMatchObject({ code: 'not_ready' });
    await process.engine.service.start();
    await process.ack(bed, 'r', 1);
    expect(await bed.outcomes('r')).toEqual(['acked']);
    expect(await bed.row('r')).toMatchObject({ phase: 'ready', settled: 1 });
  });
});

/** A database that has lost the last versions of every room, though not what they said. */
function goneBackInTime(stores: Stores, lost: { versions: number }): Stores {
  return withRooms(stores, {
    readRooms: async (addresses) => {
      const rooms = await stores.rooms.readRooms(addresses);
      return rooms.map((room) => room && { ...room, row: { ...room.row, version: room.row.version - lost.versions } });
    },
    compareAndSet: (lane, writes, proof) =>
      stores.rooms.compareAndSet(
        lane,
        writes.map((write) => ({
          ...write,
          expectedVersion: write.expectedVersion + lost.versions,
          next: { ...write.next, version: write.next.version + lost.versions },
        })),
        proof,
      ),
  });
}

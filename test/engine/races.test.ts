/** Who loses each race for a room’s row, and what becomes of a claim that lost or that nobody knows of. */
import { describe, expect, it } from 'vitest';
import type { Stores, WriteResult } from '../../src/engine/ports.ts';
import {
  Bed,
  CHANNEL,
  channelOf,
  messageOf,
  overlaid,
  type Process,
  settled,
  statusOf,
  withRooms,
} from '../support/engine.ts';

/** Every write of the room that was stored, shortened: what it settles and the phase it leads to. */
function storedOf(bed: Bed, room: string): string[] {
  return bed.committed
    .filter(({ next }) => next.key.room === room)
    .map(({ facts, next }) => {
      const settles = facts.filter((fact) => fact.kind === 'settled').map((fact) => `${fact.sequence} ${fact.outcome}`);
      return [...settles, `${next.phase} ${next.settled + 1}.${next.attempt}`].join(', ');
    });
}

describe('who loses a race', () => {
  /** One process holds every shard, the other none. */
  async function holderAndOther(bed: Bed): Promise<{ holder: Process; other: Process }> {
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    expect(other.engine.ownership.shards.size).toBe(0);
    return { holder, other };
  }

  it('an ack taken elsewhere settles only; the holder finds the room and claims', async () => {
    const bed = new Bed();
    const { holder, other } = await holderAndOther(bed);
    await holder.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await other.ack(bed, 'r', 1);
    expect(storedOf(bed, 'r').at(-1)).toBe('1 acked, ready 2.0');
    expect(other.engine.rooms.size).toBe(0);
    await bed.time.advance(5_000);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect((await bed.row('r')).attempts).toMatchObject([{ worker: 'worker-1.1' }]);
  });

  it('a timeout that lost to an ack elsewhere reads again and decides again, and the room goes on at once', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { ackTimeoutMs: 3_000 } })] });
    const { holder, other } = await holderAndOther(bed);
    await holder.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await bed.time.advance(2_990);
    await other.ack(bed, 'r', 1);
    await bed.time.advance(10);
    expect(bed.writes.filter(({ result }) => result.kind === 'conflict')).toHaveLength(1);
    expect(await bed.outcomes('r')).toEqual(['acked']);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('an ack that lost to a timeout is recorded on its own message', async () => {
    const bed = new Bed();
    const { holder, other } = await holderAndOther(bed);
    await holder.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await bed.time.advance(4_990);
    // Read before the timeout, written after it.
    other.faults = ({ method }) => (method === 'compareAndSet' ? { action: 'run', beforeMs: 50 } : 'run');
    const acking = other.ack(bed, 'r', 1);
    await bed.time.advance(100);
    await acking;
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'assumed', level: 'delivered' });
    expect(await bed.row('r')).toMatchObject({ phase: 'sending', settled: 1, attempt: 1 });
  });

  it('a claim that lost to a pause is not made, and is when the room is resumed', async () => {
    const bed = new Bed();
    const { holder, other } = await holderAndOther(bed);
    await holder.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    holder.faults = ({ method }) => (method === 'compareAndSet' ? { action: 'run', beforeMs: 50 } : 'run');
    const acking = holder.ack(bed, 'r', 1);
    await bed.time.advance(20);
    await other.engine.rooms.post(await bed.row('r'), { type: 'pause' });
    await bed.time.advance(500);
    await acking;
    expect(await bed.row('r')).toMatchObject({ phase: 'waiting', reason: 'paused', settled: 1 });
    expect(bed.platform.log).toEqual(['r/a']);
    holder.regainStores();
    await holder.engine.rooms.post(await bed.row('r'), { type: 'resume' });
    await settled();
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('a claim that lost to a supersession is not made: the newer message is sent in its place', async () => {
    const bed = new Bed();
    const { holder, other } = await holderAndOther(bed);
    await holder.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    holder.faults = ({ method }) => (method === 'compareAndSet' ? { action: 'run', beforeMs: 50 } : 'run');
    const acking = holder.ack(bed, 'r', 1);
    await bed.time.advance(20);
    await other.publish('r', ['c'], { supersedes: 'b' });
    await bed.time.advance(5_500);
    await acking;
    expect(bed.writes.filter(({ result }) => result.kind === 'conflict')).toHaveLength(1);
    expect(await bed.entry('r', 2)).toMatchObject({ outcome: 'cancelled', reason: 'superseded', attempts: [] });
    expect(bed.platform.log).toEqual(['r/a', 'r/c']);
  });

  it('a supersession that lost to a claim changes nothing: both messages are sent', async () => {
    const bed = new Bed();
    const { holder, other } = await holderAndOther(bed);
    await holder.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    other.faults = ({ method }) => (method === 'compareAndSet' ? { action: 'run', beforeMs: 50 } : 'run');
    const publishing = other.publish('r', ['c'], { supersedes: 'b' });
    await bed.time.advance(20);
    // The claim of b, in one write with what settles a.
    await holder.ack(bed, 'r', 1);
    await bed.time.advance(500);
    const [result] = await publishing;
    expect(result).toMatchObject({ kind: 'accepted', sequence: 3 });
    expect(bed.writes.filter(({ result: { kind } }) => kind === 'conflict')).toHaveLength(1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    await bed.platform.last.accept();
    await holder.ack(bed, 'r', 2);
    await bed.time.advance(5_000);
    expect(await bed.outcomes('r')).toEqual(['acked', 'acked']);
    expect(bed.platform.log).toEqual(['r/a', 'r/b', 'r/c']);
  });

  it('a room is not dropped however often its row has changed (F5)', async () => {
    const bed = new Bed();
    const { holder, other } = await holderAndOther(bed);
    await holder.publish('r', ['a']);
    holder.faults = ({ method }) => (method === 'compareAndSet' ? { action: 'run', beforeMs: 10 } : 'run');
    const answering = bed.platform.last.accept();
    for (let n = 0; n < 20; n++) {
      await other.engine.rooms.post(await bed.row('r'), { type: n % 2 === 0 ? 'pause' : 'resume' });
      await bed.time.advance(5);
    }
    await answering;
    await bed.time.advance(100);
    expect(bed.writes.filter(({ result }) => result.kind === 'conflict').length).toBeGreaterThan(3);
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', attempt: 1 });
    await bed.time.advance(5_000);
    expect(await bed.outcomes('r')).toEqual(['assumed']);
  });

  it('an ack by another tenant’s or another channel’s webhook settles nothing', async () => {
    const elsewhere = channelOf({ key: { tenant: 'default', channel: 'other' } });
    const foreign = channelOf({ key: { tenant: 'foreign', channel: CHANNEL.channel } });
    const bed = new Bed({ channels: [channelOf(), elsewhere, foreign] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept();
    const reference = process.references.encode(await bed.row('r'), 1);
    for (const { key } of [elsewhere, foreign]) await process.engine.acks.receive(key, [statusOf({ reference })]);
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', level: 'accepted' });
  });
});

describe('a claim whose commit is unknown', () => {
  it.each(['run_then_fail', 'lose_before'] as const)(
    'raises the generation before anything is decided again (%s)',
    async (action) => {
      const bed = new Bed();
      const process = await bed.boot();
      process.failNext('rooms', 'compareAndSet', action);
      const from = process.calls.length;
      await process.publish('r', ['a']);
      await bed.time.advance(1_000);
      const methods = process.calls.slice(from).map(({ method }) => method);
      expect(methods.slice(0, 4)).toEqual(['append', 'compareAndSet', 'raiseGeneration', 'readRooms']);
    },
  );

  it('is made again where it had not committed, and the message is sent once', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.failNext('rooms', 'compareAndSet', 'lose_before');
    await process.publish('r', ['a']);
    await bed.time.advance(1_000);
    expect(bed.platform.log).toEqual(['r/a']);
    expect(bed.platform.last.request).toMatchObject({ attempt: 1, generation: 2 });
  });

  it('goes through unknown where it had committed, and is resent with the same reference and bytes', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('s', ['other']);
    process.failNext('rooms', 'compareAndSet', 'run_then_fail');
    await process.publish('r', ['a']);
    await bed.time.advance(1_000);
    expect(await bed.row('r')).toMatchObject({ phase: 'unknown', attempts: [{ result: 'interrupted' }] });
    await bed.platform.sends[0]?.accept();
    await bed.time.advance(3_000);
    expect(bed.platform.log).toEqual(['s/other', 'r/a']);
    const { reference, attempt, body } = bed.platform.last.request;
    expect({ reference, attempt }).toEqual({ reference: process.references.encode(await bed.row('r'), 1), attempt: 2 });
    expect(body).toEqual(messageOf('r', 'a').body);
  });

  it('that commits late is refused: the generation has risen', async () => {
    const bed = new Bed({
      database: (stores) => {
        let first = true;
        return withRooms(stores, {
          compareAndSet: async (...args) => {
            if (!first) return stores.rooms.compareAndSet(...args);
            first = false;
            // Its sender is told that the connection broke; the server executes it half a second later.
            bed.time.after(
              500,
              () => void stores.rooms.compareAndSet(...args).then((results) => late.push(...results)),
            );
            throw new Error('the connection broke');
          },
        });
      },
    });
    const late: WriteResult[] = [];
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.time.advance(1_000);
    expect(late).toEqual([{ kind: 'fenced' }]);
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('keeps no other room from going on once the generation has risen (H6)', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await bed.time.advance(100);
    let first = true;
    process.faults = ({ method }) => {
      if (method === 'raiseGeneration') return { action: 'run', beforeMs: 100 };
      if (method !== 'compareAndSet' || !first) return 'run';
      first = false;
      return 'lose_before';
    };
    await process.publish('r', ['a']);
    await bed.time.advance(50);
    await process.publish('s', ['a']);
    expect(bed.platform.log).toEqual([]);
    await bed.time.advance(50);
    expect(bed.platform.log).toEqual(['s/a']);
  });
});

describe('the fence', () => {
  it('refuses a claim of an older generation; settles in the same batch go on', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await process.publish('s', ['a']);
    for (const send of bed.platform.sends) await send.accept();
    await bed.stores.ownership.raiseGeneration('worker-1.1');
    const from = bed.writes.length;
    const rows = await Promise.all(['r', 's'].map((room) => bed.row(room)));
    const items = rows.map((row) => statusOf({ reference: process.references.encode(row, 1) }));
    const receiving = process.engine.acks.receive(CHANNEL, items);
    await bed.time.advance(100);
    await receiving;
    expect(bed.writes.slice(from, from + 2).map(({ write, result }) => [write.next.key.room, result.kind])).toEqual([
      ['r', 'fenced'],
      ['s', 'committed'],
    ]);
    expect(await bed.outcomes('r')).toEqual(['acked']);
    expect(bed.platform.log).toEqual(['r/a', 's/a', 'r/b']);
  });

  it('is passed again after a raise that came late, behind the one that was answered', async () => {
    const bed = new Bed({
      database: (stores) => {
        let first = true;
        const ownership = Object.assign(Object.create(stores.ownership) as Stores['ownership'], {
          raiseGeneration: async (worker: string) => {
            if (!first) return stores.ownership.raiseGeneration(worker);
            first = false;
            bed.time.after(1_000, () => void stores.ownership.raiseGeneration(worker));
            throw new Error('the connection broke');
          },
        });
        return { ...stores, ownership: overlaid(ownership, stores.ownership) };
      },
    });
    const process = await bed.boot();
    process.failNext('rooms', 'compareAndSet', 'lose_before');
    await process.publish('r', ['a']);
    await bed.time.advance(3_000);
    expect(bed.platform.log).toEqual(['r/a']);
    await process.publish('s', ['a']);
    await bed.time.advance(1_000);
    expect(bed.platform.log).toEqual(['r/a', 's/a']);
    expect(bed.writes.filter(({ result }) => result.kind === 'fenced')).toHaveLength(1);
  });
});

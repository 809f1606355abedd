/** Rooms in a whole engine: what one decision stores, who loses each race, and what becomes of a failing store. */
import { describe, expect, it } from 'vitest';
import type { Stores, WriteResult } from '../../src/engine/ports.ts';
import type { RoomRow } from '../../src/room/room.ts';
import {
  Bed,
  CHANNEL,
  channelOf,
  messageOf,
  nackOf,
  type Process,
  START,
  settled,
  statusOf,
} from '../support/engine.ts';

const NEVER_ECHOES = channelOf({ echoesReference: 'never' });
const UNLOCKED_BY_ANSWER = channelOf({ policy: { unlockedBy: 'accepted' } });

/** Every write of the room that was stored, shortened: what it settles and the phase it leads to. */
function storedOf(bed: Bed, room: string): string[] {
  return bed.committed
    .filter(({ next }) => next.key.room === room)
    .map(({ facts, next }) => {
      const settles = facts.filter((fact) => fact.kind === 'settled').map((fact) => `${fact.sequence} ${fact.outcome}`);
      return [...settles, `${next.phase} ${next.settled + 1}.${next.attempt}`].join(', ');
    });
}

async function acceptAndAck(bed: Bed, process: Process, room: string, sequence: number): Promise<void> {
  await bed.platform.last.accept();
  await process.ack(bed, room, sequence);
}

describe('one decision', () => {
  it('settles n and claims n+1 in one compare-and-set', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b', 'c']);
    for (const sequence of [1, 2, 3]) await acceptAndAck(bed, process, 'r', sequence);
    expect(storedOf(bed, 'r')).toEqual([
      'sending 1.1',
      'awaiting_ack 1.1',
      '1 acked, sending 2.1',
      'awaiting_ack 2.1',
      '2 acked, sending 3.1',
      'awaiting_ack 3.1',
      '3 acked, idle 4.0',
    ]);
    expect(bed.platform.log).toEqual(['r/a', 'r/b', 'r/c']);
  });

  it('merges an acceptance with the ack that comes in the same turn', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    const acking = process.ack(bed, 'r', 1);
    const answering = bed.platform.last.accept();
    await Promise.all([acking, answering]);
    expect(storedOf(bed, 'r')).toEqual(['sending 1.1', '1 acked, sending 2.1']);
    const { attempts, outcome } = await bed.entry('r', 1);
    expect(outcome).toBe('acked');
    expect(attempts.map(({ result }) => result)).toEqual(['accepted']);
  });

  it('takes up everything that came while the last one was stored', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.faults = ({ method }) => (method === 'compareAndSet' ? { action: 'run', afterMs: 50 } : 'run');
    const accepting = process.publish('r', ['a']);
    await bed.time.advance(10);
    const { rooms } = process.engine;
    const row = await bed.row('r');
    const verdicts = [rooms.post(row, { type: 'pause' }), rooms.post(row, { type: 'pause' })];
    await bed.time.advance(200);
    await accepting;
    expect(await Promise.all(verdicts)).toEqual([{ kind: 'applied' }, { kind: 'ignored', reason: 'already_paused' }]);
    expect(storedOf(bed, 'r')).toEqual(['sending 1.1', 'sending 1.1']);
  });

  it('lets a room go that is at rest, and finds it again', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    expect(process.engine.rooms.size).toBe(1);
    await acceptAndAck(bed, process, 'r', 1);
    expect(process.engine.rooms.size).toBe(0);
    await process.publish('r', ['b']);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('reads the next envelopes of a long queue as the head moves on, a window at a time', async () => {
    const bed = new Bed({ channels: [UNLOCKED_BY_ANSWER] });
    const process = await bed.boot();
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
    const ids = Array.from({ length: 100 }, (_, index) => `${index}`);
    await process.publish('r', ids);
    await bed.time.advance(1);
    expect(await bed.outcomes('r')).toEqual(ids.map(() => 'acked'));
    expect(bed.platform.log).toEqual(ids.map((id) => `r/${id}`));
    expect(process.countOf('rooms', 'readRooms')).toBeLessThan(10);
  });
});

describe('acks come when they like', () => {
  it('an ack before the answer settles, n+1 is sent beside the open request, the answer goes to the history', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    const [first] = bed.platform.sends;
    await process.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect((await bed.entry('r', 1)).attempts.map(({ result }) => result)).toEqual([null]);
    await bed.time.advance(30);
    await first?.accept('gw-1');
    const entry = await bed.entry('r', 1);
    expect(entry.attempts).toMatchObject([{ result: 'accepted', endedAt: START + 30 }]);
    expect(entry.platformId).toBe('gw-1');
    expect(await bed.row('r')).toMatchObject({ phase: 'sending', settled: 1, attempt: 1 });
  });

  it('a doubled ack settles nothing else', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b', 'c']);
    await bed.platform.last.accept();
    await Promise.all([process.ack(bed, 'r', 1), process.ack(bed, 'r', 1)]);
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1);
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', settled: 1 });
  });

  it('an ack at a process that does not hold the room settles what the holder claimed meanwhile', async () => {
    const bed = new Bed();
    const holder = await bed.boot();
    const other = await bed.boot();
    await holder.publish('r', ['a', 'b', 'c']);
    await acceptAndAck(bed, holder, 'r', 1);
    await bed.platform.last.accept();
    // The other one is still recording a late status when the ack of a message comes that it has not seen begin.
    other.faults = ({ method }) => (method === 'updateSettled' ? { action: 'run', afterMs: 50 } : 'run');
    const late = other.ack(bed, 'r', 1, { level: 'read' });
    await bed.time.advance(10);
    await holder.ack(bed, 'r', 2);
    await bed.platform.last.accept();
    const ack = other.ack(bed, 'r', 3);
    await bed.time.advance(100);
    await Promise.all([late, ack]);
    expect(await bed.outcomes('r')).toEqual(['acked', 'acked', 'acked']);
  });

  it('a late ack raises its own message and unlocks nothing', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await bed.platform.last.accept();
    await bed.time.advance(5_000);
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1);
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'assumed', level: 'delivered' });
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', settled: 1, level: 'accepted' });
  });

  it('a failure after the timeout makes a dead letter of its own message', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept();
    await bed.time.advance(5_000);
    const nack = nackOf({ permanent: true, code: 'undeliverable' });
    await process.ack(bed, 'r', 1, { level: null, nack });
    await process.ack(bed, 'r', 1, { level: null, nack });
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'assumed', lateNackCode: 'undeliverable' });
    expect(await bed.stores.deadLetters.list(null, 10)).toMatchObject([
      { reason: 'failed_after_assumed', sequence: 1 },
    ]);
  });

  it('a late ack and a late failure of one message that come together are both recorded', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept();
    await bed.time.advance(5_000);
    const reference = process.references.encode(await bed.row('r'), 1);
    const failure = statusOf({ reference, level: null, nack: nackOf({ permanent: true, code: 'undeliverable' }) });
    await process.engine.acks.receive(CHANNEL, [statusOf({ reference, level: 'sent' }), failure]);
    expect(await bed.entry('r', 1)).toMatchObject({ level: 'sent', lateNackCode: 'undeliverable' });
  });

  it('an ack that an acceptance makes known settles, though it came first', async () => {
    const bed = new Bed({ channels: [NEVER_ECHOES] });
    const process = await bed.boot();
    await process.publish('r', ['a', 'b']);
    await process.engine.acks.receive(CHANNEL, [statusOf({ platformId: 'gw-1' })]);
    expect(await bed.row('r')).toMatchObject({ phase: 'sending', settled: 0 });
    await bed.platform.last.accept('gw-1');
    expect(await bed.outcomes('r')).toEqual(['acked']);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('a timeout reads the inbox in the same decision: an ack whose message was lost with an answer still counts', async () => {
    const bed = new Bed({ channels: [NEVER_ECHOES] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await process.engine.acks.receive(CHANNEL, [statusOf({ platformId: 'gw-1' })]);
    process.failNext('rooms', 'compareAndSet', 'run_then_fail');
    await bed.platform.last.accept('gw-1');
    await bed.time.advance(4_000);
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', settled: 0 });
    await bed.time.advance(2_000);
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'acked', reason: 'ack' });
  });

  it('a timeout whose inbox cannot be read waits for the store, and assumes nothing', async () => {
    const bed = new Bed({ channels: [NEVER_ECHOES] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await bed.platform.last.accept('gw-1');
    process.faults = ({ store }) => (store === 'inbox' ? 'fail_before' : 'run');
    await bed.time.advance(20_000);
    expect(await bed.row('r')).toMatchObject({ phase: 'awaiting_ack', settled: 0 });
    process.regainStores();
    await bed.time.advance(1_000);
    expect(await bed.outcomes('r')).toEqual(['assumed']);
  });

  it('a failure that waited in the inbox is recorded on a message that its acceptance settled, however often the history fails', async () => {
    const bed = new Bed({ channels: [NEVER_ECHOES] });
    const process = await bed.boot();
    await process.publish('r', ['a']);
    await process.engine.acks.receive(CHANNEL, [
      statusOf({ platformId: 'gw-1', level: null, nack: nackOf({ permanent: true, code: 'undeliverable' }) }),
    ]);
    await process.engine.rooms.post(await bed.row('r'), { type: 'skip', sequence: 1 });
    let failures = 0;
    process.faults = ({ method }) => (method === 'readSettled' && failures++ < 3 ? 'fail_before' : 'run');
    await bed.platform.last.accept('gw-1');
    await bed.time.advance(2_000);
    expect(failures).toBe(4);
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'skipped', lateNackCode: 'undeliverable' });
  });
});

describe('who loses a race', () => {
  /** One process holds every shard, the other none. */
  async function holderAndOther(bed: Bed): Promise<{ holder: Process; other: Process }> {
    const holder = await bed.boot();
    const other = await bed.boot();
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
        return { ...stores, ownership: bound(ownership, stores.ownership) };
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
    await acceptAndAck(bed, process, 'r', 1);
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
    const other = await bed.boot();
    await other.publish('r', ['a']);
    await bed.time.advance(5_000);
    const from = process.countOf('rooms', 'readRooms');
    await process.engine.rooms.post(await bed.row('r'), { type: 'pause' });
    await process.engine.rooms.post(await bed.row('r'), { type: 'resume' });
    await bed.time.advance(10_000);
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

describe('the view of a room', () => {
  it('is what this process knows, else what is stored', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await process.publish('r', ['a']);
    const row: RoomRow = await bed.row('r');
    expect(await process.engine.rooms.view(row)).toMatchObject({ phase: 'sending', tail: 1 });
    await acceptAndAck(bed, process, 'r', 1);
    await settled();
    expect(await process.engine.rooms.view(row)).toMatchObject({ phase: 'idle', settled: 1 });
    expect(await process.engine.rooms.view({ shard: 0, id: 999 })).toBeNull();
  });
});

// ------------------------------------------------------------------------------------------------------------- helpers

/** The same stores with some methods of the room store replaced. */
function withRooms(stores: Stores, methods: Partial<Stores['rooms']>): Stores {
  return { ...stores, rooms: bound({ ...methods } as Stores['rooms'], stores.rooms) };
}

/** `over` where it has the method itself, else `under`. */
function bound<T extends object>(over: T, under: T): T {
  return new Proxy(under, {
    get(target, name) {
      const own: unknown = Object.hasOwn(over, name) ? Reflect.get(over, name) : undefined;
      const member: unknown = own ?? Reflect.get(target, name);
      return typeof member === 'function' && own === undefined ? member.bind(target) : member;
    },
  });
}

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

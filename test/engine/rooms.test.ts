/** Rooms in a whole engine: what one decision stores, and acks that come when they like. */
import { describe, expect, it } from 'vitest';
import type { RoomRow } from '../../src/room/room.ts';
import { Bed, CHANNEL, channelOf, nackOf, type Process, START, settled, statusOf } from '../support/engine.ts';

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
    process.faults = ({ method }) => (method === 'readSettledStates' && failures++ < 3 ? 'fail_before' : 'run');
    await bed.platform.last.accept('gw-1');
    await bed.time.advance(2_000);
    expect(failures).toBe(4);
    expect(await bed.entry('r', 1)).toMatchObject({ outcome: 'skipped', lateNackCode: 'undeliverable' });
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

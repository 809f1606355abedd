/** A newer message takes the place of one that still waits: what intake does about it before it answers. */
import { describe, expect, it } from 'vitest';
import type { HistoryEntry, IntakeResult } from '../../src/engine/ports.ts';
import { Bed, messageOf, type Process, settled } from '../support/engine.ts';

/** What became of the room's messages so far, each with its reason. */
async function endsOf(bed: Bed, room: string): Promise<string[]> {
  const listed = await bed.stores.history.listRoom(await bed.row(room), null, 100);
  return listed
    .filter((entry): entry is HistoryEntry => 'outcome' in entry)
    .map(({ messageId, outcome, reason }) => `${messageId} ${outcome} ${reason}`)
    .reverse();
}

/** A room whose first message is at the platform, unacked, and whose others wait behind it. */
async function roomOf(bed: Bed, process: Process, ...ids: string[]): Promise<void> {
  await process.publish('r', ids);
  await bed.platform.last.accept();
}

const WITHOUT_ANSWER = 'without an answer yet';

describe('a message that supersedes another', () => {
  it('has it cancelled where it waits, and keeps its own place', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await roomOf(bed, process, 'a', 'b', 'c');
    const [result] = await process.publish('r', ['d'], { supersedes: 'b' });
    expect(result).toMatchObject({ kind: 'accepted', sequence: 4, duplicate: false });
    const row = await bed.row('r');
    expect((await bed.stores.history.readWaiting(row, 2))?.cancelledBy).toBe('superseded');
    await process.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/c']);
    expect(await endsOf(bed, 'r')).toEqual(['a acked ack', 'b cancelled superseded']);
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 3);
    expect(bed.platform.log).toEqual(['r/a', 'r/c', 'r/d']);
  });

  it('of which an attempt has begun changes nothing: both arrive in order', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await roomOf(bed, process, 'a');
    await process.publish('r', ['b'], { supersedes: 'a' });
    await process.ack(bed, 'r', 1);
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
    expect(await endsOf(bed, 'r')).toEqual(['a acked ack']);
  });

  it('that has settled, or that nobody knows, or of another room, changes nothing', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await roomOf(bed, process, 'a', 'b');
    await process.publish('s', ['x', 'y']);
    await process.ack(bed, 'r', 1);
    for (const supersedes of ['a', 'unknown', 'y']) await process.publish('r', [`after ${supersedes}`], { supersedes });
    expect(await endsOf(bed, 'r')).toEqual(['a acked ack']);
    const row = await bed.row('s');
    expect((await bed.stores.history.readWaiting(row, 2))?.cancelledBy).toBeNull();
  });

  it('supersedes only what came before it, also where it is published again', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await roomOf(bed, process, 'a');
    await process.publish('r', ['b'], { supersedes: 'c' });
    await process.publish('r', ['c']);
    const [again] = await process.publish('r', ['b'], { supersedes: 'c' });
    expect(again).toMatchObject({ duplicate: true, sequence: 2 });
    const row = await bed.row('r');
    expect((await bed.stores.history.readWaiting(row, 3))?.cancelledBy).toBeNull();
  });

  it('is answered only when that is stored', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await roomOf(bed, process, 'a', 'b');
    process.faults = ({ method }) =>
      method === 'compareAndSet' ? { action: 'run', beforeMs: 30, afterMs: 10 } : 'run';
    let answer: IntakeResult | string = WITHOUT_ANSWER;
    const accepting = process.engine.intake.accept(messageOf('r', 'c', { supersedes: 'b' })).then((result) => {
      answer = result;
    });
    await bed.time.advance(39);
    expect(answer).toBe(WITHOUT_ANSWER);
    expect((await bed.row('r')).tail).toBe(3);
    await bed.time.advance(1);
    await accepting;
    expect(answer).toMatchObject({ kind: 'accepted', sequence: 3 });
  });

  it('does it again where it is published again after a crash in between', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await roomOf(bed, process, 'a', 'b');
    // It is committed, and nothing else ever is: the process hangs before it has looked for the older one.
    process.faults = ({ method }) => (method === 'findWaiting' ? { action: 'run', beforeMs: 3_600_000 } : 'run');
    void process.engine.intake.accept(messageOf('r', 'c', { supersedes: 'b' }));
    await settled();
    expect((await bed.row('r')).tail).toBe(3);
    expect((await bed.stores.history.readWaiting(await bed.row('r'), 2))?.cancelledBy).toBeNull();

    const heir = await bed.boot();
    const [again] = await heir.publish('r', ['c'], { supersedes: 'b' });
    expect(again).toMatchObject({ duplicate: true, sequence: 3 });
    expect((await bed.stores.history.readWaiting(await bed.row('r'), 2))?.cancelledBy).toBe('superseded');
    // Once more changes nothing.
    const { version } = await bed.row('r');
    await heir.publish('r', ['c'], { supersedes: 'b' });
    expect((await bed.row('r')).version).toBe(version);
  });

  it('with another body than before is a conflict, and supersedes nothing', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await roomOf(bed, process, 'a', 'b', 'c');
    const body = new TextEncoder().encode('{"to":"r","content":{"text":"other"}}');
    const [result] = await process.publish('r', ['c'], { body, supersedes: 'b' });
    expect(result).toMatchObject({ kind: 'conflict' });
    expect((await bed.stores.history.readWaiting(await bed.row('r'), 2))?.cancelledBy).toBeNull();
  });

  it.each(['findWaiting', 'compareAndSet'])('is tried until the store takes it: %s', async (method) => {
    const bed = new Bed();
    const process = await bed.boot();
    await roomOf(bed, process, 'a', 'b');
    process.faults = (call) => (call.method === method ? 'fail_before' : 'run');
    let answered = false;
    const accepting = process.engine.intake.accept(messageOf('r', 'c', { supersedes: 'b' })).then(() => {
      answered = true;
    });
    await bed.time.advance(1_500);
    expect(answered).toBe(false);
    process.regainStores();
    await bed.time.advance(1_000);
    await accepting;
    expect((await bed.stores.history.readWaiting(await bed.row('r'), 2))?.cancelledBy).toBe('superseded');
  });

  it('is not answered by an intake that ends while the store is away', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await roomOf(bed, process, 'a', 'b');
    process.faults = ({ method }) => (method === 'findWaiting' ? 'fail_before' : 'run');
    const refused = expect(
      process.engine.intake.accept(messageOf('r', 'c', { supersedes: 'b' })),
    ).rejects.toMatchObject({ code: 'not_ready' });
    await bed.time.advance(100);
    await process.engine.intake.close();
    await bed.time.advance(1_000);
    await refused;
    expect((await bed.row('r')).tail).toBe(3);
  });

  it('in a paused room has the head cancelled, and the room stays paused', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    await roomOf(bed, process, 'a', 'b');
    await process.engine.rooms.post(await bed.row('r'), { type: 'pause' });
    await process.ack(bed, 'r', 1);
    await process.publish('r', ['c'], { supersedes: 'b' });
    expect(await endsOf(bed, 'r')).toEqual(['a acked ack', 'b cancelled superseded']);
    expect(await bed.row('r')).toMatchObject({ phase: 'waiting', reason: 'paused', settled: 2 });
    await process.engine.rooms.post(await bed.row('r'), { type: 'resume' });
    await settled();
    expect(bed.platform.log).toEqual(['r/a', 'r/c']);
  });

  it('taken by a process that does not hold the room has the older one cancelled there', async () => {
    const bed = new Bed();
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await roomOf(bed, holder, 'a', 'b');
    await other.publish('r', ['c'], { supersedes: 'b' });
    expect((await bed.stores.history.readWaiting(await bed.row('r'), 2))?.cancelledBy).toBe('superseded');
    expect(other.engine.rooms.size).toBe(0);
    await holder.ack(bed, 'r', 1);
    await bed.time.advance(5_000);
    expect(bed.platform.log).toEqual(['r/a', 'r/c']);
  });

  it('reaches one that the holder has not heard of (H8)', async () => {
    const bed = new Bed();
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['api', 'webhook'] });
    await roomOf(bed, holder, 'a');
    await other.publish('r', ['b']);
    expect(await holder.engine.rooms.view(await bed.row('r'))).toMatchObject({ tail: 1 });
    const verdict = await holder.engine.rooms.post(await bed.row('r'), { type: 'superseded', sequence: 2 });
    expect(verdict).toEqual({ kind: 'applied' });
    const nowhere = await holder.engine.rooms.post(await bed.row('r'), { type: 'superseded', sequence: 9 });
    expect(nowhere).toEqual({ kind: 'ignored', reason: 'not_accepted_yet' });
    expect((await bed.stores.history.readWaiting(await bed.row('r'), 2))?.cancelledBy).toBe('superseded');
  });
});

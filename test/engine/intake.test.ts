import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FaultAction } from '../../src/adapters/memory/faulty.ts';
import type { IntakeResult, NewMessage, Stores } from '../../src/engine/ports.ts';
import {
  Bed,
  channelOf,
  messageOf,
  type Process,
  RefusedValueError,
  START,
  settled,
  withRooms,
} from '../support/engine.ts';

/** A database that never takes a message whose id is among these, nor any batch that holds one. */
function refusing(ids: ReadonlySet<string>): (stores: Stores) => Stores {
  return (stores) => ({
    ...stores,
    rooms: new Proxy(stores.rooms, {
      get(target, method) {
        const member: unknown = Reflect.get(target, method);
        if (typeof member !== 'function') return member;
        if (method !== 'append') return member.bind(target);
        return async (batch: readonly NewMessage[]) => {
          if (batch.some(({ messageId }) => ids.has(messageId))) throw new RefusedValueError('no column takes this');
          return target.append(batch);
        };
      },
    }),
  });
}

/** Appends fail as told, one after the other, then run. */
function failAppends(process: Process, actions: readonly FaultAction[]): void {
  const left = [...actions];
  process.faults = ({ method }) => (method === 'append' ? (left.shift() ?? 'run') : 'run');
}

const sequenceOf = (result: IntakeResult): number | null => result.sequence;

/** Ids of everything that the room was ever given, in the order of their sequences. */
async function idsOf(bed: Bed, room: string): Promise<string[]> {
  const listed = await bed.stores.history.listRoom(await bed.row(room), null, 10_000);
  return listed.map(({ messageId }) => messageId).reverse();
}

describe('intake', () => {
  it('keeps each room’s order through batches that fail before, after and without their commit', async () => {
    const failure = fc.constantFrom<FaultAction>('run', 'fail_before', 'lose_before', 'run_then_fail');
    const burst = fc.array(fc.constantFrom('r', 's', 't'), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(failure, { maxLength: 8 }),
        fc.array(burst, { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 5 }),
        async (failures, bursts, maxBatchRows) => {
          const bed = new Bed({ settings: { maxBatchRows } });
          bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
          const process = await bed.boot();
          failAppends(process, failures);
          const published = new Map<string, string[]>();
          const work: Promise<IntakeResult>[] = [];
          for (const [index, rooms] of bursts.entries()) {
            for (const [place, room] of rooms.entries()) {
              const id = `${index}-${place}`;
              published.set(room, [...(published.get(room) ?? []), id]);
              work.push(process.engine.intake.accept(messageOf(room, id)));
            }
            await bed.time.advance(50);
          }
          await bed.time.advance(5_000);
          await Promise.all(work);
          for (const [room, ids] of published) expect(await idsOf(bed, room)).toEqual(ids);
          await process.engine.service.stop();
        },
      ),
      { numRuns: 60 },
    );
  });

  it('answers only after the commit', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    process.faults = ({ method }) => (method === 'append' ? { action: 'run', beforeMs: 30, afterMs: 10 } : 'run');
    let answered = false;
    const accepting = process.engine.intake.accept(messageOf('r', 'a')).then((result) => {
      answered = true;
      return result;
    });
    await bed.time.advance(39);
    expect(answered).toBe(false);
    await bed.time.advance(1);
    expect(await accepting).toMatchObject({ kind: 'accepted', sequence: 1, duplicate: false });
    expect((await bed.row('r')).tail).toBe(1);
  });

  it('refuses alone what the store will never take, and keeps the order of all that was beside it', async () => {
    const bed = new Bed({ database: refusing(new Set(['bad-1', 'bad-2'])) });
    const process = await bed.boot();
    const ids = ['a', 'b', 'bad-1', 'c', 'd', 'e', 'bad-2', 'f'];
    const results = await Promise.allSettled(ids.map((id) => process.engine.intake.accept(messageOf('r', id))));
    expect(results.map(({ status }) => status)).toEqual(
      ids.map((id) => (id.startsWith('bad') ? 'rejected' : 'fulfilled')),
    );
    const [refused] = results.filter((result) => result.status === 'rejected');
    expect(refused?.reason).toBeInstanceOf(RefusedValueError);
    expect(await idsOf(bed, 'r')).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  it('lets nothing behind overtake a part that must be tried again while a bad value is looked for', async () => {
    const bed = new Bed({ database: refusing(new Set(['bad'])) });
    const process = await bed.boot();
    // The whole batch is refused for its bad value; of its halves the first meets a failing store.
    failAppends(process, ['run', 'lose_before']);
    const ids = ['a', 'b', 'bad', 'c'];
    const work = Promise.allSettled(ids.map((id) => process.engine.intake.accept(messageOf('r', id))));
    await bed.time.advance(1_000);
    expect((await work).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect(await idsOf(bed, 'r')).toEqual(['a', 'b', 'c']);
  });

  it('gives a repeated message the first answer again, in one batch and later', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    const [first, again] = await process.publish('r', ['a', 'a', 'b']);
    expect(first).toMatchObject({ kind: 'accepted', sequence: 1, duplicate: false });
    expect(again).toEqual({ ...first, duplicate: true });
    await bed.platform.last.accept();
    await process.ack(bed, 'r', 1);
    const [late] = await process.publish('r', ['a']);
    expect(late).toEqual({ ...first, duplicate: true });
    expect(bed.platform.log).toEqual(['r/a', 'r/b']);
  });

  it('answers a repeated id with another body as a conflict that names the first', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    const [first] = await process.publish('r', ['a']);
    const other = new TextEncoder().encode('{"to":"r","content":{"id":"a","text":"other"}}');
    const [second] = await process.publish('r', ['a'], { body: other });
    const reference = first?.kind === 'accepted' ? first.reference : '';
    expect(second).toEqual({ kind: 'conflict', sequence: 1, reference });
    expect((await bed.row('r')).tail).toBe(1);
  });

  it('finds what it had committed where the answer was lost, and numbers nothing twice', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    failAppends(process, ['run_then_fail']);
    const work = ['a', 'b'].map((id) => process.engine.intake.accept(messageOf('r', id)));
    await bed.time.advance(1_000);
    expect((await Promise.all(work)).map(sequenceOf)).toEqual([1, 2]);
    expect(await idsOf(bed, 'r')).toEqual(['a', 'b']);
  });

  it('tells a room what had been stored for it by an append whose answer was lost', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    failAppends(process, ['run_then_fail']);
    const accepting = process.engine.intake.accept(messageOf('r', 'a'));
    // Long before the next sweep.
    await bed.time.advance(1_000);
    await accepting;
    await settled();
    expect(bed.platform.log).toEqual(['r/a']);
  });

  it('refuses requests beyond its bound, but never a message of the queue', async () => {
    const bed = new Bed({ settings: { maxWaiting: 3 } });
    const process = await bed.boot();
    process.loseStores();
    const { intake } = process.engine;
    const held = ['a', 'b', 'c'].map((id) => intake.accept(messageOf('r', id, { source: 'http' })));
    await expect(intake.accept(messageOf('r', 'd', { source: 'http' }))).rejects.toMatchObject({
      code: 'overloaded',
      retryAfterMs: 1_000,
    });
    const queued = intake.accept(messageOf('r', 'e', { source: 'pubsub' }));
    expect(intake.outstanding).toBe(4);
    const { values } = await process.instruments.metrics.intakeOutstanding.get();
    expect(values.map(({ labels, value }) => [labels.source, value])).toEqual([
      ['http', 3],
      ['pubsub', 1],
    ]);
    process.regainStores();
    await bed.time.advance(1_000);
    expect((await Promise.all([...held, queued])).map(sequenceOf)).toEqual([1, 2, 3, 4]);
    expect(intake.outstanding).toBe(0);
  });

  it('bounds the bytes that wait as well, whoever was answered that the store takes too long', async () => {
    const bed = new Bed({ settings: { maxWaitingBytes: 1_000 } });
    const process = await bed.boot();
    process.loseStores();
    const { intake } = process.engine;
    const body = Buffer.from(JSON.stringify({ to: 'r', content: { text: 'x'.repeat(600) } }));
    const sized = (id: string, source: 'http' | 'pubsub') => messageOf('r', id, { source, body });
    const first = intake.acceptAll([sized('a', 'http')]);
    await expect(intake.acceptAll([sized('b', 'http')])).rejects.toMatchObject({ code: 'overloaded' });
    await expect(intake.accept(sized('c', 'http'))).rejects.toMatchObject({ code: 'overloaded', retryAfterMs: 1_000 });
    // What a queue hands out it bounds itself.
    const queued = intake.accept(sized('d', 'pubsub'));
    process.regainStores();
    await bed.time.advance(1_000);
    expect([...(await first), await queued]).toMatchObject([{ sequence: 1 }, { sequence: 2 }]);
    expect(await intake.accept(sized('e', 'http'))).toMatchObject({ sequence: 3 });
  });

  it('gets on with a store that cannot take so many at once in time', async () => {
    const tries: number[] = [];
    const bed = new Bed({
      settings: { maxIntakeRows: 8 },
      database: (stores) =>
        withRooms(stores, {
          append: async (batch, cursor) => {
            tries.push(batch.length);
            if (batch.length > 3) throw new Error('canceling statement due to statement timeout');
            return stores.rooms.append(batch, cursor);
          },
        }),
    });
    const process = await bed.boot();
    const ids = Array.from({ length: 8 }, (_, index) => `m-${index}`);
    const work = Promise.all(ids.map((id) => process.engine.intake.accept(messageOf('r', id))));
    await bed.time.advance(2_000);
    await work;
    expect(await idsOf(bed, 'r')).toEqual(ids);
    expect(tries.slice(0, 3)).toEqual([8, 4, 2]);
  });

  it('tells the rooms of an append whose answer was lost, though its repetition is taken apart', async () => {
    const bed = new Bed({ database: refusing(new Set(['bad'])) });
    const process = await bed.boot();
    process.failNext('rooms', 'append', 'run_then_fail');
    const { intake } = process.engine;
    const work = [intake.accept(messageOf('r', 'a')), intake.accept(messageOf('s', 'a'))];
    await settled();
    await settled();
    // It comes while nobody knows of the first two, and is refused together with them.
    const refused = expect(intake.accept(messageOf('t', 'bad'))).rejects.toBeInstanceOf(RefusedValueError);
    await bed.time.advance(1_000);
    await Promise.all([...work, refused]);
    expect(bed.platform.log.toSorted()).toEqual(['r/a', 's/a']);
  });

  it('takes a batch as a whole or not at all, and one beyond the bound where nothing else waits', async () => {
    const bed = new Bed({ settings: { maxWaiting: 3 } });
    const process = await bed.boot();
    process.loseStores();
    const { intake } = process.engine;
    const batchOf = (...ids: string[]) => ids.map((id) => messageOf('r', id, { source: 'http' }));
    const first = intake.acceptAll(batchOf('a', 'b'));
    await expect(intake.acceptAll(batchOf('x', 'y'))).rejects.toMatchObject({
      code: 'overloaded',
      retryAfterMs: 1_000,
    });
    expect(intake.outstanding).toBe(2);
    const second = intake.acceptAll(batchOf('c'));
    process.regainStores();
    await bed.time.advance(1_000);
    expect([await first, await second].flat()).toMatchObject([{ sequence: 1 }, { sequence: 2 }, { sequence: 3 }]);
    expect(intake.outstanding).toBe(0);
    const large = intake.acceptAll(batchOf('d', 'e', 'f', 'g'));
    await expect(intake.acceptAll(batchOf('z'))).rejects.toMatchObject({ code: 'overloaded' });
    await large;
    expect(await idsOf(bed, 'r')).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g']);
  });

  it('answers each message of a batch for itself: new, known, in conflict, refused by the store', async () => {
    const bed = new Bed({ database: refusing(new Set(['bad'])), settings: { maxBatchRows: 3 } });
    const process = await bed.boot();
    const { intake } = process.engine;
    const other = new TextEncoder().encode('{"to":"r","content":{"id":"a","text":"other"}}');
    const answers = await intake.acceptAll([
      messageOf('r', 'a'),
      messageOf('r', 'a'),
      messageOf('r', 'a', { body: other }),
      messageOf('r', 'bad'),
      messageOf('s', 'a'),
      messageOf('r', 'b'),
    ]);
    expect(answers).toMatchObject([
      { kind: 'accepted', sequence: 1, duplicate: false },
      { kind: 'accepted', sequence: 1, duplicate: true },
      { kind: 'conflict', sequence: 1 },
      { kind: 'refused', error: expect.any(RefusedValueError) },
      { kind: 'accepted', sequence: 1, duplicate: false },
      { kind: 'accepted', sequence: 2, duplicate: false },
    ]);
    expect(await intake.acceptAll([])).toEqual([]);
  });

  it('decides what the messages of a batch supersede before it answers', async () => {
    const bed = new Bed();
    const process = await bed.boot();
    const { intake } = process.engine;
    await intake.acceptAll([messageOf('r', 'a'), messageOf('r', 'b'), messageOf('r', 'c', { supersedes: 'b' })]);
    const listed = await bed.stores.history.listRoom(await bed.row('r'), null, 10);
    expect(listed.find(({ messageId }) => messageId === 'b')).toMatchObject({ cancelledBy: 'superseded' });
  });

  it('commits publishers that wait for their answers together, and one that is alone at once', async () => {
    const bed = new Bed({ settings: { lingerMs: 20 } });
    const process = await bed.boot();
    const { intake } = process.engine;
    await Promise.all([intake.accept(messageOf('r', 'a')), intake.accept(messageOf('s', 'b'))]);
    expect(process.countOf('rooms', 'append')).toBe(1);
    const soon = intake.accept(messageOf('r', 'c'));
    await bed.time.advance(15);
    expect(process.countOf('rooms', 'append')).toBe(1);
    await Promise.all([soon, intake.accept(messageOf('s', 'd'))]);
    expect(process.countOf('rooms', 'append')).toBe(2);
    const late = intake.accept(messageOf('r', 'e'));
    await bed.time.advance(19);
    expect(process.countOf('rooms', 'append')).toBe(2);
    await bed.time.advance(1);
    await late;
    await intake.accept(messageOf('r', 'f'));
    expect(process.countOf('rooms', 'append')).toBe(4);
  });

  it('sends in the order of the queue what was accepted in one batch', async () => {
    const bed = new Bed({ channels: [channelOf({ policy: { unlockedBy: 'accepted' } })] });
    const process = await bed.boot();
    bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
    const ids = Array.from({ length: 40 }, (_, index) => `m-${index}`);
    await process.publish('r', ids);
    await bed.time.advance(10);
    expect(bed.platform.log).toEqual(ids.map((id) => `r/${id}`));
  });

  describe('when it closes', () => {
    it('commits what it had accepted, and takes nothing more', async () => {
      const bed = new Bed();
      const process = await bed.boot();
      process.faults = ({ method }) => (method === 'append' ? { action: 'run', beforeMs: 100 } : 'run');
      const { intake } = process.engine;
      const accepting = intake.accept(messageOf('r', 'a'));
      const closing = intake.close();
      await expect(intake.accept(messageOf('r', 'b'))).rejects.toMatchObject({ code: 'overloaded' });
      await expect(intake.acceptAll([messageOf('r', 'b')])).rejects.toMatchObject({ code: 'overloaded' });
      await bed.time.advance(200);
      await closing;
      expect(await accepting).toMatchObject({ kind: 'accepted', sequence: 1 });
    });

    it('ends although the store is away, and refuses in order what it could not commit', async () => {
      const bed = new Bed({ settings: { maxBatchRows: 1 } });
      const process = await bed.boot();
      process.loseStores('lose_before');
      const { intake } = process.engine;
      const work = ['a', 'b', 'c'].map((id) => intake.accept(messageOf('r', id)));
      const refusals = Promise.allSettled(work);
      await bed.time.advance(500);
      let closed = false;
      void intake.close().then(() => {
        closed = true;
      });
      // It fails once more and is back: what was refused may not be overtaken by what waited behind it.
      process.failNext('rooms', 'append', 'lose_before');
      await bed.time.advance(1_000);
      expect(closed).toBe(true);
      expect((await refusals).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
      await settled();
      await expect(bed.row('r')).rejects.toThrow('there is no room');
      expect(bed.time.now).toBeLessThan(START + 60_000);
    });
  });
});

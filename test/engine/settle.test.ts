import { describe, expect, it } from 'vitest';
import type { ClaimProof, RoomStore, RoomWrite, WriteResult } from '../../src/engine/ports.ts';
import { RoomWriter, type Written } from '../../src/engine/settle.ts';
import type { Room } from '../../src/room/room.ts';
import { createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { START, SteppedTime, settled } from '../support/engine.ts';
import { after, append, emptyRoom, envelopeOf, permit } from '../support/rooms.ts';

const PROOF: ClaimProof = { worker: 'w1', generation: 1 };

interface Batch {
  readonly lane: number;
  readonly rooms: readonly number[];
  readonly proof: ClaimProof | null;
  answer(results: readonly WriteResult[]): Promise<void>;
  fail(error: Error): Promise<void>;
}

/** A writer whose batches the test answers by hand. */
function setup(options: { lanes?: number; maxRows?: number } = {}) {
  const time = new SteppedTime();
  const batches: Batch[] = [];
  const state: { proof: ClaimProof | null } = { proof: PROOF };
  const compareAndSet: RoomStore['compareAndSet'] = (lane, writes, proof) =>
    new Promise((resolve, reject) => {
      batches.push({
        lane,
        rooms: writes.map((write) => write.next.id),
        proof,
        answer: (results) => {
          resolve([...results]);
          return settled();
        },
        fail: (error) => {
          reject(error);
          return settled();
        },
      });
    });
  const writer = new RoomWriter({
    store: { compareAndSet } as RoomStore,
    clock: { now: () => time.now, monotonic: () => time.now, after: (ms, run) => time.after(ms, run) },
    lanes: options.lanes ?? 1,
    maxRows: options.maxRows ?? 100,
    proof: () => state.proof,
    instruments: {
      log: { event: () => undefined, flush: () => undefined, writes: () => true },
      metrics: createMetrics({ version: 'test' }),
      telemetry: new Telemetry(),
      hash: recipientHasher('key'),
    },
  });
  return { time, writer, batches, state };
}

function roomOf(id: number): Room {
  return { ...after(emptyRoom(), START, append(envelopeOf(1))), id };
}

/** A claim by `w1` under generation 1. */
function claimOf(id: number): RoomWrite {
  return { expectedVersion: 0, next: after(roomOf(id), START, permit), facts: [], claims: true };
}

function otherWriteOf(id: number): RoomWrite {
  return { expectedVersion: 0, next: after(roomOf(id), START, { type: 'pause' }), facts: [], claims: false };
}

const committed = (tail = 1): WriteResult => ({ kind: 'committed', tail, inbox: [] });

/** What becomes of a write, as a promise. */
function written(writer: RoomWriter, write: RoomWrite): Promise<Written> {
  return new Promise((resolve, reject) => writer.write(write, resolve, reject));
}

describe('the room writer', () => {
  it('lets a busy row ride in the next batch, ahead of what came meanwhile', async () => {
    const { writer, batches } = setup();
    const busy = written(writer, otherWriteOf(1));
    const other = written(writer, otherWriteOf(2));
    await settled();
    const late = written(writer, otherWriteOf(3));
    await batches[0]?.answer([{ kind: 'busy' }, committed()]);
    expect(await other).toEqual(committed());
    expect(batches.map(({ rooms }) => rooms)).toEqual([
      [1, 2],
      [1, 3],
    ]);
    await batches[1]?.answer([committed(5), { kind: 'conflict' }]);
    expect(await busy).toEqual(committed(5));
    expect(await late).toEqual({ kind: 'conflict' });
  });

  it('pauses before it asks again where every row was busy', async () => {
    const { writer, batches, time } = setup();
    const work = written(writer, otherWriteOf(1));
    await settled();
    await batches[0]?.answer([{ kind: 'busy' }]);
    expect(batches).toHaveLength(1);
    await time.advance(10);
    expect(batches).toHaveLength(2);
    await batches[1]?.answer([committed()]);
    expect(await work).toEqual(committed());
  });

  it('does not send a claim of an older generation to be refused, and the settles beside it go on', async () => {
    const { writer, batches, state } = setup();
    state.proof = { worker: 'w1', generation: 2 };
    const claim = written(writer, claimOf(1));
    const settle = written(writer, otherWriteOf(2));
    await settled();
    expect(batches.map(({ rooms, proof }) => ({ rooms, proof }))).toEqual([{ rooms: [2], proof: state.proof }]);
    await batches[0]?.answer([committed()]);
    expect(await claim).toEqual({ kind: 'fenced' });
    expect(await settle).toEqual(committed());
  });

  it.each([
    ['of another life', { worker: 'w2', generation: 1 }],
    ['while there is no life', null],
  ])('answers a claim %s itself, without asking the store', async (_, proof) => {
    const { writer, batches, state } = setup();
    state.proof = proof;
    expect(await written(writer, claimOf(1))).toEqual({ kind: 'fenced' });
    expect(batches).toEqual([]);
  });

  it('looks at the proof when the batch leaves, not when the write was handed in', async () => {
    const { writer, batches, state } = setup({ maxRows: 1 });
    const first = written(writer, otherWriteOf(1));
    const claim = written(writer, claimOf(2));
    await settled();
    state.proof = { worker: 'w1', generation: 2 };
    await batches[0]?.answer([committed()]);
    expect(await first).toEqual(committed());
    expect(await claim).toEqual({ kind: 'fenced' });
    expect(batches).toHaveLength(1);
  });

  it('keeps a room in one lane, and lanes apart', async () => {
    const { writer, batches } = setup({ lanes: 3 });
    const work = [1, 2, 3, 4, 5, 6].map((id) => written(writer, otherWriteOf(id)));
    await settled();
    expect(batches.map(({ lane, rooms }) => ({ lane, rooms })).sort((a, b) => a.lane - b.lane)).toEqual([
      { lane: 0, rooms: [3, 6] },
      { lane: 1, rooms: [1, 4] },
      { lane: 2, rooms: [2, 5] },
    ]);
    for (const batch of batches) await batch.answer([committed(), committed()]);
    expect(await Promise.all(work)).toHaveLength(6);
  });

  it('tells every write of a batch that it is not known what became of it, and goes on', async () => {
    const { writer, batches } = setup();
    const work = [written(writer, otherWriteOf(1)), written(writer, claimOf(2))];
    const refusals = work.map((one) => expect(one).rejects.toThrow('the connection broke'));
    await settled();
    const next = written(writer, otherWriteOf(3));
    await batches[0]?.fail(new Error('the connection broke'));
    await Promise.all(refusals);
    await batches[1]?.answer([committed()]);
    expect(await next).toEqual(committed());
  });
});

import { describe, expect, test } from 'vitest';
import { spreadOf } from '../../../simulators/cluster/spread.ts';
import { ackToNext, afterDrain, afterKill, throughput } from '../../../simulators/cluster/standstill.ts';
import { Timeline } from '../../../simulators/cluster/timeline.ts';
import type { GroundTruthRecord } from '../../../simulators/platform/ground-truth.ts';

const WALL = 1_000_000;
const SEND_MS = 10;

/** A platform's log, written by hand; times since its start. */
class Log {
  readonly records: GroundTruthRecord[] = [{ t: 'start', at: 0, wall: WALL, seed: '1', profile: 'generic' }];
  #number = 0;

  /** A request, answered 10 ms later; its ack where one came, told by a call that took 5 ms. */
  send(room: string, worker: string, at: number, ackAt: number | null = null): this {
    const r = ++this.#number;
    const receipt = { t: 'receipt', r, m: r, at, wall: WALL + at, conn: 1, decision: 'accepted' } as const;
    this.records.push({ ...receipt, worker, key: `run/${room}/${r}` });
    this.records.push({ t: 'answer', r, at: at + SEND_MS, status: 200, unknownOutcome: false });
    if (ackAt === null) return this;
    const call = { t: 'call', call: r, attempt: 1, channel: 'main', signature: 'right', junk: 0 } as const;
    this.records.push({ ...call, at: ackAt - 5, m: [r], s: 'd' });
    this.records.push({ t: 'called', call: r, attempt: 1, at: ackAt, status: 200 });
    return this;
  }

  /** The last message of the room once more. */
  again(room: string, worker: string, at: number): this {
    const key = `run/${room}/${this.#number}`;
    const r = ++this.#number;
    const receipt = { t: 'receipt', r, m: r, at, wall: WALL + at, conn: 1, decision: 'accepted' } as const;
    this.records.push({ ...receipt, worker, key });
    return this;
  }

  timeline(): Timeline {
    const timeline = new Timeline((key) => key.split('/')[1] ?? null);
    for (const record of this.records.toSorted((a, b) => a.at - b.at)) timeline.record(record);
    return timeline;
  }
}

describe('After a kill', () => {
  const killedAt = WALL + 1_000;
  const ask = (log: Log, more: { rooms: string[]; sending?: string[] }) =>
    afterKill(log.timeline(), {
      rooms: more.rooms,
      sending: new Set(more.sending),
      worker: 'a',
      killedAt,
      ackTimeoutMs: 500,
    });

  test('a room stands still until another worker sends for it', () => {
    const log = new Log().send('x', 'a', 900, 950).send('x', 'b', 3_000);
    const { rooms, due, sinceKill, gap } = ask(log, { rooms: ['x'] });
    expect([rooms, due, sinceKill.max, gap.max]).toEqual([1, 1, 2_000, 2_100]);
  });

  test('a room whose next message was not due before anybody had taken over did not stand still', () => {
    const log = new Log().send('x', 'a', 900, 950).send('x', 'b', 3_000);
    log.send('y', 'a', 990, 3_500).send('y', 'b', 3_600);
    const { rooms, due, sinceKill } = ask(log, { rooms: ['x', 'y'] });
    // The ack of y was late: it was due at the end of its wait, at 1,500.
    expect([rooms, due, sinceKill.count]).toEqual([2, 2, 2]);
    const acked = new Log().send('x', 'a', 900, 950).send('x', 'b', 1_200);
    acked.send('y', 'a', 990, 1_300).send('y', 'b', 1_310);
    expect(ask(acked, { rooms: ['x', 'y'] })).toMatchObject({ rooms: 2, due: 1, sinceKill: { max: 200 } });
  });

  test('rooms that were found sending are told apart', () => {
    const log = new Log().send('x', 'a', 900, 950).send('x', 'b', 3_000).send('y', 'a', 995).again('y', 'b', 5_000);
    const { sinceKill, sendingSinceKill } = ask(log, { rooms: ['x', 'y'], sending: ['y'] });
    expect([sinceKill.max, sendingSinceKill.max]).toEqual([2_000, 4_000]);
    // A status told that it had arrived, and its ack came when others had taken over.
    const spared = new Log().send('x', 'a', 900, 950).send('x', 'b', 1_400);
    spared.send('y', 'a', 995, 1_450).send('y', 'b', 1_460);
    expect(ask(spared, { rooms: ['x', 'y'], sending: ['y'] })).toMatchObject({
      due: 1,
      sendingSinceKill: { count: 0 },
    });
  });
});

describe('After a drain', () => {
  const drainedAt = WALL + 1_000;
  const rooms = [['x', 7]] as const;

  test('a room waits from its ack, and not while another request of its shard is open', () => {
    const log = new Log().send('x', 'a', 900, 1_050).send('z', 'a', 1_095).send('x', 'b', 1_125);
    const both = [...rooms, ['z', 7] as const];
    const { all } = afterDrain(log.timeline(), { rooms: both, worker: 'a', drainedAt, movedAt: new Map() });
    // The other room's request ended at 1,105.
    expect(all).toMatchObject({ count: 1, max: 20 });
  });

  test('it was held up where its ack came before the shard had moved', () => {
    const log = new Log().send('x', 'a', 900, 1_050).send('x', 'b', 1_125);
    const held = (movedAt: number) =>
      afterDrain(log.timeline(), { rooms, worker: 'a', drainedAt, movedAt: new Map([[7, WALL + movedAt]]) }).heldUp;
    expect(held(1_100)).toMatchObject({ count: 1, max: 75 });
    expect(held(1_040).count).toBe(0);
  });

  test('the other rooms whose acks came meanwhile are told beside it', () => {
    const log = new Log().send('x', 'a', 900, 1_050).send('x', 'b', 1_125);
    log.send('y', 'b', 800, 990).send('y', 'b', 995, 1_020).send('y', 'b', 1_050, 1_300).send('y', 'b', 1_400);
    const question = { rooms, worker: 'a', drainedAt, movedAt: new Map([[7, WALL + 1_100]]) };
    expect(afterDrain(log.timeline(), question).others).toMatchObject({ count: 1, max: 30 });
  });

  test('a room without an ack, or that stayed, says nothing', () => {
    const log = new Log().send('x', 'a', 900).send('x', 'b', 2_000);
    const question = { rooms, worker: 'a', drainedAt, movedAt: new Map() };
    expect(afterDrain(log.timeline(), question)).toMatchObject({ rooms: 1, all: { count: 0 } });
  });
});

test('From ack to next counts from the beginning of the call, and acks of its time only', () => {
  const log = new Log().send('x', 'a', 100, 205).send('x', 'a', 230, 505).send('x', 'a', 560);
  const all = ackToNext(log.timeline(), () => true, WALL, WALL + 1_000);
  expect(all).toEqual({ count: 2, p50: 30, p99: 60, max: 60 });
  expect(ackToNext(log.timeline(), () => true, WALL, WALL + 400).count).toBe(1);
  expect(ackToNext(log.timeline(), () => false, WALL, WALL + 1_000).count).toBe(0);
  expect(throughput(log.timeline(), WALL, WALL + 500)).toBe(4);
});

test('An ack that was not answered with 200 is none', () => {
  const log = new Log().send('x', 'a', 100, 205).send('x', 'a', 230);
  for (const record of log.records) if (record.t === 'called') record.status = 503;
  expect(ackToNext(log.timeline(), () => true, WALL, WALL + 1_000).count).toBe(0);
});

test('A spread is by nearest rank', () => {
  expect(spreadOf([])).toEqual({ count: 0, p50: 0, p99: 0, max: 0 });
  expect(spreadOf([3, 1, 2])).toEqual({ count: 3, p50: 2, p99: 3, max: 3 });
  expect(spreadOf(Array.from({ length: 200 }, (_, index) => index + 1))).toMatchObject({ p50: 100, p99: 198 });
});

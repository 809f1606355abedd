/** A publisher's own order in whole engines: what waits for its turn, how gaps end, and who sees to it. */
import { describe, expect, it } from 'vitest';
import { Gaps } from '../../src/engine/gaps.ts';
import { contentDigest } from '../../src/engine/message.ts';
import type { OrderGapPolicy } from '../../src/engine/policy.ts';
import type { IntakeResult } from '../../src/engine/ports.ts';
import { Bed, type BedOptions, CHANNEL, channelOf, messageOf, type Process, settled } from '../support/engine.ts';

const TIMEOUT_MS = 30_000;
const SWEEP_MS = 5_000;

function bedWith(orderGap?: OrderGapPolicy, options: BedOptions = {}): Bed {
  const bed = new Bed({ ...options, ...(orderGap === undefined ? {} : { channels: [channelOf({ orderGap })] }) });
  bed.platform.answers = () => ({ kind: 'accepted', platformId: null, platformAt: null, duplicate: false });
  return bed;
}

function accept(process: Process, room: string, order: number, id = `o-${order}`): Promise<IntakeResult> {
  const message = messageOf(room, id);
  return process.engine.intake.accept({
    ...message,
    order,
    digest: contentDigest(message.body, order),
    acceptedAt: process.clock.now(),
  });
}

async function gapOf(bed: Bed, room: string) {
  const row = await bed.row(room);
  const [stored] = await bed.stores.rooms.readRooms([row]);
  return stored?.gap ?? null;
}

async function orders(process: Process): Promise<string> {
  const text = await process.instruments.metrics.render();
  return text
    .split('\n')
    .filter((line) => line.startsWith('roomline_order_'))
    .join('\n');
}

describe('a message ahead of its turn', () => {
  it('is accepted and not sent; the one that was missing brings it', async () => {
    const bed = bedWith();
    const process = await bed.boot();
    expect(await accept(process, 'r', 2)).toMatchObject({ kind: 'parked', order: 2, waitsFor: 1, messageId: 'o-2' });
    await bed.time.advance(1_000);
    expect(bed.platform.log).toEqual([]);
    expect(process.engine.gaps.size).toBe(1);
    expect(await accept(process, 'r', 1)).toMatchObject({ kind: 'accepted', sequence: 1 });
    await bed.time.until(() => bed.platform.sends.length === 2);
    expect(bed.platform.log).toEqual(['r/o-1', 'r/o-2']);
    expect(process.engine.gaps.size).toBe(0);
  });

  it('is brought by the missing one through a process that holds nothing', async () => {
    const bed = bedWith();
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['intake'] });
    await accept(other, 'r', 2);
    await accept(other, 'r', 1);
    expect(other.engine.gaps.size).toBe(0);
    await bed.time.until(() => bed.platform.sends.length === 2, 2 * SWEEP_MS + 6_000);
    expect(bed.platform.log).toEqual(['r/o-1', 'r/o-2']);
    expect(bed.platform.sends.map(({ request }) => request.worker)).toEqual(Array(2).fill('worker-1.1'));
    expect(holder.failures).toEqual([]);
  });

  it('counts as accepted once, and is not lost for the statistics when it is parked', async () => {
    const bed = bedWith();
    const process = await bed.boot();
    await accept(process, 'r', 2);
    expect(await accept(process, 'r', 2)).toMatchObject({ kind: 'parked', duplicate: true });
    await accept(process, 'r', 1);
    const text = await process.instruments.metrics.render();
    expect(text).toContain('roomline_messages_accepted_total{source="pubsub"} 2');
    expect(text).toContain('roomline_intake_duplicates_total{source="pubsub"} 1');
  });
});

describe('a gap', () => {
  it('is given up after its time, told and counted', async () => {
    const bed = bedWith();
    const process = await bed.boot();
    await accept(process, 'r', 3);
    await bed.time.advance(TIMEOUT_MS - 100);
    expect(bed.platform.log).toEqual([]);
    expect(await orders(process)).toContain(`roomline_order_gaps{channel="default/${CHANNEL.channel}"} 1`);
    expect(await orders(process)).toContain(
      `roomline_order_gap_oldest_seconds{channel="default/${CHANNEL.channel}"} 29.9`,
    );
    await bed.time.advance(200);
    expect(bed.platform.log).toEqual(['r/o-3']);
    expect(await gapOf(bed, 'r')).toBeNull();
    expect(process.logged.filter(({ event }) => event === 'order.skipped').map(({ fields }) => fields)).toEqual([
      expect.objectContaining({ channel: CHANNEL.channel, order: 1, count: 2, reason: 'timeout' }),
    ]);
    const told = await orders(process);
    expect(told).toContain(`roomline_order_gaps{channel="default/${CHANNEL.channel}"} 0`);
    expect(told).toContain(`roomline_order_skipped_total{channel="default/${CHANNEL.channel}",by="timeout"} 1`);
  });

  it('has the whole time again after the one before it was given up', async () => {
    const bed = bedWith();
    const process = await bed.boot();
    await accept(process, 'r', 2);
    await bed.time.advance(10_000);
    await accept(process, 'r', 4);
    await bed.time.advance(TIMEOUT_MS - 9_900);
    expect(bed.platform.log).toEqual(['r/o-2']);
    await bed.time.advance(TIMEOUT_MS - 200);
    expect(bed.platform.log).toEqual(['r/o-2']);
    await process.ack(bed, 'r', 1);
    await bed.time.advance(200);
    expect(bed.platform.log).toEqual(['r/o-2', 'r/o-4']);
  });

  it('slows nothing that has no part in it', async () => {
    const bed = bedWith();
    const process = await bed.boot();
    await accept(process, 'r', 2);
    await process.publish('r', ['plain']);
    await accept(process, 'other', 1);
    await bed.time.advance(10);
    expect(bed.platform.log.toSorted()).toEqual(['other/o-1', 'r/plain']);
  });

  it('waits for an operator under hold, however long, and keeps waiting for the missing message', async () => {
    const bed = bedWith({ timeoutMs: 1_000, policy: 'hold' });
    const process = await bed.boot();
    await accept(process, 'r', 2);
    await bed.time.advance(3_600_000);
    expect(bed.platform.log).toEqual([]);
    expect(await gapOf(bed, 'r')).toMatchObject({ waitsFor: 1 });
    expect(process.engine.gaps.skipsAt({ ...CHANNEL, room: 'r' }, 0)).toBeNull();
    await accept(process, 'r', 1);
    await bed.time.advance(10);
    expect(bed.platform.log).toEqual(['r/o-1']);
  });

  it('is seen to be closed elsewhere under hold', async () => {
    const bed = bedWith({ timeoutMs: 1_000, policy: 'hold' });
    const holder = await bed.boot();
    const other = await bed.boot({ roles: ['intake'] });
    await accept(other, 'r', 2);
    await bed.time.until(() => holder.engine.gaps.size === 1, 2 * SWEEP_MS);
    await accept(other, 'r', 1);
    await bed.time.until(() => holder.engine.gaps.size === 0, 2 * SWEEP_MS);
  });

  it('is timed by its holder, whoever parked the message', async () => {
    const bed = bedWith();
    await bed.boot();
    const other = await bed.boot({ roles: ['intake'] });
    await accept(other, 'r', 2);
    const { since } = (await gapOf(bed, 'r')) ?? { since: 0 };
    await bed.time.until(() => bed.platform.sends.length === 1, TIMEOUT_MS + 2 * SWEEP_MS);
    expect(bed.platform.last.at - since).toBeLessThanOrEqual(TIMEOUT_MS + 250);
  });

  it('survives its holder: the next one gives it up at its time', async () => {
    const bed = bedWith();
    const first = await bed.boot();
    await accept(first, 'r', 2);
    await bed.time.advance(15_000);
    first.loseStores();
    const second = await bed.boot();
    await bed.time.until(() => bed.platform.sends.length === 1, 20_000 + 2 * SWEEP_MS);
    expect(bed.platform.last.request.worker).toBe('worker-2.1');
    expect(second.logged.some(({ event }) => event === 'order.skipped')).toBe(true);
    expect(first.logged.some(({ event }) => event === 'order.skipped')).toBe(false);
  });

  it('is given up once the store is there again, and only then', async () => {
    const bed = bedWith();
    const process = await bed.boot();
    await accept(process, 'r', 2);
    await bed.time.advance(TIMEOUT_MS - 1_000);
    process.faults = ({ method }) => (method === 'skipGaps' ? 'fail_before' : 'run');
    await bed.time.advance(5_000);
    expect(bed.platform.log).toEqual([]);
    expect(process.countOf('rooms', 'skipGaps')).toBeGreaterThan(1);
    process.regainStores();
    await bed.time.until(() => bed.platform.sends.length === 1, 2_000);
  });

  it('is given up once where the answer of that was lost', async () => {
    const bed = bedWith();
    const process = await bed.boot();
    await accept(process, 'r', 2);
    process.failNext('rooms', 'skipGaps', 'run_then_fail');
    // Told by the second try, long before a sweep finds it.
    await bed.time.until(() => bed.platform.sends.length === 1, TIMEOUT_MS + 1_000);
    expect((await bed.row('r')).tail).toBe(1);
    expect(await accept(process, 'r', 1)).toMatchObject({ kind: 'accepted', sequence: 2, late: true });
  });

  it('is timed by what its channel is changed to', async () => {
    const bed = bedWith({ timeoutMs: 1_000, policy: 'hold' });
    const process = await bed.boot();
    await accept(process, 'r', 2);
    await bed.time.advance(2_000);
    process.engine.configureChannel(channelOf({ orderGap: { timeoutMs: 5_000, policy: 'skip' } }));
    await bed.time.advance(2_900);
    expect(bed.platform.log).toEqual([]);
    await bed.time.advance(200);
    expect(bed.platform.log).toEqual(['r/o-2']);
  });

  it('that is overdue in two sweeps is told as a violation', async () => {
    const bed = bedWith();
    const process = await bed.boot();
    await accept(process, 'r', 2);
    process.faults = ({ method }) => (method === 'skipGaps' ? 'fail_before' : 'run');
    const violated = () => process.logged.filter(({ event }) => event === 'liveness.violated').length;
    await bed.time.advance(TIMEOUT_MS + SWEEP_MS);
    expect(violated()).toBe(0);
    await bed.time.advance(SWEEP_MS);
    expect(violated()).toBe(1);
    process.regainStores();
    await bed.time.advance(SWEEP_MS);
    const after = violated();
    await bed.time.advance(3 * SWEEP_MS);
    expect(violated()).toBe(after);
    expect(bed.platform.log).toEqual(['r/o-2']);
  });

  it('is no reason to count its room among those that stand still', async () => {
    const bed = bedWith({ timeoutMs: 1_000, policy: 'hold' });
    const process = await bed.boot();
    await accept(process, 'r', 2);
    await bed.time.advance(4 * SWEEP_MS);
    expect(process.logged.filter(({ event }) => event === 'liveness.violated')).toEqual([]);
  });
});

describe('a message with a number that is not awaited any more', () => {
  it('goes to the tail where the number was skipped, and is refused where another message had it', async () => {
    const bed = bedWith({ timeoutMs: 1_000, policy: 'skip' });
    const process = await bed.boot();
    await accept(process, 'r', 3);
    await bed.time.advance(1_100);
    expect(await accept(process, 'r', 1)).toMatchObject({ kind: 'accepted', sequence: 2, late: true });
    expect(await accept(process, 'r', 1, 'other')).toEqual({ kind: 'order_conflict', sequence: null, order: 1 });
    expect(await accept(process, 'r', 3, 'other')).toEqual({ kind: 'order_conflict', sequence: null, order: 3 });
    expect(await accept(process, 'r', 1)).toMatchObject({ kind: 'accepted', sequence: 2, duplicate: true });
  });
});

describe('a message that supersedes another', () => {
  it('has it cancelled even while it is parked itself', async () => {
    const bed = bedWith();
    const process = await bed.boot();
    bed.platform.answers = () => null;
    await process.publish('r', ['a', 'b']);
    const message = messageOf('r', 'c', { supersedes: 'b' });
    const digest = contentDigest(message.body, 2);
    expect(await process.engine.intake.accept({ ...message, order: 2, digest })).toMatchObject({ kind: 'parked' });
    await settled();
    const { envelopes } = (await bed.stores.rooms.readRooms([await bed.row('r')]))[0] ?? { envelopes: [] };
    expect(envelopes.map(({ cancelledBy }) => cancelledBy)).toEqual([null, 'superseded']);
  });
});

describe('a skip whose room could not be told', () => {
  it('leaves the next gap its own time', async () => {
    const bed = bedWith({ policy: 'skip', timeoutMs: TIMEOUT_MS });
    const { clock, engine, instruments } = await bed.boot();
    const asked: number[] = [];
    const key = { ...CHANNEL, room: 'r' };
    const gaps = new Gaps({
      store: {
        async skipGaps(open) {
          asked.push(...open.map(({ waitsFor }) => waitsFor));
          const gap = { waitsFor: 4, since: clock.now() };
          return open.map(() => ({ tail: 1, gap, skipped: { first: 1, last: 1 } }));
        },
        readRooms: async () => [],
      },
      channels: engine.channels,
      tenure: { holds: () => true, storeFailed: () => undefined },
      clock,
      instruments,
      maxRows: 10,
      raised: () => Promise.reject(new Error('the store is away')),
    });
    gaps.noted({ shard: 0, id: 1, key }, { waitsFor: 1, since: clock.now() });
    await bed.time.until(() => asked.length === 1, TIMEOUT_MS + 1);
    await bed.time.advance(TIMEOUT_MS - 10);
    expect(asked).toEqual([1]);
    await bed.time.advance(20);
    expect(asked).toEqual([1, 4]);
    await gaps.close();
  });
});

/** What processes tell of themselves, put together: what is counted, over which time, and whose state is shown. */
import { expect, it } from 'vitest';
import type { LiveChannel, LivePart } from '../../src/engine/live-ports.ts';
import { STAGES } from '../../src/engine/pipeline-ports.ts';
import { bucketOf, TOTALS, type Totals } from '../../src/engine/tallies.ts';
import { LiveParts, totalsOf } from '../../src/http/live-totals.ts';

const SHARDS = 8;

function channelOf(channel: string, totals: Partial<Totals> = {}, more: Partial<LiveChannel> = {}): LiveChannel {
  return {
    tenant: 'default',
    channel,
    rooms: STAGES.map(() => 0),
    messages: STAGES.map(() => 0),
    permitQueue: 0,
    lastMinute: { accepted: 0, settled: 0, failed: 0 },
    totals: TOTALS.map((total) => totals[total] ?? 0),
    gaps: [],
    condition: { state: 'open', reason: null, until: null, ackTimeoutMs: 5_000 },
    ...more,
  };
}

function partOf(asOf: number, channels: readonly LiveChannel[], more: Partial<LivePart> = {}): LivePart {
  return { worker: 'w', asOf, readAt: asOf, shards: SHARDS / 2, intake: 1, openSends: 2, channels, ...more };
}

/** What everybody may see. */
function shown(parts: LiveParts, at: number) {
  const frame = parts.frame(at);
  if (frame === null) throw new Error('nothing was told');
  return totalsOf(frame, SHARDS, () => true, true);
}

it('counts what happened since the frame before, over all processes', () => {
  const parts = new LiveParts();
  expect(parts.frame(0)).toBeNull();
  parts.take('a', partOf(1_000, [channelOf('x', { accepted: 100, acked: 90 })]), 10);
  const first = shown(parts, 20);
  expect(first).toMatchObject({ intervalMs: null, processes: 1, complete: false, shards: { counted: 4, total: 8 } });
  expect(first).toMatchObject({ counts: { accepted: 0, acked: 0 }, acceptedPerSecond: 0, accepting: 1, openSends: 2 });
  parts.take('a', partOf(1_500, [channelOf('x', { accepted: 110, acked: 93, assumed: 1 })]), 510);
  parts.take('b', partOf(1_400, [channelOf('x', { accepted: 7 })]), 515);
  const second = shown(parts, 520);
  // What a process counted before it was first heard is of no interval.
  expect(second).toMatchObject({
    asOf: 1_400,
    intervalMs: 500,
    complete: true,
    processes: 2,
    counts: { accepted: 10, acked: 3, assumed: 1 },
    acceptedPerSecond: 20,
    settledPerSecond: 8,
    ackRate: 0.75,
  });
  parts.take('a', partOf(2_000, [channelOf('x', { accepted: 110, acked: 93, assumed: 1 })]), 1_010);
  parts.take('b', partOf(1_900, [channelOf('x', { accepted: 8 }), channelOf('y', { accepted: 5 })]), 1_015);
  const third = shown(parts, 1_020);
  // A channel that appears has been counted from 0.
  expect(third).toMatchObject({ counts: { accepted: 6 }, acceptedPerSecond: 12, ackRate: null });
  expect(third.channels.map(({ channel, counts }) => [channel, counts.accepted])).toEqual([
    ['x', 1],
    ['y', 5],
  ]);
});

it('takes rates over the time between two readings of the totals, whenever the rooms were counted', () => {
  const parts = new LiveParts();
  parts.take('a', partOf(1_000, [channelOf('x')], { readAt: 1_100 }), 0);
  shown(parts, 1);
  parts.take('a', partOf(1_600, [channelOf('x', { attempts: 10 })], { readAt: 1_600 }), 500);
  expect(shown(parts, 501)).toMatchObject({ asOf: 1_600, sentPerSecond: 20 });
});

it('takes the gaps of the interval only', () => {
  const parts = new LiveParts();
  const gaps = (short: number, long: number): number[] => {
    const counts = Array<number>(bucketOf(100) + 1).fill(0);
    counts[0] = short;
    counts[bucketOf(100)] = long;
    return counts;
  };
  parts.take('a', partOf(1_000, [channelOf('x', {}, { gaps: gaps(50, 50) })]), 0);
  shown(parts, 1);
  parts.take('a', partOf(1_500, [channelOf('x', {}, { gaps: gaps(149, 51) })]), 500);
  const { gapMs } = shown(parts, 501);
  expect(gapMs.count).toBe(100);
  expect(gapMs.p50).toBeLessThan(1);
  expect(gapMs.p99).toBeLessThanOrEqual(1);
  parts.take('a', partOf(2_000, [channelOf('x', {}, { gaps: gaps(149, 61) })]), 1_000);
  expect(shown(parts, 1_001).gapMs.p50).toBeGreaterThan(60);
});

it('shows the worst state that any process sees, and a channel of no process as stopped', () => {
  const parts = new LiveParts();
  const slowed = { state: 'slowed', reason: 'limit', until: 9, ackTimeoutMs: 4_000 } as const;
  const outage = { state: 'ack_outage', reason: 'no acks', until: null, ackTimeoutMs: 3_000 } as const;
  parts.take('a', partOf(1, [channelOf('x'), channelOf('y', {}, { condition: null })]), 0);
  parts.take('b', partOf(1, [channelOf('x', {}, { condition: slowed })]), 0);
  parts.take('c', partOf(1, [channelOf('x', {}, { condition: outage }), channelOf('y', {}, { condition: null })]), 0);
  expect(shown(parts, 1).channels).toMatchObject([
    { channel: 'x', ...slowed },
    { channel: 'y', state: 'stopped', reason: 'channel_not_configured' },
  ]);
});

it('leaves out a process that ended, or fell silent', () => {
  const parts = new LiveParts();
  parts.take('a', partOf(1, []), 0);
  parts.take('b', partOf(1, []), 1_000);
  expect(shown(parts, 1_500)).toMatchObject({ processes: 2, complete: true });
  expect(shown(parts, 2_500)).toMatchObject({ processes: 1, complete: false });
  parts.take('b', null, 2_600);
  expect(parts.frame(2_700)).toBeNull();
  parts.take('b', partOf(5, []), 2_800);
  parts.clear();
  expect(parts.frame(2_900)).toBeNull();
});

import { describe, expect, it } from 'vitest';
import {
  addActivity,
  BUCKET_BOUNDS_MS,
  bucketOf,
  newActivity,
  quantileMs,
  Tallies,
  Tally,
} from '../../src/engine/tallies.ts';
import type { Settled } from '../../src/room/events.ts';

const KEY = { tenant: 'default', channel: 'support' };

function settled(wishes: Partial<Settled> = {}): Settled {
  return {
    kind: 'settled',
    sequence: 1,
    outcome: 'acked',
    reason: 'ack',
    code: null,
    at: 1_500,
    version: 3,
    firstClaimVersion: 1,
    possiblyDelivered: false,
    deadLetter: false,
    level: 'delivered',
    levelAt: 1_490,
    platformId: null,
    platformAt: null,
    attempts: [
      { number: 1, worker: 'w', generation: 1, begunAt: 1_010, endedAt: 1_100, result: 'accepted', code: null },
    ],
    ...wishes,
  };
}

describe('buckets', () => {
  it('begin where the one before ends, and take everything', () => {
    for (const [index, bound] of BUCKET_BOUNDS_MS.entries()) {
      expect(bucketOf(bound * 0.999)).toBe(index);
      if (index + 1 < BUCKET_BOUNDS_MS.length) expect(bucketOf(bound * 1.001)).toBe(index + 1);
    }
    expect(bucketOf(0)).toBe(0);
    expect(bucketOf(-5)).toBe(0);
    expect(bucketOf(Number.NaN)).toBe(0);
    expect(bucketOf(1e15)).toBe(BUCKET_BOUNDS_MS.length - 1);
  });

  it('tell quantiles to within their width', () => {
    const tally = new Tally(KEY);
    for (let ms = 1; ms <= 1_000; ms++) tally.time('ackDelay', ms);
    const counts = tally.take()?.histograms.ackDelay ?? [];
    for (const share of [0.1, 0.5, 0.9, 0.99]) {
      const told = quantileMs(counts, share) ?? 0;
      expect(Math.abs(told / (share * 1_000) - 1)).toBeLessThan(0.05);
    }
    expect(quantileMs([], 0.5)).toBeNull();
    expect(quantileMs([0, 0, 1], 1)).toBe(2);
  });
});

describe('a tally', () => {
  it('counts what settles, how it did and how long it took', () => {
    const tally = new Tally(KEY);
    tally.settled(settled(), 1_000);
    tally.settled(settled({ outcome: 'assumed', reason: 'ack_timeout' }), 1_000);
    tally.settled(settled({ outcome: 'cancelled', reason: 'operator', attempts: [] }), null);
    const { totals, histograms } = tally.take() ?? newActivity();
    expect(totals).toMatchObject({ acked: 1, assumed: 1, cancelled: 1, timeouts: 1, failed: 0 });
    expect(histograms.acceptToSettled[bucketOf(500)]).toBe(2);
    expect(histograms.ackDelay[bucketOf(400)]).toBe(1);
    expect(histograms.ackDelay.reduce((sum, count) => sum + count, 0)).toBe(1);
  });

  it('gives everything once, and nothing where nothing was', () => {
    const tally = new Tally(KEY);
    expect(tally.take()).toBeNull();
    tally.count('accepted', 3);
    expect(tally.take()?.totals.accepted).toBe(3);
    expect(tally.take()).toBeNull();
  });

  it('knows the rates of the last 60 s, whatever is taken of it meanwhile', () => {
    const tally = new Tally(KEY);
    for (let second = 0; second < 100; second++) {
      tally.count('accepted', 2);
      tally.count(second % 10 === 0 ? 'failed' : 'acked');
      if (second % 7 === 0) tally.take();
      const { accepted, settled: all, failed } = tally.lastMinute();
      const seconds = Math.min(second + 1, 60);
      expect(accepted).toBe(2 * seconds);
      expect(all).toBe(seconds);
      if (second >= 60) expect(failed).toBe(6);
    }
  });
});

describe('tallies', () => {
  it('keep channels apart, also those of one name in two tenants', () => {
    const tallies = new Tallies();
    const other = { tenant: 'other', channel: 'support' };
    tallies.of(KEY).count('accepted');
    tallies.of(other).count('accepted', 5);
    tallies.of({ ...KEY }).count('accepted');
    expect(tallies.all().map((tally) => [tally.key, tally.take()?.totals.accepted])).toEqual([
      [KEY, 2],
      [other, 5],
    ]);
  });

  it('add up', () => {
    const sum = newActivity();
    const one = newActivity();
    one.totals.acked = 2;
    one.histograms.ackDelay.push(0, 0, 4);
    addActivity(sum, one);
    addActivity(sum, one);
    expect(sum.totals.acked).toBe(4);
    expect(sum.histograms.ackDelay).toEqual([0, 0, 8]);
  });
});

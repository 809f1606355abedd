/** The estimate of a channel's ack delays: what it promises, for any sequence of acks. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AckDelays, type AdaptiveAckTimeout } from '../../src/engine/ack-delay.ts';

const START = 1_700_000_000_000;
const X = 30_000;
const FOREVER = 1e12;
const HALF_HOUR = 1_800_000;
const SETTINGS: AdaptiveAckTimeout = { floorMs: 1, quantile: 0.9, factor: 1, halfLifeMs: FOREVER, minAcks: 10 };
/** 2^(1/8): a bucket's width. */
const BUCKET = 1.0906;

/** All at once, beginning long before the estimate is asked for. */
function estimateOf(delays: readonly number[], settings: Partial<AdaptiveAckTimeout> = {}, mostMs = X): number {
  const known = new AckDelays({ ...SETTINGS, ...settings }, mostMs);
  for (const delay of delays) known.record(delay, START);
  return known.timeoutMs(START + 2 * mostMs);
}

function quantileOf(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(share * sorted.length - 1e-9) - 1] as number;
}

const delaysUpToX = fc.array(fc.integer({ min: 1, max: X }), { minLength: 12, maxLength: 60 });

describe('the estimate', () => {
  it('is never below the true quantile and at most one bucket above it', () => {
    fc.assert(
      fc.property(delaysUpToX, fc.constantFrom(0.5, 0.9, 0.99), (delays, quantile) => {
        const ms = estimateOf(delays, { quantile });
        // Later acks weigh up to 4 % more than earlier ones here, so that the neighbours of the quantile count.
        const least = Math.min(quantileOf(delays, quantile - 0.02), X);
        const most = quantileOf(delays, Math.min(1, quantile + 0.02));
        expect(ms).toBeGreaterThanOrEqual(least);
        expect(ms).toBeLessThanOrEqual(Math.min(X, Math.ceil(most * BUCKET)));
      }),
    );
  });

  it.each([1, 2, 3, 9, 64, 100, 1_000, 2_048, 29_999])(
    'of acks that all take %d ms is that, within a bucket',
    (delay) => {
      const ms = estimateOf(Array<number>(50).fill(delay));
      expect(ms).toBeGreaterThan(delay - 1);
      expect(ms).toBeLessThanOrEqual(Math.ceil(delay * BUCKET));
    },
  );

  it('is at least the floor and never above X, whatever comes and whenever', () => {
    const step = fc.record({
      delay: fc.integer({ min: -1_000, max: 10 * X }),
      afterMs: fc.integer({ min: 0, max: 1e8 }),
    });
    const wishes = fc.record({
      floorMs: fc.integer({ min: 1, max: X }),
      quantile: fc.double({ min: 0.5, max: 0.9999, noNaN: true }),
      factor: fc.double({ min: 1, max: 10, noNaN: true }),
      halfLifeMs: fc.integer({ min: 1_000, max: 1e8 }),
      minAcks: fc.integer({ min: 10, max: 20 }),
    });
    fc.assert(
      fc.property(wishes, fc.array(step, { maxLength: 80 }), (settings, steps) => {
        const known = new AckDelays(settings, X);
        let now = START;
        for (const { delay, afterMs } of steps) {
          now += afterMs;
          known.record(delay, now);
          const ms = known.timeoutMs(now);
          expect(Number.isInteger(ms)).toBe(true);
          expect(ms).toBeGreaterThanOrEqual(settings.floorMs);
          expect(ms).toBeLessThanOrEqual(X);
        }
      }),
    );
  });

  it('does not sink where acks take longer', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: X }), fc.integer({ min: 0, max: X })), { minLength: 12 }),
        (pairs) => {
          const faster = estimateOf(pairs.map(([a, b]) => Math.min(a, b)));
          const slower = estimateOf(pairs.map(([a, b]) => Math.max(a, b)));
          expect(slower).toBeGreaterThanOrEqual(faster);
        },
      ),
    );
  });

  it('is X times nothing of what came after X: those acks no timeout could have waited for', () => {
    fc.assert(
      fc.property(
        delaysUpToX,
        fc.array(fc.integer({ min: X + 1, max: 100 * X }), { maxLength: 40 }),
        (within, beyond) => {
          expect(estimateOf([...within, ...beyond])).toBe(estimateOf(within));
        },
      ),
    );
  });

  it('times the factor is the timeout', () => {
    const delays = Array<number>(50).fill(1_000);
    expect(estimateOf(delays, { factor: 2 })).toBe(Math.ceil(2 * 2 ** (80 / 8)));
  });
});

describe('too little is known, and X holds', () => {
  it('until enough acks have come', () => {
    expect(estimateOf(Array<number>(10).fill(100))).toBe(X);
    expect(estimateOf(Array<number>(11).fill(100))).toBeLessThan(X);
  });

  it('until acks have come for twice X: fast ones are seen before slow ones', () => {
    const known = new AckDelays(SETTINGS, X);
    for (let n = 0; n < 100; n++) known.record(100, START);
    expect(known.timeoutMs(START + 2 * X - 1)).toBe(X);
    expect(known.timeoutMs(START + 2 * X + 1_000)).toBeLessThan(200);
  });

  it('once those that were known have faded', () => {
    const known = new AckDelays({ ...SETTINGS, halfLifeMs: 60_000 }, X);
    for (let n = 0; n < 100; n++) known.record(100, START);
    expect(known.timeoutMs(START + 120_000)).toBeLessThan(200);
    expect(known.timeoutMs(START + 240_000)).toBe(X);
    expect(known.count).toBeCloseTo(100 / 16, 0);
  });
});

describe('what acks weigh', () => {
  it('halves in the half-life, over any number of them and without end', () => {
    const known = new AckDelays({ ...SETTINGS, halfLifeMs: 1_000 }, X);
    let now = START;
    for (let n = 0; n < 2_000; n++) {
      known.record(100, now);
      now += 1_000;
    }
    expect(known.count).toBeCloseTo(2, 1);
    known.record(100, now + 1e9);
    expect(known.count).toBeCloseTo(1, 6);
  });

  it('is bounded: a busy channel remembers its last few thousand', () => {
    const known = new AckDelays(SETTINGS, X);
    for (let n = 0; n < 20_000; n++) known.record(100, START + n);
    expect(known.count).toBeGreaterThan(1_400);
    expect(known.count).toBeLessThan(1_500);
  });

  it('lets slow acks raise the timeout within a few dozen of them, and fast ones lower it within an hour', () => {
    const known = new AckDelays({ ...SETTINGS, quantile: 0.99, halfLifeMs: HALF_HOUR }, X);
    let now = START;
    const run = (delay: number, until: () => boolean): number => {
      let acks = 0;
      for (; !until() && acks < 100_000; acks++) {
        known.record(delay, now);
        now += 250;
      }
      return acks;
    };
    run(1_000, () => now > START + HALF_HOUR);
    expect(known.timeoutMs(now)).toBeLessThan(1_200);
    expect(run(12_000, () => known.timeoutMs(now) > 12_000)).toBeLessThan(40);
    run(12_000, () => now > START + 2 * HALF_HOUR);
    const slowSince = now;
    run(1_000, () => known.timeoutMs(now) < 1_200);
    expect(now - slowSince).toBeLessThan(3_600_000);
  });
});

import { describe, expect, test } from 'vitest';
import {
  addTo,
  compareLatency,
  count,
  type Latency,
  noLatency,
  quantileOf,
} from '../../../simulators/oracle/latency.ts';

const of = (ackToNext: readonly number[], acceptToSettle: readonly number[] = []): Latency => {
  const latency = noLatency();
  for (const ms of ackToNext) addTo(latency.ackToNext, ms);
  for (const ms of acceptToSettle) addTo(latency.acceptToSettle, ms);
  return latency;
};

const upTo = (most: number, times = 1) => Array.from({ length: most }, (_, index) => (index + 1) * times);

describe('latency', () => {
  test('has quantiles that are exact to 1 %, whatever the order', () => {
    const { ackToNext } = of(upTo(1_000).reverse());
    expect(count(ackToNext)).toBe(1_000);
    for (const share of [0.01, 0.5, 0.95, 1]) {
      const exact = 1_000 * share;
      expect(quantileOf(ackToNext, share)).toBeGreaterThanOrEqual(exact * 0.999);
      expect(quantileOf(ackToNext, share)).toBeLessThanOrEqual(exact * 1.011);
    }
    expect(quantileOf({}, 0.5)).toBeNaN();
  });

  test('is compared as a ratio, and survives JSON', () => {
    const baseline = JSON.parse(JSON.stringify(of(upTo(200), upTo(200)))) as Latency;
    const compared = compareLatency(of(upTo(200, 2), upTo(200)), baseline);
    expect(compared.map(({ what, quantile }) => `${what} ${quantile}`)).toEqual([
      'ackToNext 0.5',
      'ackToNext 0.95',
      'acceptToSettle 0.5',
      'acceptToSettle 0.95',
    ]);
    for (const { what, ratio } of compared) expect(ratio).toBeCloseTo(what === 'ackToNext' ? 2 : 1, 1);
  });

  test('of fewer than a hundred values is not compared', () => {
    expect(compareLatency(of(upTo(99)), of(upTo(200)))).toEqual([]);
    expect(compareLatency(of(upTo(200)), of(upTo(99)))).toEqual([]);
    expect(compareLatency(of(upTo(100)), of(upTo(100)))).toHaveLength(2);
  });

  test('below a millisecond is all the same', () => {
    const [compared] = compareLatency(of(Array(100).fill(0.9)), of(Array(100).fill(0.01)));
    expect(compared?.ratio).toBe(1);
  });
});

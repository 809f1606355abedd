import fc from 'fast-check';
import { expect, it } from 'vitest';
import { reconnectDelayMs } from '../../../src/adapters/redis/connection.ts';

it('is tried again soon at first, then less often, never less than every two seconds, and not by all at once', () => {
  expect([1, 2, 3, 6, 7, 1_000_000].map((times) => reconnectDelayMs(times, () => 0.999_999))).toEqual([
    50, 100, 200, 1_600, 2_000, 2_000,
  ]);
  const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(fc.integer({ min: 1 }), chances, (times, chance) => {
      const delayMs = reconnectDelayMs(times, () => chance);
      const longest = reconnectDelayMs(times, () => 1);
      expect(Number.isInteger(delayMs)).toBe(true);
      expect(delayMs).toBeGreaterThanOrEqual(longest / 2);
      expect(delayMs).toBeLessThanOrEqual(longest);
    }),
  );
});

import { describe, expect, test } from 'vitest';
import { backoffDelayMs } from '../../src/room/retry.ts';

const backoff = { initialMs: 1_000, maxMs: 60_000, factor: 2, jitter: 0 };

describe('backoffDelayMs', () => {
  test('grows by its factor up to its bound', () => {
    const delays = [1, 2, 3, 6, 7, 8, 5_000].map((used) => backoffDelayMs(backoff, used, 0.5, null));
    expect(delays).toEqual([1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000]);
  });

  test('an outage that used up no attempt waits as long as the first retry', () => {
    expect(backoffDelayMs(backoff, 0, 0, null)).toBe(1_000);
  });

  test('jitter shortens the delay by at most its share', () => {
    const jittered = { ...backoff, jitter: 0.25 };
    expect(backoffDelayMs(jittered, 2, 0, null)).toBe(2_000);
    expect(backoffDelayMs(jittered, 2, 0.5, null)).toBe(1_750);
    expect(backoffDelayMs(jittered, 2, 0.999_999, null)).toBe(1_500);
  });

  test('what the platform asks for is never cut short, and never shortens the delay', () => {
    expect(backoffDelayMs(backoff, 1, 0.5, 90_000)).toBe(90_000);
    expect(backoffDelayMs(backoff, 3, 0.5, 100)).toBe(4_000);
  });
});

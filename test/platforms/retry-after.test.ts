import { describe, expect, it } from 'vitest';
import { boundedWait, MAX_RETRY_AFTER_MS, parseRetryAfter } from '../../src/platforms/retry-after.ts';

const NOW_MS = Date.UTC(2026, 0, 1);

describe('parseRetryAfter', () => {
  it.each<[string, string | string[] | undefined, number | null]>([
    ['nothing', undefined, null],
    ['an empty text', '', null],
    ['seconds', '120', 120_000],
    ['seconds with spaces around them', ' 120 ', 120_000],
    ['a fraction', '1.5', null],
    ['an exponent', '1e3', null],
    ['the preferred date form', 'Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
    ['the obsolete date form', 'Thursday, 01-Jan-26 00:01:00 GMT', 60_000],
    ['a date of another zone', 'Thu, 01 Jan 2026 00:01:00 CET', null],
    ['an ISO date', '2026-01-01T00:01:00Z', null],
    ['the same twice', ['1', '1'], null],
  ])('reads %s', (_what, header, expected) => {
    expect(parseRetryAfter(header, NOW_MS)).toBe(expected);
  });

  it('is quick with endless texts', () => {
    const startedAt = performance.now();
    for (const header of ['1'.repeat(16_000), `Thu, ${' '.repeat(16_000)}`, `${'a'.repeat(16_000)}, GMT`]) {
      expect(parseRetryAfter(header, NOW_MS)).toBeNull();
    }
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});

describe('boundedWait', () => {
  it.each<[unknown, number | null]>([
    [1.2, 2],
    [MAX_RETRY_AFTER_MS + 1, MAX_RETRY_AFTER_MS],
    [0, null],
    [-1, null],
    [Number.NaN, null],
    [Number.POSITIVE_INFINITY, null],
    ['5', null],
    [null, null],
  ])('%s gives %s', (wish, expected) => {
    expect(boundedWait(wish)).toBe(expected);
  });
});

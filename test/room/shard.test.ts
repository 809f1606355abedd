import { describe, expect, test } from 'vitest';
import { handOverLimitMs, LEASE_MARGIN_MS, outlives, shardOf, trustedUntil } from '../../src/room/shard.ts';

const KEYS = 100_000;

/** How unevenly 100,000 rooms fall on the shards, as a share of what chance alone would give (chi-squared per bucket). */
function unevenness(shards: number, name: (n: number) => string): { spread: number; fullest: number; empty: number } {
  const counts = new Array<number>(shards).fill(0);
  for (let n = 0; n < KEYS; n++) {
    const shard = shardOf({ tenant: 'default', channel: 'whatsapp-1', room: name(n) }, shards);
    counts[shard] = (counts[shard] ?? Number.NaN) + 1;
  }
  const mean = KEYS / shards;
  const spread = counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0) / shards;
  return { spread, fullest: Math.max(...counts), empty: counts.filter((count) => count === 0).length };
}

describe('shardOf', () => {
  test('is fixed: a room never moves to another bucket', () => {
    const shards = ['+4915112345678', 'room-1', 'café ☕', ''].map((room) =>
      shardOf({ tenant: 'default', channel: 'whatsapp-1', room }, 4_096),
    );
    expect(shards).toEqual([1526, 3913, 3252, 3280]);
  });

  test('every part of the key counts, and where it ends', () => {
    const keys = [
      { tenant: 'a', channel: 'b', room: 'c' },
      { tenant: 'ab', channel: '', room: 'c' },
      { tenant: 'a', channel: 'bc', room: '' },
      { tenant: '', channel: 'ab', room: 'c' },
      { tenant: 'c', channel: 'b', room: 'a' },
    ];
    expect(new Set(keys.map((key) => shardOf(key, 2 ** 31))).size).toBe(keys.length);
  });

  test.each([
    ['numbered rooms', (n: number) => `room-${n}`],
    ['phone numbers', (n: number) => `+49151${String(n * 37).padStart(8, '0')}`],
    ['numbers alone', (n: number) => String(n)],
  ])('%s spread over 4,096 shards as chance would', (_, name) => {
    const { spread, fullest, empty } = unevenness(4_096, name);
    // 24.4 rooms a shard; for a fair hash the sum per shard is 1 ± 0.022 (one standard deviation).
    expect(spread).toBeGreaterThan(0.85);
    expect(spread).toBeLessThan(1.15);
    expect(fullest).toBeLessThan(55);
    expect(empty).toBe(0);
  });

  test('few shards, and one, get their share', () => {
    expect(unevenness(3, (n) => `room-${n}`).fullest).toBeLessThan(34_000);
    expect(shardOf({ tenant: 'a', channel: 'b', room: 'c' }, 1)).toBe(0);
  });
});

describe('a lease', () => {
  const lease = { renewedAtMonotonicMs: 10_000, lifeMs: 10_000 };

  test('is trusted for less than its stored life, from before its renewal was sent', () => {
    expect(trustedUntil(lease)).toBe(20_000 - LEASE_MARGIN_MS);
  });

  test('a short one keeps back a tenth', () => {
    expect(trustedUntil({ renewedAtMonotonicMs: 0, lifeMs: 500 })).toBe(450);
  });

  test('a send begins only if the lease outlives it', () => {
    const until = trustedUntil(lease);
    expect(outlives(lease, until - 5_000, 5_000)).toBe(true);
    expect(outlives(lease, until - 4_999, 5_000)).toBe(false);
    expect(outlives(lease, until + 1, 0)).toBe(false);
  });

  test.each([100, 2_000, 4_750])('leaves time to hand a shard over, with renewals every %i ms', (renewEveryMs) => {
    const longestSendMs = lease.lifeMs - renewEveryMs - 500;
    const begunMs = renewEveryMs + lease.lifeMs / 10;
    expect(handOverLimitMs(lease.lifeMs) - (begunMs + longestSendMs)).toBe(1_500);
  });
});

import { describe, expect, test, vi } from 'vitest';
import { createSystemClock } from '../../src/adapters/system-clock.ts';

/** A clock over a monotonic time that the test moves; the machine's wall clock stands at 500,000. */
function setup() {
  const time = { monotonic: 1_000 };
  const clock = createSystemClock({ monotonic: () => time.monotonic, wall: () => 500_000 });
  const pass = (ms: number): void => {
    time.monotonic += ms;
  };
  /** A sample that took no time. */
  const sample = (databaseTimeMs: number): void => clock.synchronize(databaseTimeMs, time.monotonic, time.monotonic);
  return { clock, time, pass, sample };
}

describe('the system clock', () => {
  test('is the wall clock until its first sample, then the database’s, wherever that is', () => {
    const { clock, pass, sample } = setup();
    pass(250);
    expect(clock.now()).toBe(500_250);
    sample(90_000);
    expect(clock.now()).toBe(90_000);
    pass(1_500);
    expect(clock.now()).toBe(91_500);
    expect(clock.monotonic()).toBe(2_750);
  });

  test('the first sample is placed in the middle of its round trip', () => {
    const { clock, time, pass } = setup();
    pass(100);
    clock.synchronize(90_000, 1_000, 1_100);
    expect(clock.now()).toBe(90_050);
    expect(time.monotonic).toBe(1_100);
  });

  test('a sample ahead is taken over at once', () => {
    const { clock, pass, sample } = setup();
    sample(90_000);
    pass(2_000);
    sample(92_300);
    expect(clock.now()).toBe(92_300);
  });

  test('a sample behind slows it down and never sets it back', () => {
    const { clock, pass, sample } = setup();
    sample(90_000);
    pass(2_000);
    sample(91_900);
    const readings = [clock.now()];
    for (let i = 0; i < 4; i++) {
      pass(100);
      readings.push(clock.now());
    }
    // 100 ms ahead are caught up within 200 ms, at half the speed.
    expect(readings).toEqual([92_000, 92_050, 92_100, 92_200, 92_300]);
  });

  test('further samples behind, while it slows down, do not set it back either', () => {
    const { clock, pass, sample } = setup();
    sample(90_000);
    let last = clock.now();
    for (let i = 1; i <= 200; i++) {
      pass(10);
      sample(90_000 + i * 9);
      expect(clock.now()).toBeGreaterThanOrEqual(last);
      last = clock.now();
    }
    expect(last - (90_000 + 200 * 9)).toBeLessThan(5);
  });

  test('a slow sample that contradicts nothing changes nothing', () => {
    const { clock, time, pass, sample } = setup();
    sample(90_000);
    pass(3_000);
    // Read somewhere in the last second: any time from 92,000 to 93,000 is right.
    clock.synchronize(92_400, time.monotonic - 1_000, time.monotonic);
    expect(clock.now()).toBe(93_000);
  });

  test('tells whole milliseconds', () => {
    const { clock, pass, sample } = setup();
    sample(90_000);
    pass(0.9);
    expect(clock.now()).toBe(90_000);
  });

  test('a timer fires once, also beyond what the runtime can count, and not when cancelled', () => {
    vi.useFakeTimers();
    try {
      const { clock } = setup();
      const days = 24 * 3_600_000;
      const fired: string[] = [];
      clock.after(5, () => fired.push('soon'));
      clock.after(60 * days, () => fired.push('late'));
      const cancel = clock.after(50 * days, () => fired.push('cancelled'));
      vi.advanceTimersByTime(5);
      expect(fired).toEqual(['soon']);
      vi.advanceTimersByTime(40 * days);
      cancel();
      vi.advanceTimersByTime(20 * days - 6);
      expect(fired).toEqual(['soon']);
      vi.advanceTimersByTime(1);
      expect(fired).toEqual(['soon', 'late']);
    } finally {
      vi.useRealTimers();
    }
  });
});

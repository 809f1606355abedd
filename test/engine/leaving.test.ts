import { describe, expect, it } from 'vitest';
import { LEAVE_EVERY_MS, LeavingPace } from '../../src/engine/leaving.ts';

const LEASE_MS = 10_000;

/** Lets all of them leave, a step at a time, and tells how many began at which ms. */
function leave(count: number, stepMs: number, pace: LeavingPace): [number, number][] {
  const clock = clockOf(pace);
  const from = clock.now;
  const steps: [number, number][] = [];
  let waiting = Array.from({ length: count }, (_, shard) => shard);
  for (;;) {
    const begun = pace.next(waiting);
    expect(begun).toEqual(waiting.slice(0, begun.length));
    if (begun.length > 0) steps.push([clock.now - from, begun.length]);
    waiting = waiting.slice(begun.length);
    expect(pace.more).toBe(waiting.length > 0);
    if (waiting.length === 0) return steps;
    clock.now += stepMs;
  }
}

class Clock {
  now = 1_000_000;
  monotonic(): number {
    return this.now;
  }
}

const clocks = new WeakMap<LeavingPace, Clock>();

function paceOf(): LeavingPace {
  const clock = new Clock();
  const pace = new LeavingPace(clock, LEASE_MS);
  clocks.set(pace, clock);
  return pace;
}

function clockOf(pace: LeavingPace): Clock {
  return clocks.get(pace) as Clock;
}

describe('shards that leave', () => {
  it('do so at once where they are few', () => {
    expect(leave(64, LEAVE_EVERY_MS, paceOf())).toEqual([[0, 64]]);
    expect(paceOf().next([])).toEqual([]);
  });

  it('do so a few at a time where they are many, evenly', () => {
    const steps = leave(1_024, LEAVE_EVERY_MS, paceOf());
    expect(steps.map(([at]) => at)).toEqual(steps.map((_, index) => index * LEAVE_EVERY_MS));
    expect(Math.max(...steps.map(([, count]) => count))).toBe(64);
  });

  it.each([
    [65_536, LEAVE_EVERY_MS],
    [65_536, 5],
    [4_096, 170],
    [1_024, 700],
  ])('have all begun within a tenth of a lease and a step: %i, a step of %i ms', (count, stepMs) => {
    const steps = leave(count, stepMs, paceOf());
    expect(steps.reduce((sum, [, begun]) => sum + begun, 0)).toBe(count);
    expect(steps.at(-1)?.[0]).toBeLessThanOrEqual(LEASE_MS / 10 + stepMs);
    expect(Math.max(...steps.slice(1).map(([, begun]) => begun))).toBeLessThanOrEqual(
      Math.max(64, Math.ceil((1.4 * count * Math.max(stepMs, LEAVE_EVERY_MS)) / (LEASE_MS / 10))),
    );
  });

  it('take their time anew when more of them come later', () => {
    const pace = paceOf();
    leave(1_024, LEAVE_EVERY_MS, pace);
    clockOf(pace).now += 60_000;
    expect(pace.next([])).toEqual([]);
    expect(leave(1_024, LEAVE_EVERY_MS, pace)).toHaveLength(16);
  });
});

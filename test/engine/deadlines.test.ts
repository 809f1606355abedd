import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Deadlines } from '../../src/engine/deadlines.ts';
import type { Clock } from '../../src/engine/ports.ts';
import { START, SteppedTime } from '../support/engine.ts';

/** Deadlines on stepped time, whose engine time may jump ahead. */
function setup() {
  const time = new SteppedTime();
  let jumpedMs = 0;
  const clock: Clock = {
    now: () => time.now + jumpedMs,
    monotonic: () => time.now,
    after: (delayMs, callback) => time.after(delayMs, callback),
  };
  const due: { readonly id: number; readonly at: number; readonly lateMs: number }[] = [];
  const deadlines = new Deadlines(clock, (id, lateMs) => due.push({ id, at: clock.now() - lateMs, lateMs }));
  return {
    time,
    deadlines,
    due,
    jump: (ms: number) => {
      jumpedMs += ms;
    },
  };
}

describe('deadlines', () => {
  it('fire like a sorted list of each room’s latest deadline, with one timer for all', async () => {
    const step = fc.oneof(
      fc.record({
        type: fc.constant('set' as const),
        id: fc.integer({ min: 1, max: 12 }),
        inMs: fc.integer({ min: -50, max: 400 }),
      }),
      fc.record({ type: fc.constant('unset' as const), id: fc.integer({ min: 1, max: 12 }) }),
      fc.record({ type: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 150 }) }),
      fc.record({ type: fc.constant('clear' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 120 }), async (steps) => {
        const { time, deadlines, due } = setup();
        const model = new Map<number, number>();
        const expected: { id: number; at: number }[] = [];
        for (const one of steps) {
          if (one.type === 'set') {
            deadlines.set(one.id, time.now + one.inMs);
            model.set(one.id, time.now + one.inMs);
          } else if (one.type === 'unset') {
            deadlines.set(one.id, null);
            model.delete(one.id);
          } else if (one.type === 'clear') {
            deadlines.clear();
            model.clear();
          } else {
            const from = due.length;
            await time.advance(one.ms);
            const now = [...model].filter(([, at]) => at <= time.now).map(([id, at]) => ({ id, at }));
            for (const { id } of now) model.delete(id);
            expected.push(...now.sort((a, b) => a.at - b.at));
            const fired = due.slice(from).map(({ at }) => at);
            expect(fired).toEqual([...fired].sort((a, b) => a - b));
          }
          expect(time.pending).toBeLessThanOrEqual(1);
          expect(deadlines.size).toBe(model.size);
        }
        const byRoom = (a: { id: number; at: number }, b: { id: number; at: number }) => a.at - b.at || a.id - b.id;
        expect(due.map(({ id, at }) => ({ id, at })).sort(byRoom)).toEqual(expected.sort(byRoom));
      }),
      { numRuns: 200 },
    );
  });

  it('fire at their time and not before', async () => {
    const { time, deadlines, due } = setup();
    deadlines.set(1, START + 500);
    await time.advance(499);
    expect(due).toEqual([]);
    await time.advance(1);
    expect(due).toEqual([{ id: 1, at: START + 500, lateMs: 0 }]);
    expect(time.pending).toBe(0);
  });

  it('tell how late they are where engine time has jumped ahead', async () => {
    const { time, deadlines, due, jump } = setup();
    deadlines.set(1, START + 500);
    jump(700);
    await time.advance(500);
    expect(due).toEqual([{ id: 1, at: START + 500, lateMs: 700 }]);
  });

  it('may be set again from the call that says they are due', async () => {
    const time = new SteppedTime();
    const clock: Clock = { now: () => time.now, monotonic: () => time.now, after: (ms, run) => time.after(ms, run) };
    const at: number[] = [];
    const deadlines: Deadlines = new Deadlines(clock, (id) => {
      at.push(time.now - START);
      if (at.length < 3) deadlines.set(id, time.now + 100);
    });
    deadlines.set(1, START + 100);
    await time.advance(1_000);
    expect(at).toEqual([100, 200, 300]);
  });

  it('drop what was set over, so that a room that is set again and again leaves few timers behind', async () => {
    const time = new SteppedTime();
    let timers = 0;
    const due: number[] = [];
    const after: Clock['after'] = (ms, run) => {
      timers++;
      return time.after(ms, run);
    };
    const deadlines = new Deadlines({ now: () => time.now, monotonic: () => time.now, after }, (id) => due.push(id));
    for (let n = 0; n < 10_000; n++) deadlines.set(1, START + 60_000 + n);
    await time.advance(70_000);
    expect(due).toEqual([1]);
    expect(deadlines.has(1)).toBe(false);
    expect(timers).toBeLessThan(200);
  });
});

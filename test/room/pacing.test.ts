import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { debtAfter, withinLimitFrom } from '../../src/room/pacing.ts';
import { headEnvelope, type RoomLimit } from '../../src/room/room.ts';
import { transition } from '../../src/room/transition.ts';
import {
  ack,
  append,
  deadline,
  emptyRoom,
  envelopeOf,
  operator,
  pause,
  permit,
  policyOf,
  refused,
  resume,
  after as roomAfter,
  START,
} from '../support/rooms.ts';

const limits: fc.Arbitrary<RoomLimit> = fc.record({
  everyMs: fc.integer({ min: 1, max: 10_000 }),
  burst: fc.integer({ min: 1, max: 50 }),
});

/** When attempts begin that ask at these times and wait as long as they must. */
function begun(limit: RoomLimit, asked: readonly number[]): number[] {
  let debtUntil = 0;
  let now = START;
  return asked.map((waitMs) => {
    now = Math.max(now + waitMs, withinLimitFrom(limit, debtUntil));
    debtUntil = debtAfter(limit, debtUntil, now);
    return now;
  });
}

describe('the limit on a room', () => {
  test('lets a burst through at once, and then one in its time', () => {
    const limit = { everyMs: 6_000, burst: 3 };
    expect(begun(limit, [0, 0, 0, 0, 0])).toEqual([START, START, START, START + 6_000, START + 12_000]);
  });

  test('gives credit back with time, never more than the burst', () => {
    const limit = { everyMs: 6_000, burst: 2 };
    expect(begun(limit, [0, 0, 6_000, 0, 600_000, 0, 0]).map((at) => at - START)).toEqual([
      0, 0, 6_000, 12_000, 612_000, 612_000, 618_000,
    ]);
  });

  test('in no stretch of time lets more through than its burst and what that time is worth', () => {
    fc.assert(
      fc.property(limits, fc.array(fc.nat(20_000), { minLength: 2, maxLength: 80 }), (limit, asked) => {
        const times = begun(limit, asked);
        for (const [i, from] of times.entries()) {
          for (const [j, to] of times.entries()) {
            if (j < i) continue;
            expect(j - i + 1).toBeLessThanOrEqual(limit.burst + (to - from) / limit.everyMs);
          }
        }
      }),
    );
  });

  test('keeps nobody longer than it must: what would have kept within it a millisecond earlier did begin then', () => {
    fc.assert(
      fc.property(limits, fc.array(fc.nat(20_000), { minLength: 2, maxLength: 80 }), (limit, asked) => {
        const times = begun(limit, asked);
        for (const [j, at] of times.entries()) {
          const waited = j > 0 && at > (times[j - 1] as number) + (asked[j] as number);
          if (!waited) continue;
          const early = times.slice(0, j).map((from, i) => j - i + 1 > limit.burst + (at - 1 - from) / limit.everyMs);
          expect(early).toContain(true);
        }
      }),
    );
  });

  test('of 0 is none', () => {
    expect(begun({ everyMs: 0, burst: 1 }, [0, 0, 0])).toEqual([START, START, START]);
    expect(debtAfter({ everyMs: 0, burst: 1 }, 7, START)).toBe(7);
    // A debt from when there was one keeps nobody.
    expect(withinLimitFrom({ everyMs: 0, burst: 1 }, START + 7)).toBe(0);
  });
});

describe('a room with a limit', () => {
  const policy = policyOf({ roomLimit: { everyMs: 1_000, burst: 1 } });
  const queue = [1, 2, 3].map((sequence) => envelopeOf(sequence, { policy }));
  const sending = roomAfter(emptyRoom(), START, append(...queue), permit);

  test('owes for each attempt', () => {
    expect(sending.debtUntil).toBe(START + 1_000);
    expect(roomAfter(sending, START + 400, ack(1)).debtUntil).toBe(START + 1_000);
  });

  test('holds its next head until the limit lets it go, to the millisecond', () => {
    const next = roomAfter(sending, START + 400, ack(1));
    expect(next).toMatchObject({ phase: 'waiting', reason: 'limit', until: START + 1_000 });
    expect(transition(next, permit, START + 999).verdict.kind).toBe('ignored');
    expect(roomAfter(next, START + 1_000, permit)).toMatchObject({ phase: 'sending', debtUntil: START + 2_000 });
  });

  test('goes on at once where the ack took longer than the limit', () => {
    expect(roomAfter(sending, START + 1_000, ack(1))).toMatchObject({ phase: 'ready', until: null });
  });

  test('waits for what lasts longest, and says which', () => {
    const later = { ...queue[1], notBefore: START + 5_000 } as (typeof queue)[number];
    const room = roomAfter(emptyRoom(), START, append(queue[0] as (typeof queue)[number], later), permit, ack(1));
    expect(room).toMatchObject({ reason: 'not_before', until: START + 5_000 });
    const gap = policyOf({ roomLimit: { everyMs: 1_000, burst: 1 }, minGapMs: 1_000 });
    const both = [1, 2].map((sequence) => envelopeOf(sequence, { policy: gap }));
    expect(roomAfter(emptyRoom(), START, append(...both), permit, ack(1))).toMatchObject({ reason: 'limit' });
  });

  test('owes for repeated attempts, too, and never for a message that had none', () => {
    const slow = envelopeOf(1, { policy: policyOf({ roomLimit: { everyMs: 3_000, burst: 1 } }) });
    const again = roomAfter(emptyRoom(), START, append(slow), permit, refused(1));
    expect(again).toMatchObject({ phase: 'backing_off', until: START + 1_000 });
    expect(roomAfter(again, START + 1_000, deadline())).toMatchObject({ reason: 'limit', until: START + 3_000 });
    const cancelled = roomAfter(sending, START, operator('cancel', 2), ack(1));
    expect(cancelled).toMatchObject({ settled: 2, reason: 'limit', until: START + 1_000, debtUntil: START + 1_000 });
  });

  test('keeps its debt over a pause', () => {
    const paused = roomAfter(sending, START, ack(1), pause);
    expect(roomAfter(paused, START + 10, resume)).toMatchObject({ phase: 'waiting', until: START + 1_000 });
    expect(roomAfter(paused, START + 1_000, resume)).toMatchObject({ phase: 'ready' });
  });

  test('of a head whose envelope is not loaded decides nothing: the claim looks again', () => {
    const unloaded = { ...roomAfter(sending, START + 400, ack(1)), phase: 'ready', reason: null, until: null } as const;
    const room = { ...unloaded, envelopes: [] };
    expect(headEnvelope(room)).toBeNull();
    expect(transition(room, permit, START + 400).verdict).toEqual({ kind: 'ignored', reason: 'envelope_missing' });
    expect(roomAfter(unloaded, START + 400, permit)).toMatchObject({ phase: 'waiting', reason: 'limit' });
  });
});

import type { DemoVerdict } from '../../../simulators/demo/verdict.ts';
import type { Verdict } from '../../../simulators/oracle/types.ts';

/** A run of 10 rooms with 4 messages each. */
export const RUN = { run: 'test', rooms: 10, messagesPerRoom: 4, seed: 1 } as const;

type Change = { readonly [K in keyof Verdict]?: Verdict[K] extends object ? Partial<Verdict[K]> : Verdict[K] };

/** What the oracle says of that run when nothing goes wrong, changed in these places. */
export function verdictOf(change: Change): Verdict {
  const fine: Verdict = {
    clean: true,
    checks: [],
    broken: {},
    violations: [],
    rooms: 10,
    messages: {
      published: 40,
      accepted: 40,
      reachedPlatform: 40,
      shown: 40,
      lost: 0,
      outcomes: { acked: 35, assumed: 5 },
      orderProven: 0.875,
    },
    receipts: { total: 40, refused: 0, unknownOutcomes: 0, strangers: 0 },
    duplicates: {
      extraReceipts: 0,
      explained: 0,
      unexplained: 0,
      allowed: 0,
      because: { unknown: 0, recorded: 0, takenOver: 0 },
      shown: 0,
    },
    lateCopies: { held: 0, stale: 0, unexplained: 0, first: 0 },
    swaps: { total: 0, afterAcked: 0, afterAssumed: 0, afterOther: 0, rooms: 0 },
    webhooks: { calls: 70, forged: 0, forgedAccepted: 0, validRefused: 0, kept: 0 },
    progress: { pending: 0, stuckRooms: 0 },
    latency: { ackToNext: {}, acceptToSettle: {} },
    time: { firstReceiptAt: 10, lastShownAt: 12_345, durationMs: 12_335 },
    faults: { status_lost_delivered: 5 },
  };
  const merged = Object.entries(change).map(([name, value]) => {
    const before = fine[name as keyof Verdict];
    return [name, isPlain(before) && isPlain(value) ? { ...before, ...value } : value];
  });
  return { ...fine, ...Object.fromEntries(merged) };
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A verdict as it is printed: figures of several lengths. */
export const PRINTED: DemoVerdict = {
  clean: true,
  problems: [],
  run: 'test',
  rooms: 1_000,
  messagesPerRoom: 10,
  seed: 1,
  roomline: {
    messages: 10_000,
    durationMs: 37_412,
    swaps: 21,
    roomsWithSwaps: 20,
    lost: 0,
    duplicates: 2,
    swapsAfterAcked: 0,
    swapsAfterAssumed: 21,
    unknownOutcomes: 2,
    acksLost: 1_210,
    outcomes: { acked: 8_743, assumed: 1_257 },
    orderProven: 0.8749,
    violationsR2: 0,
    violationsR3: 0,
    broken: {},
    violations: [],
  },
  everythingAtOnce: {
    messages: 10_000,
    durationMs: 19_161,
    swaps: 7_004,
    roomsWithSwaps: 1_000,
    lost: 0,
    duplicates: 0,
  },
  fixedPause: { messages: 10_000, durationMs: 9_640, swaps: 1_132, roomsWithSwaps: 763, lost: 0, duplicates: 0 },
};

/**
 * The bound: when a perfect sender, that knows every arrival, waits for no answer and no ack and is bound by the
 * platform's limits alone, has sent its last message. Nobody can be earlier, whatever order it chooses:
 *
 *   room     r(k) = max(a(k), T(k-1) - (B-1)·E),   T(k) = max(T(k-1), r(k)) + E     for the k-th message of a room
 *            a: published; E: ms per message to one user, B: burst on credit; r: no message k of the room may go before
 *   number   s(i) = past the gap: max(r(i), U(i-1) - (b-1)·e),   U(i) = max(U(i-1), s(i)) + e     over all, sorted by r
 *            e: ms per message of the number, b: its burst; what falls into [revoked.from, revoked.to) goes at its end
 *   bound    max over i of s(i)
 *
 * The number's limit sees only how many messages are ready by when, so that sorting by r loses nothing.
 *
 * A sender that keeps rooms in order cannot reach it: a long queue in one room takes its acks' time, one by one. The
 * second bound adds that, and nothing else: w(k) is how long message k was waited for after the platform had taken it.
 *
 *   room     q(k) = past the gap: max(r(k), q(k-1) + w(k-1))
 *   ordered  max(bound, max over all of q(k))
 */
import type { NumberLimits } from './limits.ts';
import type { Load } from './load.ts';
import { isWithin, type Window } from './options.ts';

export interface Bound {
  /** When the last message has been sent, in ms since the opening. */
  readonly lastMs: number;
  /** The same for the rooms' own limits alone, as if the number had none. */
  readonly roomsMs: number;
  /** When the perfect sender sends its first, second … message. */
  readonly sentMs: Float64Array;
}

export function boundOf(load: Load, limits: NumberLimits, revoked: Window): Bound {
  const { count, rooms } = load;
  const { pairEveryMs, pairBurst, perSecond, burst } = limits;
  const paidAt = new Float64Array(rooms).fill(Number.NEGATIVE_INFINITY);
  const ready = new Float64Array(count);
  let roomsMs = 0;
  for (let message = 0; message < count; message++) {
    const room = load.room[message] as number;
    const before = paidAt[room] as number;
    const at = Math.max(load.at[message] as number, before - (pairBurst - 1) * pairEveryMs);
    paidAt[room] = Math.max(before, at) + pairEveryMs;
    ready[message] = at;
    roomsMs = Math.max(roomsMs, past(revoked, at));
  }
  ready.sort();
  const everyMs = 1_000 / perSecond;
  let numberPaidAt = Number.NEGATIVE_INFINITY;
  const sentMs = ready.map((at) => {
    const sent = past(revoked, Math.max(at, numberPaidAt - (burst - 1) * everyMs));
    numberPaidAt = Math.max(numberPaidAt, sent) + everyMs;
    return sent;
  });
  return { lastMs: sentMs.at(-1) ?? 0, roomsMs, sentMs };
}

/** @param waitMs how long each message was waited for; NaN where it never settled */
export function orderedBoundMs(load: Load, limits: NumberLimits, revoked: Window, waitMs: Float64Array): number {
  const { count, rooms } = load;
  const { pairEveryMs, pairBurst } = limits;
  const paidAt = new Float64Array(rooms).fill(Number.NEGATIVE_INFINITY);
  const freeAt = new Float64Array(rooms);
  let lastMs = 0;
  for (let message = 0; message < count; message++) {
    const room = load.room[message] as number;
    const before = paidAt[room] as number;
    const within = before - (pairBurst - 1) * pairEveryMs;
    const at = past(revoked, Math.max(load.at[message] as number, within, freeAt[room] as number));
    paidAt[room] = Math.max(before, at) + pairEveryMs;
    freeAt[room] = at + (waitMs[message] || 0);
    lastMs = Math.max(lastMs, at);
  }
  return lastMs;
}

function past(gap: Window, at: number): number {
  return isWithin(gap, at) ? gap.to : at;
}

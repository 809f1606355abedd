/** How much one end user may be sent, by the generic cell rate algorithm: exact, and one number of state. */
import type { RoomLimit } from './room.ts';

/** From when on an attempt keeps within the limit, with a debt that is paid back at `debtUntil`. */
export function withinLimitFrom(limit: RoomLimit, debtUntil: number): number {
  return limit.everyMs === 0 ? 0 : debtUntil - (limit.burst - 1) * limit.everyMs;
}

/** The debt after an attempt at `now`. */
export function debtAfter(limit: RoomLimit, debtUntil: number, now: number): number {
  return limit.everyMs === 0 ? debtUntil : Math.max(debtUntil, now) + limit.everyMs;
}

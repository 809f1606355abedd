/** What one virtual hour is made of. Times are virtual ms since the number opened, unless a name says otherwise. */

export interface HourOptions {
  readonly seed: number;
  readonly minutes: number;
  /** Of the number's limit and of the load on it, alike. */
  readonly scale: number;
  readonly processes: number;
  /** The minute in which one process is killed; it is back soon after. Null: none is. */
  readonly killAtMinute: number | null;
  /** How often a holder looks over its rooms; null: as configured. */
  readonly sweepEveryMs: number | null;
  readonly outages: boolean;
  /** `spread`: each message of a burst goes to a room of its own: the same load, and nothing to throttle. */
  readonly bursts: 'in_one_room' | 'spread' | 'none';
}

export interface Window {
  readonly from: number;
  readonly to: number;
}

export interface Schedule {
  /** Messages are published from 0 to here. */
  readonly lengthMs: number;
  /** Statuses are held and told in one go when it is over. */
  readonly ackOutage: Window;
  /** Every request is refused: the token is revoked. */
  readonly revoked: Window;
}

/** Of an hour: ten minutes without statuses, and later five with a revoked token. */
export function scheduleOf({ minutes, outages }: HourOptions): Schedule {
  const lengthMs = minutes * 60_000;
  if (!outages) {
    const never = { from: Number.POSITIVE_INFINITY, to: Number.POSITIVE_INFINITY };
    return { lengthMs, ackOutage: never, revoked: never };
  }
  return {
    lengthMs,
    ackOutage: { from: lengthMs / 6, to: lengthMs / 3 },
    revoked: { from: (lengthMs * 7) / 12, to: (lengthMs * 8) / 12 },
  };
}

export function isWithin({ from, to }: Window, at: number): boolean {
  return at >= from && at < to;
}

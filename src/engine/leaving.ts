/**
 * How fast shards are given up. The rooms of a shard that leaves stand still until its heir has read them; of many shards
 * at once, those that are read last would stand still for as long as it takes to read them all. So they leave a few at a
 * time, and the others go on meanwhile. All have begun soon enough for the longest send to end before the hand-over is
 * due (`handOverLimitMs`), although the owner may hear of the plan with its next renewal only.
 */
import type { Clock } from './ports.ts';

/** From one step to the next. */
export const LEAVE_EVERY_MS = 40;
/** As many leave in one step in any case. */
const AT_ONCE = 64;
/** The part of a lease in which all have begun to leave. */
const LEASE_PART = 1 / 10;

export class LeavingPace {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #leaseMs: number;
  #begunAt: number | null = null;
  #steppedAt = Number.NEGATIVE_INFINITY;
  #more = false;

  constructor(clock: Pick<Clock, 'monotonic'>, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  /** Some wait for the next step. */
  get more(): boolean {
    return this.#more;
  }

  /** Those that begin to leave now, of all that wait for that. */
  next(waiting: readonly number[]): readonly number[] {
    const now = this.#clock.monotonic();
    if (waiting.length === 0) this.#begunAt = null;
    else this.#begunAt ??= now;
    const spreadMs = this.#leaseMs * LEASE_PART;
    const count = this.#begunAt === null ? 0 : this.#count(waiting.length, this.#begunAt, spreadMs, now);
    this.#more = count < waiting.length;
    return waiting.slice(0, count);
  }

  #count(waiting: number, begunAt: number, spreadMs: number, now: number): number {
    const sinceMs = now - this.#steppedAt;
    if (sinceMs < LEAVE_EVERY_MS) return 0;
    this.#steppedAt = now;
    // Where steps take long, the next one does so, too.
    const stepMs = sinceMs <= spreadMs ? sinceMs : LEAVE_EVERY_MS;
    const leftMs = begunAt + spreadMs - now;
    return leftMs <= stepMs ? waiting : Math.max(AT_ONCE, Math.ceil((waiting * stepMs) / leftMs));
  }
}

/**
 * Whether the database's clock runs as ours does. Leases are judged by it: after it was set, ahead or back, one that seems
 * to have ended says nothing about its worker, until every live worker has renewed or lost its own.
 */

/** What two clocks may differ by without one of them having been set, between two looks, in ms. */
const TOLERANCE_MS = 250;

export class DatabaseClock {
  /** The least and the most that it can have been ahead of our monotonic clock at the last look. */
  #ahead: { readonly least: number; readonly most: number } | null = null;
  /** Monotonic ms up to which no lease is judged; null while there was never a reason. */
  #doubtedUntil: number | null = null;

  /**
   * One look: it read `databaseTimeMs` between two instants of our monotonic clock.
   * @returns by how many ms it was set since the last look, at least; 0 where it was not
   */
  look(databaseTimeMs: number, sentAtMs: number, receivedAtMs: number): number {
    const before = this.#ahead;
    const now = { least: databaseTimeMs - receivedAtMs, most: databaseTimeMs - sentAtMs };
    this.#ahead = now;
    if (before === null) return 0;
    if (now.least > before.most + TOLERANCE_MS) return now.least - before.most;
    if (now.most < before.least - TOLERANCE_MS) return now.most - before.least;
    return 0;
  }

  doubt(untilMs: number): void {
    this.#doubtedUntil = untilMs;
  }

  /** There was a reason once not to trust it, and the time to wait after that has passed or not. */
  get wasDoubted(): boolean {
    return this.#doubtedUntil !== null;
  }

  /** Until leases may be judged again, in ms; 0 or less where they may. */
  doubtedForMs(nowMs: number): number {
    return (this.#doubtedUntil ?? nowMs) - nowMs;
  }
}

/**
 * Whether the store does what a worker is there for. Renewals have a connection of their own: a worker whose other
 * connections fail keeps its lease and its shards, and does nothing in them.
 */
import type { Clock } from './ports.ts';

/** What goes over connections of its own: looks at the fleet and the rooms, writes of rooms. */
export type StoreUse = 'reads' | 'writes';

interface Failures {
  readonly firstAt: number;
  lastAt: number;
}

export class StoreWork {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** Those since the last success. */
  readonly #failures = new Map<StoreUse, Failures>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Settles as the work does. */
  async watch<T>(use: StoreUse, work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      this.#failures.delete(use);
      return result;
    } catch (error) {
      const now = this.#clock.monotonic();
      const known = this.#failures.get(use);
      if (known === undefined) this.#failures.set(use, { firstAt: now, lastAt: now });
      else known.lastAt = now;
      throw error;
    }
  }

  /** The store is away as a whole: that is another matter. */
  forget(): void {
    this.#failures.clear();
  }

  /** For how long work of one use was tried, and nothing of it succeeded, in ms. */
  get failingMs(): number {
    return Math.max(0, ...[...this.#failures.values()].map(({ firstAt, lastAt }) => lastAt - firstAt));
  }
}

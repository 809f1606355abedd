/**
 * Whether the store does what a worker is there for. Renewals have a connection of their own: a worker whose other
 * connections fail keeps its lease and its shards, and does nothing in them.
 */
import type { Clock } from './ports.ts';

/** What goes over connections of its own: looks at the fleet, scans of rooms, writes of rooms. */
export type StoreUse = 'reads' | 'scans' | 'writes';

interface Failures {
  readonly firstAt: number;
  lastAt: number;
}

export interface StoreWorkOptions {
  /** Of failures so far apart nothing is known of the time between them, in ms. */
  readonly forgetAfterMs?: number;
  /** True for an error by which the store refuses a value: it works. */
  readonly isAnswer?: (error: unknown) => boolean;
}

const FORGET_AFTER_MS = 10_000;

export class StoreWork {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #forgetAfterMs: number;
  readonly #isAnswer: (error: unknown) => boolean;
  /** Those since the last success. */
  readonly #failures = new Map<StoreUse, Failures>();

  constructor(clock: Pick<Clock, 'monotonic'>, options: StoreWorkOptions = {}) {
    this.#clock = clock;
    this.#forgetAfterMs = options.forgetAfterMs ?? FORGET_AFTER_MS;
    this.#isAnswer = options.isAnswer ?? (() => false);
  }

  /** Settles as the work does. */
  async watch<T>(use: StoreUse, work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      this.#failures.delete(use);
      return result;
    } catch (error) {
      this.#failed(use, error);
      throw error;
    }
  }

  #failed(use: StoreUse, error: unknown): void {
    const now = this.#clock.monotonic();
    const known = this.#failures.get(use);
    if (this.#isAnswer(error)) this.#failures.delete(use);
    else if (known === undefined || now - known.lastAt > this.#forgetAfterMs) {
      this.#failures.set(use, { firstAt: now, lastAt: now });
    } else known.lastAt = now;
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

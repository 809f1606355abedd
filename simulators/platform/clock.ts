/** Time as an argument: the platform reads no clock and sets no timer but these. All values are milliseconds. */
export interface Clock {
  /** Unix time. */
  wallMs(): number;
  /** Never goes back; its zero is arbitrary. */
  monotonicMs(): number;
}

export interface Timers {
  set(run: () => void, delayMs: number): unknown;
  clear(handle: unknown): void;
}

export const systemClock: Clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };

export const systemTimers: Timers = {
  set: (run, delayMs) => setTimeout(run, delayMs),
  clear: (handle) => clearTimeout(handle as NodeJS.Timeout),
};

/** A timer that its owner may cancel. */
export interface Alarm {
  cancel(): void;
}

/** All pending timers of one platform: they can be cancelled together, and their number says whether anything is still to come. */
export class Scheduler {
  readonly #timers: Timers;
  readonly #pending = new Set<unknown>();
  readonly #onIdle: () => void;
  #stopped = false;

  constructor(timers: Timers, onIdle: () => void) {
    this.#timers = timers;
    this.#onIdle = onIdle;
  }

  get pending(): number {
    return this.#pending.size;
  }

  after(delayMs: number, run: () => void): Alarm {
    if (this.#stopped) return { cancel: () => undefined };
    const handle = this.#timers.set(
      () => {
        this.#pending.delete(handle);
        run();
        if (this.#pending.size === 0) this.#onIdle();
      },
      Math.max(0, delayMs),
    );
    this.#pending.add(handle);
    return {
      cancel: () => {
        if (!this.#pending.delete(handle)) return;
        this.#timers.clear(handle);
        if (this.#pending.size === 0) this.#onIdle();
      },
    };
  }

  /** Cancels what is pending; nothing is scheduled from now on. */
  stop(): void {
    this.#stopped = true;
    for (const handle of this.#pending) this.#timers.clear(handle);
    this.#pending.clear();
    this.#onIdle();
  }
}

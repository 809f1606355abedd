import type { Instruments } from '../../engine/instruments.ts';
import type { Clock, DeadLetterStore } from '../../engine/ports.ts';
import { errorFields } from '../../telemetry.ts';

export type IntakeLetter = Parameters<DeadLetterStore['putIntake']>[0][number];

export interface DeadLetterLaneDependencies {
  readonly store: Pick<DeadLetterStore, 'putIntake'>;
  readonly clock: Pick<Clock, 'after'>;
  readonly instruments: Instruments;
  /** False while nothing may be stored: until it is decided which past of the database is the true one. */
  readonly mayStore: () => boolean;
}

interface Waiting {
  readonly letter: IntakeLetter;
  readonly resolve: (stored: boolean) => void;
}

const MAX_ROWS = 100;
const MAX_BYTES = 4 * 1024 * 1024;
const RETRY_MS = 500;

/** Writes letters in batches, one statement at a time, and again until the store has them. */
export class DeadLetterLane {
  readonly #to: DeadLetterLaneDependencies;
  readonly #waiting: Waiting[] = [];
  #rows = MAX_ROWS;
  #running = false;
  #closed = false;
  #endPause: (() => void) | null = null;

  constructor(dependencies: DeadLetterLaneDependencies) {
    this.#to = dependencies;
  }

  /** Resolves when the letter is stored; false if the lane was closed before. */
  put(letter: IntakeLetter): Promise<boolean> {
    if (this.#closed) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#waiting.push({ letter, resolve });
      if (!this.#running) void this.#run();
    });
  }

  /** Gives up what is not stored. A statement under way may still take effect; nobody waits for it. */
  close(): void {
    this.#closed = true;
    for (const { resolve } of this.#waiting.splice(0)) resolve(false);
    this.#endPause?.();
  }

  async #run(): Promise<void> {
    this.#running = true;
    // Letters of the same turn of the event loop ride together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#next();
      if (!this.#to.mayStore()) {
        await this.#pause();
        continue;
      }
      try {
        await this.#to.store.putIntake(batch.map(({ letter }) => letter));
        this.#rows = Math.min(MAX_ROWS, this.#rows * 2);
        for (const { resolve } of this.#waiting.splice(0, batch.length)) resolve(true);
      } catch (error) {
        const { log } = this.#to.instruments;
        log.event('intake.batch_failed', { source: 'pubsub', count: batch.length, ...errorFields(error) });
        // One by one from here, the failed ones last: a letter that the store never takes holds up no other.
        this.#rows = 1;
        this.#waiting.push(...this.#waiting.splice(0, batch.length));
        await this.#pause();
      }
    }
    this.#running = false;
  }

  /** The first ones that wait, within the bounds of a statement. They stay where they are. */
  #next(): Waiting[] {
    let bytes = 0;
    const end = this.#waiting.findIndex(({ letter }, index) => {
      bytes += letter.payload.length;
      return index > 0 && (index >= this.#rows || bytes > MAX_BYTES);
    });
    return this.#waiting.slice(0, end === -1 ? undefined : end);
  }

  #pause(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#to.clock.after(RETRY_MS, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
  }
}

/**
 * Rooms whose head the platform has accepted, and whose ack may be near: with it the two are one write. Each is let go
 * between half of the wait and the whole of it after it came, many at a time.
 */
import type { Resident } from './resident.ts';

type After = (delayMs: number, callback: () => void) => () => void;

export class Lingering {
  readonly #after: After;
  readonly #halfMs: number;
  readonly #onOver: (residents: Iterable<Resident>) => void;
  #older = new Set<Resident>();
  #newer = new Set<Resident>();
  #isTimed = false;

  /** @param waitMs the longest wait; 0: nothing lingers */
  constructor(after: After, waitMs: number, onOver: (residents: Iterable<Resident>) => void) {
    this.#after = after;
    this.#halfMs = waitMs / 2;
    this.#onOver = onOver;
  }

  get waitMs(): number {
    return 2 * this.#halfMs;
  }

  add(resident: Resident): void {
    this.#newer.add(resident);
    if (!this.#isTimed) this.#time();
  }

  /** True where it lingered: it does not any more. */
  take(resident: Resident): boolean {
    return this.#newer.delete(resident) || this.#older.delete(resident);
  }

  #time(): void {
    this.#isTimed = true;
    this.#after(this.#halfMs, () => {
      const over = this.#older;
      this.#older = this.#newer;
      this.#newer = new Set();
      this.#isTimed = false;
      if (this.#older.size > 0) this.#time();
      this.#onOver(over);
    });
  }
}

/** How far ahead the timer looks for what is due next, and sleeps at most. */
const HORIZON_MS = 50;

/** Many numbers, each due at a time of its own, on one timer. */
export class Wheel {
  readonly #fire: (due: readonly number[]) => void;
  readonly #slots = new Map<number, number[]>();
  /** The first millisecond that has not been looked at. */
  #next = 0;
  #waiting = 0;
  #timer: NodeJS.Timeout | undefined;
  #wakesAt = 0;

  /** @param fire gets what is due, at most a few milliseconds late, in the order of the due times to the millisecond */
  constructor(fire: (due: readonly number[]) => void) {
    this.#fire = fire;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** @param dueAt on the clock of `performance.now()` */
  add(dueAt: number, value: number): void {
    const now = Math.floor(performance.now());
    if (this.#waiting++ === 0) this.#next = Math.max(this.#next, now);
    const slot = Math.max(Math.ceil(dueAt), this.#next);
    const known = this.#slots.get(slot);
    if (known === undefined) this.#slots.set(slot, [value]);
    else known.push(value);
    if (this.#timer !== undefined && slot >= this.#wakesAt) return;
    clearTimeout(this.#timer);
    this.#sleepUntil(slot, now);
  }

  #tick(): void {
    const now = Math.floor(performance.now());
    for (; this.#next <= now && this.#waiting > 0; this.#next++) {
      const due = this.#slots.get(this.#next);
      if (due === undefined) continue;
      this.#slots.delete(this.#next);
      this.#waiting -= due.length;
      this.#fire(due);
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting === 0) return;
    let slot = this.#next;
    while (slot < this.#next + HORIZON_MS && !this.#slots.has(slot)) slot++;
    this.#sleepUntil(slot, now);
  }

  #sleepUntil(slot: number, now: number): void {
    this.#wakesAt = slot;
    this.#timer = setTimeout(() => this.#tick(), Math.max(1, slot - now));
  }
}

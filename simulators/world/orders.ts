/** What must hold of a room whose publisher numbers its messages: told by the checker, which knows the rest of the room. */
import type { PlacedRecord } from './records.ts';

interface Numbered {
  readonly id: string;
  readonly sequence: number;
}

export class OrderBook {
  readonly #broken: (promise: string, what: string) => void;
  /** Null: without an order. */
  readonly #orders = new Map<string, number | null>();
  /** Those without one that are still to come, in their order. */
  readonly #plain: string[] = [];
  readonly #parked = new Map<number, string>();
  readonly #skipped: { readonly first: number; readonly last: number }[] = [];
  #next = 1;
  #since: number | null = null;

  constructor(broken: (promise: string, what: string) => void) {
    this.#broken = broken;
  }

  /** Since when something is parked behind the present gap; null where there is none. */
  get since(): number | null {
    return this.#since;
  }

  get waitsFor(): number {
    return this.#next;
  }

  /** Some message of the room has a number of its publisher's. */
  get isOne(): boolean {
    return [...this.#orders.values()].some((order) => order !== null);
  }

  published(id: string, order: number | undefined): void {
    this.#orders.set(id, order ?? null);
    if (order === undefined) this.#plain.push(id);
  }

  has(id: string): boolean {
    return [...this.#parked.values()].includes(id);
  }

  /** @returns what has a sequence now, in its order; what was parked before is where nothing of the batch is */
  placed(messages: readonly PlacedRecord[], appended: number, tail: number, now: number): Numbered[] {
    return this.#place(this.#next, messages, appended, tail, now);
  }

  #place(before: number, messages: readonly PlacedRecord[], appended: number, tail: number, now: number): Numbered[] {
    const batch = new Map<number, PlacedRecord>();
    for (const message of messages) {
      if (message.sequence !== null) batch.set(message.sequence, message);
      else this.#park(message.id);
    }
    const numbered: Numbered[] = [];
    for (let sequence = appended + 1; sequence <= tail; sequence++) {
      const message = batch.get(sequence);
      const id = message?.id ?? this.#lowest();
      if (id === undefined) {
        this.#broken('R1', `number ${sequence} is nobody's`);
        break;
      }
      this.#takesItsTurn(id, sequence, message?.late ?? false);
      numbered.push({ id, sequence });
    }
    this.#timed(before, now);
    return numbered;
  }

  /** @param openFor for how long the gap must have been there, or null where it may be given up at any time */
  skipped(
    first: number,
    last: number,
    appended: number,
    tail: number,
    now: number,
    openFor: number | null,
  ): Numbered[] {
    const lowest = Math.min(...this.#parked.keys());
    if (first !== this.#next || last !== lowest - 1) {
      this.#broken('R2', `${first} to ${last} are skipped, while ${this.#next} is awaited and ${lowest} parked`);
    }
    const since = this.#since ?? Number.POSITIVE_INFINITY;
    if (openFor !== null && now - since < openFor)
      this.#broken('R2', `${first} is skipped ${now - since} ms after it was missing`);
    this.#skipped.push({ first, last });
    this.#next = last + 1;
    return this.#place(first, [], appended, tail, now);
  }

  #park(id: string): void {
    const order = this.#orders.get(id);
    if (order == null || order <= this.#next || this.#parked.has(order)) {
      this.#broken('R2', `${id} is parked as order ${order}, while ${this.#next} is awaited`);
    } else this.#parked.set(order, id);
  }

  #lowest(): string | undefined {
    return this.#parked.get(Math.min(...this.#parked.keys()));
  }

  #takesItsTurn(id: string, sequence: number, late: boolean): void {
    const order = this.#orders.get(id) ?? null;
    if (order === null) {
      const next = this.#plain.shift();
      if (next !== id) this.#broken('R2', `${id} has number ${sequence}, before ${next}`);
      return;
    }
    if (late) {
      const wasSkipped = this.#skipped.some(({ first, last }) => first <= order && order <= last);
      if (!wasSkipped) this.#broken('R2', `${id} counts as late, and order ${order} was never skipped`);
      return;
    }
    if (order !== this.#next)
      this.#broken('R2', `order ${order} has number ${sequence}, while ${this.#next} is awaited`);
    this.#parked.delete(order);
    this.#next = order + 1;
  }

  #timed(before: number, now: number): void {
    if (this.#parked.has(this.#next)) this.#broken('R6', `order ${this.#next} is parked, and it is its turn`);
    if (this.#parked.size === 0) this.#since = null;
    else if (this.#since === null || this.#next !== before) this.#since = now;
  }
}

import type { Clock } from './ports.ts';

interface Entry {
  readonly at: number;
  readonly id: number;
}

/**
 * Deadlines of rooms: one binary heap and one timer for all of them. Setting a room's deadline again leaves the old
 * entry in the heap; it is dropped when it comes up.
 */
export class Deadlines {
  readonly #clock: Clock;
  readonly #onDue: (id: number, lateMs: number) => void;
  readonly #current = new Map<number, number>();
  #heap: Entry[] = [];
  #cancelTimer: (() => void) | null = null;
  #timerAt = Number.POSITIVE_INFINITY;

  /** @param onDue is given the room and how many ms late it is called */
  constructor(clock: Clock, onDue: (id: number, lateMs: number) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  get size(): number {
    return this.#current.size;
  }

  /** @param at engine time, or null for none */
  set(id: number, at: number | null): void {
    if (at === null) {
      this.#current.delete(id);
      return;
    }
    if (this.#current.get(id) === at) return;
    this.#current.set(id, at);
    this.#push({ at, id });
    if (this.#heap.length > 64 && this.#heap.length > 4 * this.#current.size) this.#rebuild();
    if (at < this.#timerAt) this.#arm();
  }

  has(id: number): boolean {
    return this.#current.has(id);
  }

  clear(): void {
    this.#current.clear();
    this.#heap = [];
    this.#disarm();
  }

  #arm(): void {
    this.#disarm();
    const first = this.#heap[0];
    if (first === undefined) return;
    this.#timerAt = first.at;
    this.#cancelTimer = this.#clock.after(Math.max(0, first.at - this.#clock.now()), () => this.#fire());
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#timerAt = Number.POSITIVE_INFINITY;
  }

  #fire(): void {
    this.#disarm();
    const now = this.#clock.now();
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.#pop();
      if (this.#current.get(first.id) !== first.at) continue;
      this.#current.delete(first.id);
      this.#onDue(first.id, now - first.at);
    }
    this.#arm();
  }

  #rebuild(): void {
    this.#heap = [];
    for (const [id, at] of this.#current) this.#push({ at, id });
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(entry);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Entry;
      if (above.at <= entry.at) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as Entry).at < (heap[child] as Entry).at) child++;
      if ((heap[child] as Entry).at >= last.at) break;
      heap[index] = heap[child] as Entry;
      index = child;
    }
    heap[index] = last;
  }
}

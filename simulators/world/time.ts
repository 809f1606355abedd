/** Virtual time: one event heap ordered by (time, a seeded tie-break). Nothing happens but what stands in it. */
interface Entry {
  readonly at: number;
  readonly tie: number;
  readonly run: () => void;
  cancelled: boolean;
}

export class VirtualTime {
  readonly #chance: () => number;
  #heap: Entry[] = [];
  #now: number;
  events = 0;

  constructor(startMs: number, chance: () => number) {
    this.#now = startMs;
    this.#chance = chance;
  }

  get now(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    const entry: Entry = { at: this.#now + Math.max(0, delayMs), tie: this.#chance(), run, cancelled: false };
    this.#push(entry);
    return () => {
      entry.cancelled = true;
    };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.after(delayMs, resolve));
  }

  /** Runs events up to the given time, letting every promise settle after each. `enough` ends it before, in its place. */
  async runUntil(end: number, enough: () => boolean): Promise<void> {
    for (let first = this.#heap[0]; first !== undefined && first.at <= end; first = this.#heap[0]) {
      this.#pop();
      if (first.cancelled) continue;
      this.#now = Math.max(this.#now, first.at);
      this.events++;
      first.run();
      await settled();
      if (enough()) return;
    }
    this.#now = Math.max(this.#now, end);
  }

  #before(a: Entry, b: Entry): boolean {
    return a.at < b.at || (a.at === b.at && a.tie < b.tie);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    heap.push(entry);
    let index = heap.length - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#before(entry, heap[parent] as Entry)) break;
      heap[index] = heap[parent] as Entry;
      index = parent;
    }
    heap[index] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Entry;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#before(heap[child + 1] as Entry, heap[child] as Entry)) child++;
      if (!this.#before(heap[child] as Entry, last)) break;
      heap[index] = heap[child] as Entry;
      index = child;
    }
    heap[index] = last;
  }
}

/** Microtasks run to their end before the next macrotask: one turn is enough for any chain of promises. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** How many microtasks may follow one another before a turn of the event loop counts as over. */
const MICROTASKS = 12;

/** The end of a turn where time is virtual: what is under way in microtasks comes first. */
export function endOfTurn(callback: () => void): void {
  let left = MICROTASKS;
  const hop = (): void => {
    left--;
    if (left > 0) queueMicrotask(hop);
    else callback();
  };
  queueMicrotask(hop);
}

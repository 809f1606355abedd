/** Virtual time, and what work waits for in it: cores that threads share, and a disk that many commits share. */

/** Things that happen, in the order of their times; those of one time in the order in which they were put there. */
export class Timeline {
  #times: number[] = [];
  #order: number[] = [];
  #runs: (() => void)[] = [];
  #count = 0;
  #now = 0;

  /** In ms. */
  get now(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): void {
    const at = this.#now + delayMs;
    const order = this.#count++;
    let index = this.#runs.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(at, order, this.#times[parent] as number, this.#order[parent] as number)) break;
      this.#move(parent, index);
      index = parent;
    }
    this.#put(index, at, order, run);
  }

  /** Runs what is due until `endMs`, or until nothing is left, or until it is enough. */
  run(endMs: number, isEnough: () => boolean = () => false): void {
    while (this.#runs.length > 0 && (this.#times[0] as number) <= endMs && !isEnough()) {
      this.#now = this.#times[0] as number;
      this.#first()();
    }
  }

  #first(): () => void {
    const run = this.#runs[0] as () => void;
    const [at, order, last] = [this.#times.pop(), this.#order.pop(), this.#runs.pop()] as [number, number, () => void];
    const size = this.#runs.length;
    if (size === 0) return run;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#comesBefore(child + 1, child)) child++;
      if (!isBefore(this.#times[child] as number, this.#order[child] as number, at, order)) break;
      this.#move(child, index);
      index = child;
    }
    this.#put(index, at, order, last);
    return run;
  }

  #comesBefore(one: number, other: number): boolean {
    const [times, order] = [this.#times, this.#order];
    return isBefore(times[one] as number, order[one] as number, times[other] as number, order[other] as number);
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#times[from] as number, this.#order[from] as number, this.#runs[from] as () => void);
  }

  #put(index: number, at: number, order: number, run: () => void): void {
    this.#times[index] = at;
    this.#order[index] = order;
    this.#runs[index] = run;
  }
}

function isBefore(at: number, order: number, otherAt: number, otherOrder: number): boolean {
  return at < otherAt || (at === otherAt && order < otherOrder);
}

/** First in, first out, at the same cost however long it is. */
export class Fifo<T> {
  #items: T[] = [];
  #next = 0;

  get size(): number {
    return this.#items.length - this.#next;
  }

  get first(): T | undefined {
    return this.#items[this.#next];
  }

  add(item: T): void {
    this.#items.push(item);
  }

  take(): T | undefined {
    const item = this.#items[this.#next];
    if (item === undefined) return undefined;
    this.#next++;
    if (this.#next > 1_024 && this.#next * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#next);
      this.#next = 0;
    }
    return item;
  }
}

/** How long a thread keeps a core while others wait for one. */
const TURN_US = 1_000;

interface Task {
  leftUs: number;
  readonly done: () => void;
}

/** Cores that are handed round among the threads that have something to do. */
export class Machine {
  readonly timeline: Timeline;
  #free: number;
  readonly #waiting = new Fifo<Thread>();

  constructor(timeline: Timeline, cores: number) {
    this.timeline = timeline;
    this.#free = cores;
  }

  /** @internal */
  wants(thread: Thread): void {
    if (this.#free > 0) {
      this.#free--;
      thread.turn();
    } else this.#waiting.add(thread);
  }

  /** @internal The thread has had its turn. True where it may have another at once. */
  mayGoOn(thread: Thread, hasMore: boolean): boolean {
    if (hasMore && this.#waiting.size === 0) return true;
    if (hasMore) this.#waiting.add(thread);
    const next = this.#waiting.take();
    if (next === undefined) this.#free++;
    else next.turn();
    return false;
  }
}

/** Collected garbage: this share of all work comes later, in pauses of such a length. */
export interface Garbage {
  readonly share: number;
  readonly pauseUs: number;
}

const NO_GARBAGE: Garbage = { share: 0, pauseUs: 1 };

/** Does one task after the other: an event loop, or the server process of one connection. */
export class Thread {
  readonly #machine: Machine;
  readonly #garbage: Garbage;
  readonly #tasks = new Fifo<Task>();
  #owedUs = 0;
  #isWorking = false;
  /** CPU time used so far. */
  busyUs = 0;

  constructor(machine: Machine, garbage: Garbage = NO_GARBAGE) {
    this.#machine = machine;
    this.#garbage = garbage;
  }

  do(us: number, done: () => void): void {
    const { share, pauseUs } = this.#garbage;
    this.#owedUs += us * share;
    this.#tasks.add({ leftUs: us * (1 - share), done });
    if (this.#owedUs >= pauseUs) {
      this.#tasks.add({ leftUs: this.#owedUs, done: () => undefined });
      this.#owedUs = 0;
    }
    if (this.#isWorking) return;
    this.#isWorking = true;
    this.#machine.wants(this);
  }

  /** @internal It has a core for as long as a turn lasts. */
  turn(): void {
    this.#work(TURN_US);
  }

  #work(turnUs: number): void {
    const task = this.#tasks.first as Task;
    const us = Math.min(task.leftUs, turnUs);
    this.#machine.timeline.after(us / 1_000, () => {
      this.busyUs += us;
      task.leftUs -= us;
      if (task.leftUs <= 0) {
        this.#tasks.take();
        task.done();
      }
      const hasMore = this.#tasks.size > 0;
      if (hasMore && us < turnUs) this.#work(turnUs - us);
      else if (this.#machine.mayGoOn(this, hasMore)) this.#work(TURN_US);
      else if (!hasMore) this.#isWorking = false;
    });
  }
}

/** One write to disk at a time; commits that come meanwhile share the next one. */
export class Disk {
  readonly #timeline: Timeline;
  readonly #syncMs: number;
  #waiting: (() => void)[] = [];
  #isWriting = false;
  syncs = 0;

  constructor(timeline: Timeline, syncMs: number) {
    this.#timeline = timeline;
    this.#syncMs = syncMs;
  }

  commit(done: () => void): void {
    this.#waiting.push(done);
    if (!this.#isWriting) this.#write();
  }

  #write(): void {
    const served = this.#waiting;
    this.#waiting = [];
    this.#isWriting = true;
    this.syncs++;
    this.#timeline.after(this.#syncMs, () => {
      this.#isWriting = this.#waiting.length > 0;
      if (this.#isWriting) this.#write();
      for (const done of served) done();
    });
  }
}

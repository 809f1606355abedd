import type { Consumer } from './consumer.ts';
import type { StoredMessage } from './message.ts';

/** One message of one subscription. */
export interface Entry {
  readonly message: StoredMessage;
  /** Place in its lane, counted from the lane's beginning; never changes. */
  readonly position: number;
  lease: Lease | null;
  acked: boolean;
  deliveries: number;
  /** Nacks and ended ack deadlines so far. */
  failures: number;
  /** The fault that repeats an acked message has struck already. */
  duplicated: boolean;
}

/** One delivery that has not been answered yet. */
export interface Lease {
  readonly ackId: string;
  readonly lane: Lane;
  readonly entry: Entry;
  readonly consumer: Consumer;
  deadlineMs: number;
  /** The deadline wheel's slot that will look at this lease next. */
  slot: number | null;
}

/** First in, first out, for lanes; a lane that has left for another queue is passed over. */
export class LaneQueue {
  #lanes: Lane[] = [];
  #head = 0;

  push(lane: Lane): void {
    lane.queue = this;
    this.#lanes.push(lane);
  }

  /** The first lane that still belongs here. */
  peek(): Lane | undefined {
    for (;;) {
      const lane = this.#lanes[this.#head];
      if (lane === undefined || lane.queue === this) return lane;
      this.shift();
    }
  }

  /** Takes the lane that `peek` returned. */
  shift(): void {
    const lane = this.#lanes[this.#head++];
    if (lane?.queue === this) lane.queue = null;
    if (this.#head > 1024 && this.#head * 2 > this.#lanes.length) {
      this.#lanes = this.#lanes.slice(this.#head);
      this.#head = 0;
    }
  }
}

/**
 * The messages of one ordering key, in the order of publishing; an unordered message is a lane of its own.
 *
 * Entries before the cursor are leased or acked, entries from the cursor on wait. The first entry is never an
 * acked one: acked entries are kept only behind an unacked one, because its redelivery takes them along.
 */
export class Lane {
  readonly key: string;
  /** Spreads lanes over consumers, so that a key tends to stay with its consumer. */
  readonly hash: number;
  outstanding = 0;
  /** Whom the outstanding messages went to; null when there are none. */
  owner: Consumer | null = null;
  queue: LaneQueue | null = null;
  /** Waits for the end of an injected delay. */
  delayed = false;
  #slots: Array<Entry | null> = [];
  #head = 0;
  /** Position of `#slots[#head]`. */
  #first = 0;
  #cursor = 0;
  #retainedAcks = 0;

  constructor(key: string, hash: number) {
    this.key = key;
    this.hash = hash;
  }

  get isEmpty(): boolean {
    return this.#head === this.#slots.length;
  }

  get hasWaiting(): boolean {
    return this.next() !== undefined;
  }

  append(message: StoredMessage): Entry {
    const position = this.#first + this.#slots.length - this.#head;
    const entry = { message, position, lease: null, acked: false, deliveries: 0, failures: 0, duplicated: false };
    this.#slots.push(entry);
    return entry;
  }

  /** The entry to deliver next. */
  next(): Entry | undefined {
    for (let at = this.#at(this.#cursor); at < this.#slots.length; at++, this.#cursor++) {
      const entry = this.#slots[at];
      if (entry) return entry;
    }
    return undefined;
  }

  /** The entry that `next` returned is on its way. */
  advance(): void {
    this.#cursor++;
  }

  /** Moves the cursor back to a position and returns the entries that wait again because of it. */
  rewind(position: number): Entry[] {
    const again: Entry[] = [];
    for (let at = this.#at(position); at < this.#at(this.#cursor); at++) {
      const entry = this.#slots[at];
      if (!entry) continue;
      if (entry.acked) this.#retainedAcks--;
      again.push(entry);
    }
    this.#cursor = Math.min(this.#cursor, position);
    return again;
  }

  /** Position from which the last `count` delivered messages that are still known begin. */
  positionBack(count: number): number {
    let position = this.#cursor;
    for (let left = count; left > 0 && position > this.#first; ) {
      position--;
      if (this.#slots[this.#at(position)]) left--;
    }
    return position;
  }

  /** Keeps an acked entry for its predecessors' redelivery, at most `limit` of them, and drops what nothing can bring back. */
  settle(entry: Entry, limit: number): void {
    if (this.#retainedAcks < limit) this.#retainedAcks++;
    else this.#slots[this.#at(entry.position)] = null;
    this.#trim();
  }

  /** Forgets an entry that is not to be delivered again. */
  remove(entry: Entry): void {
    this.#slots[this.#at(entry.position)] = null;
    this.#trim();
  }

  *unacked(): Generator<Entry> {
    for (let at = this.#head; at < this.#slots.length; at++) {
      const entry = this.#slots[at];
      if (entry && !entry.acked) yield entry;
    }
  }

  #at(position: number): number {
    return position - this.#first + this.#head;
  }

  #trim(): void {
    while (this.#head < this.#slots.length) {
      const entry = this.#slots[this.#head];
      if (entry && !entry.acked) break;
      if (entry?.acked) this.#retainedAcks--;
      this.#slots[this.#head++] = null;
      this.#first++;
    }
    this.#cursor = Math.max(this.#cursor, this.#first);
    if (this.#head > 64 && this.#head * 2 > this.#slots.length) {
      this.#slots = this.#slots.slice(this.#head);
      this.#head = 0;
    }
  }
}

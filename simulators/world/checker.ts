/**
 * Judges a simulated world while it runs. It knows three things first-hand: what was published, what the platform
 * received, and what the store committed; of the engine it takes no word. Promises are cited as in the brief.
 */
import type { RoomWrite, WriteResult } from '../../src/engine/ports.ts';

interface RoomBook {
  /** Message ids in the order of publishing. */
  readonly published: string[];
  /** Outcomes in the order of settling. */
  readonly settled: { readonly outcome: string; readonly attempts: number }[];
  version: number;
  phase: string;
  /** Message ids by sequence, first receipt only, in the order of arrival at the platform. */
  readonly arrived: string[];
  readonly receipts: Map<string, number>;
}

export class Checker {
  readonly violations: string[] = [];
  readonly cells = new Map<string, number>();
  readonly #rooms = new Map<string, RoomBook>();
  /** Attempts that ended without the engine knowing how; each entitles to one more copy. */
  unknownOutcomes = 0;
  duplicates = 0;
  /** What operators ordered: `skipped ROOM/SEQUENCE` or `cancelled ROOM/SEQUENCE`. */
  readonly ordered = new Set<string>();
  /** Messages with a cancel mark on disk that had no attempt: none may ever leave. */
  readonly #marked = new Set<string>();

  published(room: string, messageId: string): void {
    this.#book(room).published.push(messageId);
  }

  /** A compare-and-set as the store answered it, whatever the engine gets to hear. */
  stored(write: RoomWrite, result: WriteResult): void {
    if (result.kind !== 'committed') return;
    const { next } = write;
    const book = this.#book(next.key.room);
    if (next.version <= book.version)
      this.#broken('R1', next.key.room, `version fell from ${book.version} to ${next.version}`);
    book.version = next.version;
    book.phase = next.phase;
    const cell = `${next.phase}${next.reason === null ? '' : `:${next.reason}`}`;
    this.cells.set(cell, (this.cells.get(cell) ?? 0) + 1);
    for (const fact of write.facts) {
      if (fact.kind === 'cancel_marked') this.#marked.add(book.published[fact.sequence - 1] ?? '');
      if (fact.kind !== 'settled') continue;
      if (fact.sequence !== book.settled.length + 1) {
        this.#broken('R1', next.key.room, `sequence ${fact.sequence} settled after ${book.settled.length}`);
      }
      if (fact.outcome === 'assumed' && fact.attempts.length === 0) {
        this.#broken('R1', next.key.room, `sequence ${fact.sequence} assumed without an attempt`);
      }
      book.settled.push({ outcome: fact.outcome, attempts: fact.attempts.length });
      if (fact.outcome === 'acked' && !book.arrived.includes(book.published[fact.sequence - 1] ?? '')) {
        this.#broken('R2', next.key.room, `sequence ${fact.sequence} acked, but the platform never had it`);
      }
    }
    if (book.settled.length !== next.settled) {
      this.#broken('R1', next.key.room, `settled is ${next.settled}, but ${book.settled.length} settlings were seen`);
    }
  }

  /** A process hands a request to the network. */
  leaving(room: string, messageId: string): void {
    const book = this.#book(room);
    const sequence = book.published.indexOf(messageId) + 1;
    if (this.#marked.has(messageId)) this.#broken('R1', room, `${sequence} was cancelled while it waited, and is sent`);
    if (sequence === 0) this.#broken('R1', room, `an attempt of a message that nobody published`);
    if (book.settled.length < sequence - 1) {
      this.#broken('R2', room, `an attempt of ${sequence} began while only ${book.settled.length} had settled`);
    }
  }

  /** The platform took a message in. */
  arrived(room: string, messageId: string): void {
    const book = this.#book(room);
    const before = book.receipts.get(messageId) ?? 0;
    book.receipts.set(messageId, before + 1);
    if (before > 0) {
      this.duplicates++;
      return;
    }
    book.arrived.push(messageId);
    const sequence = book.published.indexOf(messageId) + 1;
    // R2: for every n that was acked, the platform had n before any copy of a later message.
    for (let earlier = 0; earlier < sequence - 1; earlier++) {
      const acked = book.settled[earlier]?.outcome === 'acked';
      if (acked && !book.receipts.has(book.published[earlier] ?? '')) {
        this.#broken('R2', room, `${sequence} arrived before ${earlier + 1}, which counts as acked`);
      }
    }
  }

  /** At the end of a world in which all faults have stopped. */
  finish(mayDeadLetter: (messageId: string) => boolean, mayExpire: (messageId: string) => boolean): void {
    for (const [room, book] of this.#rooms) {
      if (book.settled.length !== book.published.length) {
        this.#broken('R6', room, `${book.published.length} published, ${book.settled.length} settled`);
      }
      for (const [index, { outcome }] of book.settled.entries()) {
        const id = book.published[index] ?? '';
        if (outcome === 'expired' && !mayExpire(id)) this.#broken('R1', room, `${id} expired without an expiry`);
        const ordered = outcome === 'skipped' || outcome === 'cancelled';
        if (ordered && !this.ordered.has(`${outcome} ${room}/${index + 1}`))
          this.#broken('R1', room, `${id} ${outcome} without an order`);
        if (outcome === 'failed' && !mayDeadLetter(id))
          this.#broken('R1', room, `${id} failed, though the platform would have taken it`);
      }
    }
    if (this.duplicates > this.unknownOutcomes) {
      this.violations.push(`R4: ${this.duplicates} duplicates after ${this.unknownOutcomes} unknown outcomes`);
    }
  }

  /** A process lost its memory: of every attempt that is open on disk nobody knows the outcome. */
  memoryLost(): void {
    for (const book of this.#rooms.values()) if (book.phase === 'sending') this.unknownOutcomes++;
  }

  get settledCount(): number {
    let count = 0;
    for (const book of this.#rooms.values()) count += book.settled.length;
    return count;
  }

  #book(room: string): RoomBook {
    let book = this.#rooms.get(room);
    if (book === undefined) {
      book = { published: [], settled: [], version: 0, phase: 'idle', arrived: [], receipts: new Map() };
      this.#rooms.set(room, book);
    }
    return book;
  }

  #broken(promise: string, room: string, what: string): void {
    this.violations.push(`${promise}: room ${room}: ${what}`);
  }
}

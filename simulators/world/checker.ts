/**
 * Judges a simulated world while it runs. It knows first-hand what was published, what left each process, what the
 * platform received and told, and what the database committed; of the engine it takes no word, and it shares no code
 * with it. Promises are cited as in the documentation: R1 durable, R2 ordered, R3 one in flight, R4 duplicates only from
 * the unknown, R6 live, R7 explained; W: a webhook's 200 means that the ack is on disk.
 */
import { cellsOf } from './causes.ts';
import { Leases } from './leases.ts';
import { OrderBook } from './orders.ts';
import type {
  AttemptRecord,
  ChangeRecord,
  PlacedRecord,
  PublishedRecord,
  RequestRecord,
  RowRecord,
  SettledRecord,
} from './records.ts';

/** What became of an attempt, as the world knows it. */
interface AttemptBook {
  readonly sequence: number;
  readonly number: number;
  readonly worker: string;
  readonly generation: number;
  left: boolean;
  interrupted: boolean;
  /** What its sender was told; null while it was told nothing. */
  answer: 'accepted' | 'refused' | 'unknown' | null;
}

interface MessageBook {
  readonly id: string;
  readonly body: Uint8Array;
  readonly expiresAt: number | null;
  readonly supersedes: string | null;
  /** A newer message that replaces it is in the database. */
  superseded: boolean;
  /** The platform told a failure of it. */
  nacked: boolean;
  refusedForGood: boolean;
  /** The platform told an ack of it through its own channel. */
  told: boolean;
  reference: string | null;
  arrivals: number;
  /** Who came first with a mark on it. */
  markedBy: string | null;
  readonly attempts: AttemptBook[];
}

interface RoomBook {
  readonly name: string;
  readonly messages: MessageBook[];
  readonly byId: Map<string, number>;
  appended: number;
  readonly settled: { readonly outcome: string }[];
  row: RowRecord;
  /** The room's latest claim. */
  lastClaim: AttemptBook | null;
  /** When its attempts began, by the workers' own account. */
  readonly begun: number[];
  /** Operators' orders: `skip 3`. */
  readonly orders: Set<string>;
  /** What its publisher's numbers ask for. */
  readonly order: OrderBook;
}

export interface CheckerOptions {
  readonly now: () => number;
  readonly maxAttempts: number;
  /** What one room may be sent: one attempt in `everyMs` (0: any number), `burst` of them at once. */
  readonly roomLimit: { readonly everyMs: number; readonly burst: number } | null;
  /** What is done about numbers that are missing in a publisher's order; null where nobody has one. */
  readonly orderGap?: { readonly timeoutMs: number; readonly policy: 'skip' | 'hold' } | null;
  /** An ack holds for other messages of its room, too. */
  readonly cumulative: boolean;
  /** By how many ms the engine time of some process has been ahead of the database's so far. */
  readonly clocksAheadMs: () => number;
  readonly onSettled: (room: string, sequence: number) => void;
}

export class Checker {
  readonly violations: string[] = [];
  /** Phase × event, as far as the changes of rows show it. */
  readonly cells = new Map<string, number>();
  readonly counts = new Map<string, number>();
  readonly leases: Leases;
  readonly #rooms = new Map<string, RoomBook>();
  readonly #options: CheckerOptions;

  constructor(options: CheckerOptions) {
    this.#options = options;
    this.leases = new Leases((what) => this.#broken('R3', 'leases', what));
  }

  // -------------------------------------------------------------------------------------------------------------- feed

  published(room: string, { messageId, body, expiresAt, supersedes, order }: PublishedRecord): void {
    const book = this.#book(room);
    book.order.published(messageId, order);
    book.byId.set(messageId, book.messages.length + 1);
    book.messages.push({
      id: messageId,
      body,
      expiresAt,
      supersedes,
      superseded: false,
      nacked: false,
      refusedForGood: false,
      told: false,
      reference: null,
      arrivals: 0,
      markedBy: null,
      attempts: [],
    });
  }

  /** The database numbered a message. */
  appended(room: string, id: string, sequence: number): void {
    const book = this.#book(room);
    if (sequence !== book.appended + 1) this.#broken('R1', room, `number ${sequence} follows ${book.appended}`);
    if (book.messages[sequence - 1]?.id !== id) this.#broken('R2', room, `${id} has number ${sequence}`);
    book.appended = sequence;
    const older = this.#olderOf(book, sequence);
    if (older !== null) older.message.superseded = true;
  }

  /** The database took messages of one room in one transaction, which left it with this tail. */
  placed(room: string, messages: readonly PlacedRecord[], tail: number): void {
    const book = this.#book(room);
    this.#numbered(book, book.order.placed(messages, book.appended, tail, this.#options.now()));
  }

  /** Numbers that a room waited for were given up. */
  skipped(room: string, first: number, last: number, tail: number): void {
    const { now, orderGap, clocksAheadMs } = this.#options;
    const book = this.#book(room);
    this.count('order_skipped');
    const openFor = orderGap?.policy === 'skip' ? orderGap.timeoutMs - CLOCKS_DIFFER_MS - clocksAheadMs() : null;
    this.#numbered(book, book.order.skipped(first, last, book.appended, tail, now(), openFor));
  }

  /** In a room with an order nobody knew before which message would have which number. */
  #numbered(book: RoomBook, numbered: readonly { readonly id: string; readonly sequence: number }[]): void {
    for (const { id, sequence } of numbered) {
      const place = book.byId.get(id) ?? 0;
      const [mine, other] = [book.messages[place - 1], book.messages[sequence - 1]];
      if (book.order.isOne && mine !== undefined && other !== undefined && place > book.appended) {
        book.messages[sequence - 1] = mine;
        book.messages[place - 1] = other;
        book.byId.set(id, sequence).set(other.id, place);
      }
      this.appended(book.name, id, sequence);
    }
  }

  /** The publisher was told that a message is safe; null: ahead of its turn. */
  acknowledged(room: string, id: string, sequence: number | null): void {
    const book = this.#book(room);
    if (sequence === null) {
      this.count('parked');
      const place = book.byId.get(id) ?? Number.POSITIVE_INFINITY;
      if (!book.order.has(id) && place > book.appended) {
        this.#broken('R1', room, `${id} was acknowledged before it was stored`);
      }
      return;
    }
    if (book.byId.get(id) !== sequence) this.#broken('R1', room, `${id} was acknowledged as number ${sequence}`);
    if (sequence > book.appended) this.#broken('R1', room, `${id} was acknowledged before it was stored`);
    const older = this.#olderOf(book, sequence);
    if (older !== null) this.#superseded(book, older);
  }

  /** The earlier message that this one replaces, or null. */
  #olderOf(book: RoomBook, sequence: number): { readonly message: MessageBook; readonly sequence: number } | null {
    const id = book.messages[sequence - 1]?.supersedes ?? null;
    const older = id === null ? 0 : (book.byId.get(id) ?? 0);
    const message = book.messages[older - 1];
    return message === undefined || older >= sequence ? null : { message, sequence: older };
  }

  /** Its publisher relies on it from now on: what had not been tried never is. */
  #superseded(
    book: RoomBook,
    { message, sequence }: { readonly message: MessageBook; readonly sequence: number },
  ): void {
    if (sequence <= book.settled.length) this.count('superseded_after_settling');
    else if (message.attempts.length > 0) this.count('superseded_while_tried');
    else if (message.markedBy !== null) this.count('superseded_while_waiting');
    else this.#broken('R1', book.name, `${sequence} is superseded, and could still be sent`);
  }

  ordered(room: string, order: string, sequence: number): void {
    this.#book(room).orders.add(`${order} ${sequence}`);
  }

  // --------------------------------------------------------------------------------------------------------- the store

  changed(change: ChangeRecord): void {
    const { row, settled, cancelled, claims, expectedVersion } = change;
    const book = this.#book(row.room);
    const before = book.row;
    // Each event raises the version by one; several may share a statement.
    if (expectedVersion !== before.version || row.version <= before.version) {
      const written = `${row.version}, decided at ${expectedVersion},`;
      this.#broken('R7', row.room, `version ${written} was written over ${before.version}`);
    }
    const cells = cellsOf(before, change);
    if (cells.length === 0) {
      this.#broken('R7', row.room, `from ${before.phase} to ${row.phase} at version ${row.version} without a cause`);
    }
    for (const cell of cells) this.cells.set(cell, (this.cells.get(cell) ?? 0) + 1);
    for (const { sequence, by } of cancelled) {
      const message = book.messages[sequence - 1];
      if (message === undefined) continue;
      const wrong = this.#wrongOrder(book, message, sequence, by);
      if (wrong !== null) this.#broken('R1', row.room, `${sequence} was marked (${by}): ${wrong}`);
      message.markedBy ??= by;
    }
    this.#interrupted(book, [...row.attempts, ...settled.flatMap(({ attempts }) => attempts)]);
    // The head that an attempt's end belongs to settles first; then the others go, and a claim is of the next.
    for (const one of settled) this.#settled(book, one);
    if (book.settled.length !== row.settled) {
      this.#broken('R1', row.room, `settled is ${row.settled}, but ${book.settled.length} settlings were seen`);
    }
    if (row.settled > book.appended) this.#broken('R1', row.room, `settled ${row.settled} of ${book.appended}`);
    if (claims) this.#claimed(book, row);
    else if (row.attempt > 0 && (settled.length > 0 || row.attempt !== before.attempt)) {
      this.#broken('R7', row.room, `attempt ${row.attempt} began without a claim`);
    }
    book.row = row;
  }

  /** Only the attempt of a worker that is gone, or one that this process knows it never sent, counts as interrupted. */
  #interrupted(book: RoomBook, attempts: readonly AttemptRecord[]): void {
    for (const { number, worker, result } of attempts) {
      if (result !== 'interrupted') continue;
      const message = book.messages[book.settled.length];
      const attempt = message?.attempts.find((one) => one.number === number && one.worker === worker);
      if (attempt === undefined || attempt.interrupted) continue;
      attempt.interrupted = true;
      if (attempt.left && attempt.answer === null && !this.leases.isFenced(worker)) {
        this.#broken(
          'R4',
          book.name,
          `${attempt.sequence} counts as interrupted while its holder waits for its answer`,
        );
      }
    }
  }

  #settled(book: RoomBook, { sequence, outcome, reason, attempts }: SettledRecord): void {
    const message = book.messages[sequence - 1];
    if (message === undefined || sequence !== book.settled.length + 1) {
      this.#broken('R1', book.name, `${sequence} settled after ${book.settled.length}`);
      return;
    }
    book.settled.push({ outcome });
    this.#options.onSettled(book.name, sequence);
    this.count(`settled_${reason === 'superseded' ? reason : outcome}`);
    const wrong = this.#wrongOutcome(book, message, sequence, outcome, reason);
    if (wrong !== null) this.#broken('R1', book.name, `${sequence} ${outcome} (${reason}): ${wrong}`);
    const unheardOf = attempts.find(({ number }) => !message.attempts.some((one) => one.number === number));
    if (unheardOf !== undefined) this.#broken('R7', book.name, `${sequence} had no attempt ${unheardOf.number}`);
  }

  /** What is wrong with an outcome, or null. */
  #wrongOutcome(
    book: RoomBook,
    message: MessageBook,
    sequence: number,
    outcome: string,
    reason: string,
  ): string | null {
    switch (outcome) {
      case 'acked':
        if (message.arrivals === 0) return 'the platform never had it';
        return reason !== 'ack' || this.#wasTold(book, message) ? null : 'no ack of its own channel told it';
      case 'assumed':
        if (message.attempts.length === 0) return 'it was never attempted';
        if (!message.attempts.some(({ left }) => left)) return 'no byte of it ever left';
        return reason !== 'ack_timeout' || message.arrivals > 0 ? null : 'the platform never had it';
      case 'failed': {
        if (reason === 'refused') return message.refusedForGood ? null : 'the platform would have taken it';
        return message.attempts.length >= this.#options.maxAttempts ? null : 'attempts were left';
      }
      case 'expired':
        return this.#isOver(message.expiresAt) ? null : 'it was still valid';
      case 'cancelled':
        if (reason === 'superseded' && message.attempts.length > 0) return 'it had been tried';
        return this.#wrongOrder(book, message, sequence, reason);
      case 'skipped':
        return book.orders.has(`skip ${sequence}`) ? null : 'nobody ordered it';
      default:
        return 'there is no such outcome';
    }
  }

  /** What is wrong with a cancellation, or null. */
  #wrongOrder(book: RoomBook, message: MessageBook, sequence: number, by: string): string | null {
    if (by === 'superseded') return message.superseded ? null : 'no newer message replaces it';
    return book.orders.has(`cancel ${sequence}`) ? null : 'nobody ordered it';
  }

  #wasTold(book: RoomBook, message: MessageBook): boolean {
    return message.told || (this.#options.cumulative && book.messages.some(({ told }) => told));
  }

  #isOver(expiresAt: number | null): boolean {
    const { now, clocksAheadMs } = this.#options;
    return expiresAt !== null && expiresAt <= now() + clocksAheadMs() + 1;
  }

  #claimed(book: RoomBook, row: RowRecord): void {
    const sequence = book.settled.length + 1;
    const message = book.messages[sequence - 1];
    const claim = row.attempts.at(-1);
    if (message === undefined || sequence > book.appended || claim === undefined) {
      this.#broken('R1', book.name, `an attempt of ${sequence}, which nobody published`);
      return;
    }
    if (row.phase !== 'sending' || claim.number !== row.attempt)
      this.#broken('R7', book.name, 'a claim that claims not');
    if (message.markedBy !== null) this.#broken('R1', book.name, `${sequence} was cancelled, and is claimed`);
    const wrongHolder = this.leases.wrongHolder(row.shard, claim.worker, claim.generation);
    if (wrongHolder !== null)
      this.#broken('R3', book.name, `${sequence} is claimed by ${claim.worker}: ${wrongHolder}`);
    const previous = message.attempts.at(-1) ?? null;
    if (claim.number !== (previous?.number ?? 0) + 1) {
      this.#broken('R7', book.name, `attempt ${claim.number} of ${sequence} follows ${previous?.number ?? 0}`);
    }
    if (previous !== null) this.#again(book, message, sequence, previous, claim.worker);
    this.#paced(book, sequence, claim.begunAt);
    const { number, worker, generation } = claim;
    const attempt: AttemptBook = { sequence, number, worker, generation, ...UNSENT };
    message.attempts.push(attempt);
    book.lastClaim = attempt;
  }

  /** R5: in no stretch of time have more attempts begun than the limit lets through; workers' clocks differ a little. */
  #paced(book: RoomBook, sequence: number, begunAt: number): void {
    const { roomLimit, clocksAheadMs } = this.#options;
    book.begun.push(begunAt);
    if (roomLimit === null || roomLimit.everyMs === 0) return;
    for (const [index, since] of book.begun.entries()) {
      const most = roomLimit.burst + (begunAt - since + CLOCKS_DIFFER_MS + clocksAheadMs()) / roomLimit.everyMs;
      if (book.begun.length - index > most) {
        this.#broken('R5', book.name, `${sequence} is attempted beyond the limit on its room`);
        return;
      }
    }
  }

  /** R4: a second attempt begins only after a retryable, an unknown or an unheard answer, or by order. */
  #again(book: RoomBook, message: MessageBook, sequence: number, previous: AttemptBook, worker: string): void {
    if (previous.worker !== worker) {
      if (this.leases.isFenced(previous.worker)) {
        this.count('again_after_take_over');
        return;
      }
      // It lives, and has handed the shard over: its request must have ended before.
      this.count('again_after_hand_over');
    }
    if (!previous.left) {
      this.count('again_after_nothing_left');
      return;
    }
    switch (previous.answer) {
      case null:
        this.#broken('R3', book.name, `${sequence} is attempted again while its request is open`);
        return;
      case 'refused':
      case 'unknown':
        this.count(`again_after_${previous.answer}`);
        return;
      case 'accepted':
        if (message.nacked) this.count('again_after_nack');
        else if (book.orders.has(`retry ${sequence}`)) this.count('again_by_order');
        else this.#broken('R4', book.name, `${sequence} is attempted again, though it was accepted`);
        return;
      default:
        previous.answer satisfies never;
    }
  }

  // ------------------------------------------------------------------------------------------------------ the platform

  /** A process has looked at its lease for the last time and hands a request to the network. */
  leaving(request: RequestRecord): void {
    const { room, messageId } = request;
    const book = this.#book(room);
    const sequence = book.byId.get(messageId) ?? 0;
    const attempt = this.#attemptOf(request);
    if (attempt === null) {
      this.#broken('R1', room, `${sequence} is sent without a claim on disk`);
      return;
    }
    if (attempt.left) this.#broken('R4', room, `attempt ${attempt.number} of ${sequence} is sent twice`);
    if (book.settled.length < sequence - 1) {
      this.#broken('R2', room, `${sequence} is sent while only ${book.settled.length} have settled`);
    }
    const { lastClaim } = book;
    // Only an ack lets the room go on beside a request that its own process has not sent yet.
    const overtaken = lastClaim !== attempt && lastClaim?.worker !== attempt.worker;
    if (overtaken) this.#broken('R3', room, `${sequence} is sent by ${attempt.worker}, which has lost the room`);
    if (lastClaim !== attempt && lastClaim?.sequence === sequence) {
      this.#broken(
        'R3',
        room,
        `attempt ${attempt.number} of ${sequence} is sent after ${lastClaim.number} was claimed`,
      );
    }
    attempt.left = true;
  }

  /** The platform took a request in. */
  arrived(request: RequestRecord): void {
    const { room, messageId } = request;
    const book = this.#book(room);
    const sequence = book.byId.get(messageId) ?? 0;
    const message = book.messages[sequence - 1];
    const attempt = this.#attemptOf(request);
    if (message === undefined || attempt === null) return;
    message.arrivals++;
    if (!sameBytes(message.body, request.body)) this.#broken('R4', room, `${sequence} arrived with another body`);
    message.reference ??= request.reference;
    if (message.reference !== request.reference) this.#broken('R4', room, `${sequence} has two references`);
    if (message.arrivals > 1) this.count('copies');
    this.#countLate(book, sequence, attempt);
    if (message.arrivals > 1) return;
    // R2: for every n that was acked, the platform had n before any copy of a later message.
    for (let earlier = 1; earlier < sequence; earlier++) {
      const acked = book.settled[earlier - 1]?.outcome === 'acked';
      if (acked && book.messages[earlier - 1]?.arrivals === 0) {
        this.#broken('R2', room, `${sequence} arrived before ${earlier}, which counts as acked`);
      }
    }
  }

  /** Copies of n after n+1: on their way for long, or sent by a process that had lost its lease in between. */
  #countLate(book: RoomBook, sequence: number, attempt: AttemptBook): void {
    if (!book.messages.slice(sequence).some(({ arrivals }) => arrivals > 0)) return;
    this.count(this.leases.isFenced(attempt.worker) ? 'late_by_stale_sender' : 'late_by_network');
  }

  /** What a living process was told about a request of its own. */
  answered(request: RequestRecord, answer: 'accepted' | 'refused' | 'unknown'): void {
    const attempt = this.#attemptOf(request);
    if (attempt !== null) attempt.answer = answer;
  }

  /** The platform tells an ack, or answers a look-up with one that is enough. */
  told(room: string, messageId: string): void {
    const message = this.#messageOf(room, messageId);
    if (message !== undefined) message.told = true;
  }

  /** The platform will not take the message: it said so in an answer, or will in a status. */
  refusedForGood(room: string, messageId: string, byStatus: boolean): void {
    const message = this.#messageOf(room, messageId);
    if (message === undefined) return;
    message.refusedForGood = true;
    if (byStatus) message.nacked = true;
  }

  // ------------------------------------------------------------------------------------------------------------ verdict

  row(room: string): RowRecord {
    return this.#book(room).row;
  }

  sequenceOf(room: string, messageId: string): number {
    return this.#book(room).byId.get(messageId) ?? 0;
  }

  /** Rooms that could be claimed, by what is stored. */
  claimable(): RowRecord[] {
    const rows: RowRecord[] = [];
    for (const { row, appended } of this.#rooms.values()) {
      if (!row.paused && appended > row.settled && (row.phase === 'idle' || row.phase === 'ready')) rows.push(row);
    }
    return rows;
  }

  /** Rooms in which something is parked, and what they wait for since when. */
  gaps(): { readonly room: string; readonly waitsFor: number; readonly since: number }[] {
    return [...this.#rooms.values()].flatMap(({ name, order: { since, waitsFor } }) =>
      since === null ? [] : [{ room: name, waitsFor, since }],
    );
  }

  /** Everything that was published has settled. */
  get drained(): boolean {
    for (const book of this.#rooms.values()) if (book.settled.length < book.messages.length) return false;
    return true;
  }

  get settledCount(): number {
    let count = 0;
    for (const book of this.#rooms.values()) count += book.settled.length;
    return count;
  }

  /** The end of a world in which everything should have settled by now. */
  demandDrained(boundMs: number): void {
    for (const { name, messages, settled, row } of this.#rooms.values()) {
      if (settled.length === messages.length) continue;
      const where = `${row.phase}${row.reason === null ? '' : `(${row.reason})`}`;
      this.#broken(
        'R6',
        name,
        `${settled.length} of ${messages.length} settled ${boundMs} ms after the faults, ${where}`,
      );
    }
  }

  broken(promise: string, room: string, what: string): void {
    this.#broken(promise, room, what);
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  #attemptOf({ room, messageId, attempt, worker, generation }: RequestRecord): AttemptBook | null {
    const claimed = this.#messageOf(room, messageId)?.attempts.find(({ number }) => number === attempt);
    return claimed?.worker === worker && claimed.generation === generation ? claimed : null;
  }

  #messageOf(room: string, messageId: string): MessageBook | undefined {
    const book = this.#book(room);
    return book.messages[(book.byId.get(messageId) ?? 0) - 1];
  }

  #book(name: string): RoomBook {
    let book = this.#rooms.get(name);
    if (book === undefined) {
      book = {
        name,
        messages: [],
        byId: new Map(),
        appended: 0,
        settled: [],
        row: { ...NEW_ROW, room: name },
        lastClaim: null,
        begun: [],
        orders: new Set(),
        order: new OrderBook((promise, what) => this.#broken(promise, name, what)),
      };
      this.#rooms.set(name, book);
    }
    return book;
  }

  #broken(promise: string, where: string, what: string): void {
    this.violations.push(`${promise}: ${where}: ${what}`);
  }
}

/** Engine time is sampled by every worker for itself. */
const CLOCKS_DIFFER_MS = 50;

const UNSENT = { left: false, interrupted: false, answer: null };

const NEW_ROW: RowRecord = {
  room: '',
  shard: 0,
  version: 0,
  phase: 'idle',
  reason: null,
  settled: 0,
  paused: false,
  attempt: 0,
  level: 'none',
  mark: null,
  nacked: false,
  attempts: [],
};

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

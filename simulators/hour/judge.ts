/**
 * Judges a virtual hour by what it saw itself: what was published, what the database committed, what left the processes,
 * what the number took and what the phones showed. It shares no code with the engine and takes no word from it.
 *
 *   lost      not settled at the end; or settled as acked or assumed and neither shown nor waiting for an offline phone
 *   R1        a message settles once, in its turn; as acked only where an ack of its own was told; as assumed only where
 *             an attempt of it began
 *   R2        the first request of n+1 leaves only after the commit that settled n, and n was at the platform if acked
 *   R3        one message of a room is in flight, in one request
 *   R4        a message is sent again only after a refusal or an unknown outcome
 *   order     a message that is first shown after a later one of its room was swapped; an acked one never is
 */
import type { Load } from './load.ts';

export type Outcome = 'acked' | 'assumed' | 'failed' | 'expired' | 'cancelled' | 'skipped';
export type Level = 'sent' | 'delivered' | 'read';
export type Answer = 'accepted' | 'refused' | 'unknown';

const OUTCOMES: readonly Outcome[] = ['acked', 'assumed', 'failed', 'expired', 'cancelled', 'skipped'];
const UNSETTLED = 255;
const NO_ANSWER = 0;
const OPEN = 1;
const ANSWERED = { accepted: 2, refused: 3, unknown: 4 } as const;
const KEPT_FINDINGS = 20;

/** Counts of what may happen; what may not is in `findings`. */
export interface JudgedCounts {
  readonly messages: number;
  readonly unsettled: number;
  readonly lost: number;
  readonly waitingForOfflinePhones: number;
  readonly swappedAfterAcked: number;
  readonly swappedAfterAssumed: number;
  readonly copies: number;
  readonly unknownOutcomes: number;
  readonly copiesWithoutReason: number;
  readonly outcomes: Readonly<Record<Outcome, number>>;
  readonly violations: number;
}

export class Judge {
  readonly findings: string[] = [];
  readonly #load: Load;
  readonly #now: () => number;
  /** Messages of each room, by their number in it. */
  readonly #inRoom: number[][];
  readonly #appended: Int32Array;
  readonly #settled: Int32Array;
  /** The highest number that each room's phone has shown. */
  readonly #highestShown: Int32Array;
  readonly #outcome: Uint8Array;
  readonly #told: Uint8Array;
  readonly #request: Uint8Array;
  readonly #requestOf: (string | null)[];
  readonly #arrivals: Uint8Array;
  readonly #unknown: Uint8Array;
  readonly #phoneOffline: Uint8Array;
  /** Virtual ms since the opening; NaN for what has not happened. */
  readonly appendedAt: Float64Array;
  readonly firstLeftAt: Float64Array;
  readonly headAt: Float64Array;
  readonly takenAt: Float64Array;
  readonly shownAt: Float64Array;
  readonly settledAt: Float64Array;
  readonly swapped: Uint8Array;
  settledCount = 0;
  lastTakenAt = 0;
  #violations = 0;

  constructor(load: Load, now: () => number) {
    this.#load = load;
    this.#now = now;
    const { count, rooms } = load;
    this.#inRoom = Array.from({ length: rooms }, () => []);
    for (let message = 0; message < count; message++) this.#inRoom[load.room[message] as number]?.push(message);
    this.#appended = new Int32Array(rooms);
    this.#settled = new Int32Array(rooms);
    this.#highestShown = new Int32Array(rooms);
    this.#outcome = new Uint8Array(count).fill(UNSETTLED);
    this.#told = new Uint8Array(count);
    this.#request = new Uint8Array(count);
    this.#requestOf = Array.from({ length: count }, () => null);
    this.#arrivals = new Uint8Array(count);
    this.#unknown = new Uint8Array(count);
    this.#phoneOffline = new Uint8Array(count);
    const times = (): Float64Array => new Float64Array(count).fill(Number.NaN);
    this.appendedAt = times();
    this.firstLeftAt = times();
    this.headAt = times();
    this.takenAt = times();
    this.shownAt = times();
    this.settledAt = times();
    this.swapped = new Uint8Array(count);
  }

  get drained(): boolean {
    return this.settledCount === this.#load.count;
  }

  outcomeOf(message: number): Outcome | null {
    return OUTCOMES[this.#outcome[message] as number] ?? null;
  }

  // --------------------------------------------------------------------------------------------------------- database

  appended(room: number, message: number, sequence: number): void {
    const expected = this.#appendNext(room);
    if (message !== expected || sequence !== this.#appended[room]) {
      this.#broken(`R1: message ${message} has number ${sequence} of room ${room}, where ${expected} was due`);
    }
    this.appendedAt[message] = this.#now();
    if (sequence === (this.#settled[room] as number) + 1) this.headAt[message] = this.#now();
  }

  /** @returns the message, or null where there is none of this number */
  settled(room: number, sequence: number, outcome: Outcome): number | null {
    const message = this.#inRoom[room]?.[sequence - 1];
    const before = this.#settled[room] as number;
    if (message === undefined || sequence !== before + 1 || sequence > (this.#appended[room] as number)) {
      this.#broken(`R1: number ${sequence} of room ${room} settled after ${before}`);
      return null;
    }
    this.#settled[room] = sequence;
    this.#outcome[message] = OUTCOMES.indexOf(outcome);
    this.settledAt[message] = this.#now();
    this.settledCount++;
    const next = this.#inRoom[room]?.[sequence];
    if (next !== undefined && sequence < (this.#appended[room] as number)) this.headAt[next] = this.#now();
    if (outcome === 'acked' && this.#told[message] === 0) {
      this.#broken(`R1: message ${message} settled as acked, and no ack of its own was told`);
    }
    if (outcome === 'assumed' && this.#request[message] === NO_ANSWER) {
      this.#broken(`R1: message ${message} settled as assumed, and was never attempted`);
    }
    if (outcome !== 'acked' && outcome !== 'assumed') {
      this.#broken(`R1: message ${message} ${outcome}: nobody ordered it, and the platform would have taken it`);
    }
    return message;
  }

  // --------------------------------------------------------------------------------------------------------- requests

  leaving(message: number, process: string): void {
    const room = this.#load.room[message] as number;
    const sequence = this.#load.ordinal[message] as number;
    const settled = this.#settled[room] as number;
    if (sequence > settled + 1) this.#broken(`R2: message ${message} left before its predecessor had settled`);
    // An ack that another process took may settle it between the claim and this; then nothing later has left yet.
    const next = this.#inRoom[room]?.[sequence];
    if (next !== undefined && this.#request[next] !== NO_ANSWER) {
      this.#broken(`R3: message ${message} left after its successor`);
    }
    if (this.#request[message] === OPEN) this.#broken(`R3: message ${message} left while its request is open`);
    if (this.#request[message] === ANSWERED.accepted) this.#broken(`R4: message ${message} left, though accepted`);
    const before = this.#inRoom[room]?.[sequence - 2];
    if (before !== undefined && this.outcomeOf(before) === 'acked' && this.#arrivals[before] === 0) {
      this.#broken(`R2: message ${message} left before the platform had its predecessor`);
    }
    this.#request[message] = OPEN;
    this.#requestOf[message] = process;
    if (Number.isNaN(this.firstLeftAt[message])) this.firstLeftAt[message] = this.#now();
  }

  answered(message: number, answer: Answer): void {
    this.#request[message] = ANSWERED[answer];
    this.#requestOf[message] = null;
    if (answer === 'unknown') this.#unknown[message] = (this.#unknown[message] as number) + 1;
  }

  /** Nobody will hear the answers to its open requests. */
  died(process: string): void {
    this.#requestOf.forEach((sender, message) => {
      if (sender === process) this.answered(message, 'unknown');
    });
  }

  taken(message: number): void {
    const arrivals = (this.#arrivals[message] as number) + 1;
    this.#arrivals[message] = arrivals;
    if (arrivals > 1) return;
    this.takenAt[message] = this.#now();
    this.lastTakenAt = this.#now();
  }

  // ----------------------------------------------------------------------------------------------- phones and statuses

  waitsForPhone(message: number): void {
    this.#phoneOffline[message] = 1;
  }

  shown(message: number): void {
    this.#phoneOffline[message] = 0;
    if (!Number.isNaN(this.shownAt[message])) return;
    this.shownAt[message] = this.#now();
    const room = this.#load.room[message] as number;
    const sequence = this.#load.ordinal[message] as number;
    if (sequence < (this.#highestShown[room] as number)) this.swapped[message] = 1;
    else this.#highestShown[room] = sequence;
  }

  /** A status of the message is handed to the engine. */
  told(message: number, level: Level): void {
    if (level !== 'sent') this.#told[message] = 1;
  }

  // ----------------------------------------------------------------------------------------------------------- verdict

  broken(what: string): void {
    this.#broken(what);
  }

  /** Once nothing is on its way any more. */
  verdict(): JudgedCounts {
    const outcomes: Record<Outcome, number> = { acked: 0, assumed: 0, failed: 0, expired: 0, cancelled: 0, skipped: 0 };
    let lost = 0;
    let waiting = 0;
    let swappedAfterAcked = 0;
    let swappedAfterAssumed = 0;
    let copies = 0;
    let unknownOutcomes = 0;
    let copiesWithoutReason = 0;
    for (let message = 0; message < this.#load.count; message++) {
      const outcome = this.outcomeOf(message);
      if (outcome !== null) outcomes[outcome]++;
      const isShown = !Number.isNaN(this.shownAt[message]);
      const waits = !isShown && this.#phoneOffline[message] === 1;
      if (waits) waiting++;
      if (outcome === null || !(isShown || waits)) lost++;
      if (this.swapped[message] === 1) {
        if (outcome === 'acked') swappedAfterAcked++;
        else swappedAfterAssumed++;
      }
      const more = Math.max(0, (this.#arrivals[message] as number) - 1);
      const unknown = this.#unknown[message] as number;
      copies += more;
      unknownOutcomes += unknown;
      copiesWithoutReason += Math.max(0, more - unknown);
    }
    return {
      messages: this.#load.count,
      unsettled: this.#load.count - this.settledCount,
      lost,
      waitingForOfflinePhones: waiting,
      swappedAfterAcked,
      swappedAfterAssumed,
      copies,
      unknownOutcomes,
      copiesWithoutReason,
      outcomes,
      violations: this.#violations,
    };
  }

  #appendNext(room: number): number | undefined {
    const number = (this.#appended[room] as number) + 1;
    this.#appended[room] = number;
    return this.#inRoom[room]?.[number - 1];
  }

  #broken(what: string): void {
    this.#violations++;
    if (this.findings.length < KEPT_FINDINGS) this.findings.push(`at ${Math.round(this.#now())} ms: ${what}`);
  }
}

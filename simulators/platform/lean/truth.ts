import { contentHash } from '../content-hash.ts';
import type { GroundTruthRecord, ReceiptRecord } from '../ground-truth.ts';
import { ByteStrings, Numbers } from './columns.ts';

const Kind = { receipt: 1, answer: 2, shown: 3, lost: 4, call: 5, called: 6, event: 7 } as const;

/** What became of a request. */
export const Decision = { accepted: 1, refused: 2, unknown: 3, dropped: 4, invalid: 5 } as const;
export type DecisionNumber = (typeof Decision)[keyof typeof Decision];

/** A request as it was read. */
export interface Received {
  readonly channel: string;
  readonly attempt: number;
  readonly worker: string;
  readonly generation: number;
  readonly connection: number;
  readonly body: Buffer;
  readonly decision: DecisionNumber;
  readonly fault: string;
}

/** Few different texts, as numbers. */
class Names {
  readonly #names: string[] = [];
  readonly #numbers = new Map<string, number>();

  number(name: string): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    this.#numbers.set(name, this.#names.length);
    return this.#names.push(name) - 1;
  }

  name(number: number): string {
    return this.#names[number] ?? '';
  }
}

/** What goes before a called record's status: its attempt. */
const STATUSES = 1_000;

/**
 * Everything that happens, as numbers and raw bodies, some 350 bytes a message; the records of the ground truth are made
 * of it when somebody asks. A request and the message that it may become have the same number.
 */
export class Truth {
  readonly #startedAt = performance.now();
  readonly #wallOffset = Date.now() - performance.now();
  readonly #names = new Names();
  readonly #events: { event: string; detail?: unknown }[] = [];
  /** In the order of what happened. */
  readonly #kinds = Numbers.integers();
  readonly #times = Numbers.reals();
  readonly #subjects = Numbers.integers();
  readonly #details = Numbers.integers();
  /** By request. */
  readonly #bodies = new ByteStrings();
  readonly #channels = Numbers.integers();
  readonly #attempts = Numbers.integers();
  readonly #workers = Numbers.integers();
  readonly #generations = Numbers.integers();
  readonly #connections = Numbers.integers();
  readonly #decisions = Numbers.integers();
  readonly #faults = Numbers.integers();
  /** By call. */
  readonly #firstItems = Numbers.integers();
  readonly #sizes = Numbers.integers();
  readonly #items = Numbers.integers();
  readonly #seed: string;

  constructor(seed: string) {
    this.#seed = seed;
  }

  /** Milliseconds since the start. */
  now(): number {
    return performance.now() - this.#startedAt;
  }

  wallMs(at = this.now()): number {
    return at + this.#startedAt + this.#wallOffset;
  }

  idOf(message: number): string {
    return `${Math.floor(this.wallMs(0)).toString(36)}-${message.toString(36)}`;
  }

  /** Returns its number. */
  received(request: Received, at: number): number {
    const number = this.#channels.length;
    this.#bodies.push(request.body);
    this.#channels.push(this.#names.number(request.channel));
    this.#attempts.push(request.attempt);
    this.#workers.push(this.#names.number(request.worker));
    this.#generations.push(request.generation);
    this.#connections.push(request.connection);
    this.#decisions.push(request.decision);
    this.#faults.push(this.#names.number(request.fault));
    this.#happened(Kind.receipt, at, number, 0);
    return number;
  }

  answered(request: number, status: number): void {
    this.#happened(Kind.answer, this.now(), request, status);
  }

  /** @param lost its status will not be told */
  shown(message: number, lost: boolean, at: number): void {
    this.#happened(Kind.shown, at, message, 0);
    if (lost) this.#happened(Kind.lost, at, message, 0);
  }

  /** A call that will tell of these messages. Returns its number. */
  composed(messages: readonly number[]): number {
    this.#firstItems.push(this.#items.length);
    this.#sizes.push(messages.length);
    for (const message of messages) this.#items.push(message);
    return this.#sizes.length - 1;
  }

  calling(call: number, attempt: number): void {
    this.#happened(Kind.call, this.now(), call, attempt);
  }

  /** @param status 0: the connection ended without an answer */
  called(call: number, attempt: number, status: number): void {
    this.#happened(Kind.called, this.now(), call, attempt * STATUSES + status);
  }

  event(event: string, detail?: unknown): void {
    this.#events.push({ event, ...(detail === undefined ? {} : { detail }) });
    this.#happened(Kind.event, this.now(), this.#events.length - 1, 0);
  }

  /** Everything so far. */
  *records(): Generator<GroundTruthRecord> {
    yield { t: 'start', at: 0, wall: this.wallMs(0), seed: this.#seed, profile: 'generic' };
    const orders = new Map<string, number>();
    for (let row = 0; row < this.#kinds.length; row++) {
      const at = this.#times.at(row);
      const subject = this.#subjects.at(row);
      const detail = this.#details.at(row);
      switch (this.#kinds.at(row)) {
        case Kind.receipt:
          yield this.#receipt(subject, at);
          break;
        case Kind.answer: {
          const decision = this.#decisions.at(subject);
          const unknownOutcome = decision === Decision.unknown || decision === Decision.dropped;
          yield { t: 'answer', r: subject, at, status: detail, unknownOutcome };
          break;
        }
        case Kind.shown: {
          const phone = `${this.#channels.at(subject)} ${this.#read(subject).to ?? ''}`;
          const order = (orders.get(phone) ?? 0) + 1;
          orders.set(phone, order);
          yield { t: 'shown', m: subject, at, order };
          break;
        }
        case Kind.lost:
          yield { t: 'status', m: subject, at, status: 'delivered', lost: true };
          break;
        case Kind.call: {
          const m = this.#itemsOf(subject);
          const channel = this.#names.name(this.#channels.at(m[0] ?? 0));
          const s = 'd'.repeat(m.length);
          yield { t: 'call', call: subject, attempt: detail, at, channel, signature: 'right', m, s, junk: 0 };
          break;
        }
        case Kind.called: {
          const [attempt, status] = [Math.floor(detail / STATUSES), detail % STATUSES];
          yield { t: 'called', call: subject, attempt, at, status, ...(status === 0 ? { error: 'RESET' } : {}) };
          break;
        }
        default:
          yield { t: 'event', at, event: '', ...this.#events[subject] };
      }
    }
  }

  #happened(kind: number, at: number, subject: number, detail: number): void {
    this.#kinds.push(kind);
    this.#times.push(at);
    this.#subjects.push(subject);
    this.#details.push(detail);
  }

  #receipt(r: number, at: number): ReceiptRecord {
    const decision = this.#decisions.at(r);
    const { reference, to, content } = this.#read(r);
    const fault = this.#names.name(this.#faults.at(r));
    const channel = this.#names.name(this.#channels.at(r));
    return {
      ...{ t: 'receipt', r, at, wall: this.wallMs(at), conn: this.#connections.at(r), channel, account: channel },
      ...(reference === undefined ? {} : { reference }),
      attempt: this.#attempts.at(r),
      worker: this.#names.name(this.#workers.at(r)),
      generation: String(this.#generations.at(r)),
      ...(to === undefined ? {} : { to }),
      ...(content === undefined ? {} : { hash: contentHash(content) }),
      ...(content?.key === undefined ? {} : { key: content.key }),
      ...(content?.run === undefined ? {} : { run: content.run }),
      ...(fault === '' ? {} : { fault }),
      ...(decision === Decision.invalid ? { permanent: true } : {}),
      ...(decision === Decision.accepted ? { m: r, id: this.idOf(r) } : {}),
      decision: decision === Decision.accepted ? 'accepted' : decision === Decision.dropped ? 'dropped' : 'refused',
    };
  }

  #itemsOf(call: number): number[] {
    const first = this.#firstItems.at(call);
    return Array.from({ length: this.#sizes.at(call) }, (_, index) => this.#items.at(first + index));
  }

  /** Empty where the body could not be read. */
  #read(request: number): Body {
    try {
      return JSON.parse(this.#bodies.at(request).toString()) as Body;
    } catch (error) {
      if (error instanceof SyntaxError) return {};
      throw error;
    }
  }
}

interface Body {
  readonly reference?: string;
  readonly to?: string;
  readonly content?: { readonly key?: string; readonly run?: string };
}

/**
 * Fast durable ingestion: messages of all sources go through one lane in the order in which they came, so that a room's
 * order holds up to the commit. A batch that the store cannot take now is tried again before anything behind it; a
 * message that the store will never take is found by halving and refused alone.
 */
import { RoomlineError } from '../errors.ts';
import type { RoomAddress } from '../room/room.ts';
import { errorFields } from '../telemetry.ts';
import { AGAIN, Batcher } from './batcher.ts';
import type { CursorMove } from './buffer-ports.ts';
import { ChannelCounts } from './channel-depth.ts';
import type { Gaps } from './gaps.ts';
import type { Instruments } from './instruments.ts';
import type { AppendedRow, AppendResult, Clock, EndOfTurn, IntakeResult, NewMessage, RoomStore } from './ports.ts';
import type { Recipients } from './recipients.ts';
import type { References } from './reference.ts';
import type { Rooms } from './rooms.ts';
import { Superseding } from './superseding.ts';

export interface IntakeDependencies {
  readonly store: RoomStore;
  readonly rooms: Rooms;
  /** Is told what gaps rooms have. */
  readonly gaps: Pick<Gaps, 'noted'>;
  /** Is told whom committed messages go to, where that is not the room's name. Absent: nobody is. */
  readonly recipients?: Pick<Recipients, 'addressed'>;
  /** Tells a message's room, wherever that is held, that it is in the store. */
  readonly raised: (address: RoomAddress, tail: number) => Promise<void>;
  readonly clock: Clock;
  readonly references: References;
  readonly instruments: Instruments;
  readonly maxRows: number;
  /** Messages that may wait for their commit; more are refused with `overloaded`. */
  readonly maxWaiting: number;
  /** Of the bodies of those that came by HTTP; more are refused as well. */
  readonly maxWaitingBytes: number;
  /** Longest wait of a batch for as many messages as there were at the end of the last one, in ms. */
  readonly lingerMs: number;
  readonly endOfTurn: EndOfTurn;
  /** False while nothing may be taken: until it is decided which past of the database is the true one. */
  readonly mayAccept: () => boolean;
  /** True for an error that the same message would meet again: a value that the store refuses. */
  readonly isPermanent: (error: unknown) => boolean;
}

const RETRY_MS = 200;
/** Bodies in one statement: each process and the server hold them several times over meanwhile. */
const MAX_BATCH_BYTES = 16 * 1_048_576;

/** What the store refuses of a message. */
export interface Refused {
  readonly kind: 'refused';
  readonly error: unknown;
}

type Outcome = AppendResult | Refused;

export class Intake {
  readonly #to: IntakeDependencies;
  readonly #lane: Batcher<NewMessage, Outcome>;
  readonly #superseding: Superseding;
  readonly #outstanding = { pubsub: 0, http: 0, buffer: 0 };
  /** Of the bodies that came by HTTP: those of requests that are answered by now wait for the store as well. */
  #waitingBytes = 0;
  /** Messages whose publisher has no answer yet: what comes from the buffer was answered when it went there. */
  readonly accepting = new ChannelCounts();
  /** Why the last append has to be repeated; undefined where it went well. */
  #failing: string | undefined;
  #closed = false;
  /** So many at the head of the lane may be stored although their append failed, and come back as duplicates then. */
  #maybeStored = 0;
  /** The store failed while closing: from then on everything is refused, so that nothing overtakes what was. */
  #givenUp = false;

  constructor(dependencies: IntakeDependencies) {
    this.#to = dependencies;
    const { clock, endOfTurn, lingerMs, maxRows } = dependencies;
    this.#superseding = new Superseding(dependencies);
    this.#lane = new Batcher({
      maxRows,
      weight: { of: ({ body }) => body.length, most: MAX_BATCH_BYTES },
      flush: (batch) => this.#appendNext(batch),
      pauseBeforeAgain: () => new Promise((resolve) => clock.after(RETRY_MS, resolve)),
      ...(lingerMs > 0
        ? { company: { endOfTurn, mostMs: lingerMs, after: (ms, callback) => clock.after(ms, callback) } }
        : {}),
    });
  }

  /** Messages received and not yet committed. */
  get outstanding(): number {
    return this.#outstanding.pubsub + this.#outstanding.http + this.#outstanding.buffer;
  }

  /**
   * Resolves after the commit, and after the message that this one supersedes was cancelled, if it was. Calls for one room commit in the order of the calls.
   * @throws RoomlineError `overloaded` (nothing was accepted), or what the store refuses of this message
   */
  async accept(message: NewMessage): Promise<IntakeResult> {
    const { metrics } = this.#to.instruments;
    // A queue bounds itself by what it hands out; to refuse one of its messages would let later ones overtake it.
    if (this.#closed || (message.source === 'http' && this.#isFullFor([message]))) throw intakeFull();
    this.#count(message.source, [message], 1);
    metrics.intakeReceived.inc({ source: message.source });
    const receivedAt = this.#to.clock.monotonic();
    try {
      const outcome = await this.#lane.submit(message);
      metrics.intakeCommitSeconds.observe({ source: message.source }, (this.#to.clock.monotonic() - receivedAt) / 1000);
      const answer = this.#answer(message, outcome);
      if (answer.kind === 'refused') throw answer.error;
      await this.#supersede(message, answer);
      return answer;
    } finally {
      this.#count(message.source, [message], -1);
    }
  }

  /**
   * Takes messages that came by HTTP in one request as one unit of work. Resolves once each of them is committed or
   * refused, and what they supersede is decided; messages of one room are numbered in the order of the batch.
   * @throws RoomlineError `overloaded` where they do not all fit: nothing was accepted. A batch that is larger than the
   * bound fits where nothing else waits.
   */
  async acceptAll(messages: readonly NewMessage[]): Promise<readonly (IntakeResult | Refused)[]> {
    const { metrics } = this.#to.instruments;
    if (this.#closed || this.#isFullFor(messages)) throw intakeFull();
    this.#count('http', messages, 1);
    metrics.intakeReceived.inc({ source: 'http' }, messages.length);
    const receivedAt = this.#to.clock.monotonic();
    try {
      const outcomes = await this.#lane.submitAll(messages, (error): Outcome => ({ kind: 'refused', error }));
      metrics.intakeCommitSeconds.observe({ source: 'http' }, (this.#to.clock.monotonic() - receivedAt) / 1000);
      const answers = outcomes.map((outcome, index) => this.#answer(messages[index] as NewMessage, outcome));
      if (messages.every(({ supersedes }) => supersedes === null)) return answers;
      return await Promise.all(
        answers.map((answer, index) =>
          this.#supersede(messages[index] as NewMessage, answer).then(
            () => answer,
            (error: unknown): Refused => ({ kind: 'refused', error }),
          ),
        ),
      );
    } finally {
      this.#count('http', messages, -1);
    }
  }

  /**
   * Takes what one read of the buffer brought, in a transaction of its own that moves the cursor of its partition. Resolves
   * after the commit, and after what the messages supersede is decided.
   * @param cursor null: they have committed before, and are appended again to learn what came of that
   * @throws CursorMovedError, or what the store gives: nothing is known of the messages then
   */
  async acceptBuffered(messages: readonly NewMessage[], cursor: CursorMove | null): Promise<readonly IntakeResult[]> {
    const { store, instruments, clock } = this.#to;
    const { metrics } = instruments;
    if (this.#closed) throw new RoomlineError('not_ready', { detail: 'intake has ended' });
    if (!this.#to.mayAccept()) throw new RoomlineError('another_history');
    const source = 'buffer';
    this.#count(source, messages, 1);
    const receivedAt = clock.monotonic();
    try {
      metrics.batchRows.observe({ statement: 'append' }, messages.length);
      const results = await store.append(messages, cursor);
      if (cursor !== null) metrics.intakeReceived.inc({ source }, messages.length);
      metrics.intakeCommitSeconds.observe({ source }, (clock.monotonic() - receivedAt) / 1000);
      this.#committed(messages, results, cursor === null);
      const answers = results.map(
        (result, index) => this.#answer(messages[index] as NewMessage, result) as IntakeResult,
      );
      await Promise.all(answers.map((answer, index) => this.#supersede(messages[index] as NewMessage, answer)));
      return answers;
    } finally {
      this.#count(source, messages, -1);
    }
  }

  async #supersede({ supersedes }: NewMessage, answer: IntakeResult | Refused): Promise<void> {
    if (supersedes === null || (answer.kind !== 'accepted' && answer.kind !== 'parked')) return;
    // Whatever has a sequence by now comes before what is parked.
    const sequence = answer.sequence ?? Number.MAX_SAFE_INTEGER;
    await this.#superseding.supersede(answer.address, sequence, supersedes);
  }

  /** What exceeds the bounds by itself fits where nothing else waits. */
  #isFullFor(messages: readonly NewMessage[]): boolean {
    const { maxWaiting, maxWaitingBytes } = this.#to;
    const { outstanding } = this;
    if (outstanding === 0) return false;
    return outstanding + messages.length > maxWaiting || this.#waitingBytes + bytesOf(messages) > maxWaitingBytes;
  }

  #count(source: NewMessage['source'], messages: readonly NewMessage[], by: 1 | -1): void {
    this.#outstanding[source] += by * messages.length;
    if (source === 'http') this.#waitingBytes += by * bytesOf(messages);
    this.#to.instruments.metrics.intakeOutstanding.set({ source }, this.#outstanding[source]);
    this.#countAccepting(messages, by);
  }

  #countAccepting(messages: readonly NewMessage[], by: 1 | -1): void {
    for (const { source, key } of messages) if (source !== 'buffer') this.accepting.add(key, by);
  }

  /** Accepts nothing further; resolves when what was accepted is committed, or refused because the store is away. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#superseding.close();
    await this.#lane.idle();
  }

  #answer({ messageId }: NewMessage, outcome: Outcome): IntakeResult | Refused {
    const { references } = this.#to;
    switch (outcome.kind) {
      case 'refused':
        return outcome;
      case 'appended': {
        const { row, sequence, late } = outcome;
        const address = { shard: row.shard, id: row.id };
        return accepted(references, address, sequence, false, late);
      }
      case 'parked': {
        const { row, order, duplicate, gap } = outcome;
        const address = { shard: row.shard, id: row.id };
        return { kind: 'parked', address, sequence: null, messageId, order, waitsFor: gap.waitsFor, duplicate };
      }
      case 'duplicate': {
        const { address, sequence } = outcome;
        return accepted(references, address, sequence, true);
      }
      case 'conflict': {
        const { address, sequence } = outcome;
        const reference = sequence === null ? null : references.encode(address, sequence);
        return { kind: 'conflict', sequence, reference };
      }
      case 'order_conflict':
        return { kind: 'order_conflict', sequence: null, order: outcome.order };
      default:
        return outcome satisfies never;
    }
  }

  async #appendNext(batch: readonly NewMessage[]): Promise<(Outcome | typeof AGAIN)[]> {
    const outcomes = await this.#append(batch);
    const again = outcomes.filter((outcome) => outcome === AGAIN).length;
    this.#maybeStored = Math.max(again, this.#maybeStored - (batch.length - again));
    return outcomes;
  }

  async #append(batch: readonly NewMessage[]): Promise<(Outcome | typeof AGAIN)[]> {
    const { store, instruments, isPermanent } = this.#to;
    if (this.#givenUp) throw new RoomlineError('not_ready', { detail: 'intake has ended' });
    if (!this.#to.mayAccept()) return this.#again(batch, new RoomlineError('another_history'));
    try {
      instruments.metrics.batchRows.observe({ statement: 'append' }, batch.length);
      const results = await store.append(batch);
      this.#failing = undefined;
      this.#committed(batch, results, this.#maybeStored > 0);
      return results;
    } catch (error) {
      if (!isPermanent(error)) return this.#again(batch, error);
      this.#tell(batch, error);
      if (batch.length === 1) return [{ kind: 'refused', error }];
      const middle = batch.length >> 1;
      const first = await this.#append(batch.slice(0, middle));
      // Nothing behind a part that must be tried again may overtake it.
      if (first.includes(AGAIN)) return [...first, ...batch.slice(middle).map((): Outcome | typeof AGAIN => AGAIN)];
      return [...first, ...(await this.#append(batch.slice(middle)))];
    }
  }

  /** Appending again is safe: what had committed is found by its id. */
  #again(batch: readonly NewMessage[], error: unknown): (typeof AGAIN)[] {
    // Once for each reason: it comes again several times a second.
    const { code, errorName } = errorFields(error);
    const reason = code ?? errorName;
    if (this.#failing !== reason) this.#tell(batch, error);
    this.#failing = reason;
    if (this.#closed) this.#givenUp = true;
    if (this.#givenUp) throw new RoomlineError('not_ready', { detail: 'intake has ended', cause: error });
    return batch.map((): typeof AGAIN => AGAIN);
  }

  #tell(batch: readonly NewMessage[], error: unknown): void {
    const { log } = this.#to.instruments;
    log.event('intake.batch_failed', { source: 'all', count: batch.length, ...errorFields(error) });
  }

  /** Tells a room by way of the store: of an append whose answer was lost, or of one that memory knows too little of. */
  #tellRoom({ shard, id }: RoomAddress, sequence: number): void {
    this.#to.raised({ shard, id }, sequence).catch((error: unknown) => {
      // The store is away again; the sweep finds the room.
      this.#to.instruments.log.event('intake.batch_failed', { source: 'all', count: 1, ...errorFields(error) });
    });
  }

  #addressed({ key, acceptedAt }: NewMessage, to: string, result: AppendResult): void {
    if (result.kind === 'conflict' || result.kind === 'order_conflict') return;
    this.#to.recipients?.addressed(key, 'row' in result ? result.row : result.address, to, acceptedAt);
  }

  /** @param answerLost what is a duplicate may have been appended by a statement that nobody learnt the outcome of */
  #committed(batch: readonly NewMessage[], results: readonly AppendResult[], answerLost: boolean): void {
    const { rooms, gaps, instruments } = this.#to;
    const perRoom = new Map<number, ToRoom>();
    const toRoom = (row: AppendedRow): ToRoom => {
      const known = perRoom.get(row.id) ?? { row, messages: [], parked: 0 };
      perRoom.set(row.id, known);
      return known;
    };
    const counts = {
      pubsub: { appended: 0, duplicates: 0 },
      http: { appended: 0, duplicates: 0 },
      buffer: { appended: 0, duplicates: 0 },
    };
    results.forEach((result, index) => {
      const message = batch[index] as NewMessage;
      const count = counts[message.source];
      if (message.to !== undefined) this.#addressed(message, message.to, result);
      switch (result.kind) {
        case 'appended':
          count.appended++;
          toRoom(result.row).messages.push({ message, sequence: result.sequence });
          gaps.noted(result.row, result.gap ?? null);
          return;
        case 'parked':
          if (result.duplicate) count.duplicates++;
          else {
            count.appended++;
            toRoom(result.row).parked++;
          }
          gaps.noted(result.row, result.gap);
          return;
        case 'duplicate':
          count.duplicates++;
          if (answerLost) this.#tellRoom(result.address, result.sequence);
          return;
        default:
      }
    });
    for (const { row, messages, parked } of perRoom.values()) {
      if (!rooms.appended(row, messages, parked)) this.#tellRoom(row, row.tail);
    }
    for (const source of ['pubsub', 'http', 'buffer'] as const) {
      const { appended, duplicates } = counts[source];
      if (appended + duplicates === 0) continue;
      instruments.metrics.messagesAccepted.inc({ source }, appended);
      instruments.metrics.intakeDuplicates.inc({ source }, duplicates);
      instruments.telemetry.emit('intake.committed', { source, appended, duplicates });
    }
  }
}

function bytesOf(messages: readonly NewMessage[]): number {
  return messages.reduce((sum, { body }) => sum + body.length, 0);
}

function intakeFull(): RoomlineError {
  return new RoomlineError('overloaded', { detail: 'intake is full', retryAfterMs: 1_000 });
}

/** What a batch brought one room; those parked have no part in it yet. */
interface ToRoom {
  readonly row: AppendedRow;
  readonly messages: { readonly message: NewMessage; readonly sequence: number }[];
  parked: number;
}

/** The reference is made for those who ask for it: a queue does not. */
function accepted(
  references: References,
  address: RoomAddress,
  sequence: number,
  duplicate: boolean,
  late?: true,
): IntakeResult {
  return {
    kind: 'accepted',
    address,
    sequence,
    get reference() {
      return references.encode(address, sequence);
    },
    duplicate,
    ...(late === undefined ? {} : { late }),
  };
}

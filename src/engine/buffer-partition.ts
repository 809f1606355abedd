/**
 * One partition of the buffer as its consumer empties it: read what follows the cursor, insert it and move the cursor in
 * one transaction, then let the stream forget it. What was read and not committed is read again before anything newer.
 *
 *   B1  nothing leaves the stream before the cursor has passed it, and what its commit left to do is done
 *   B2  a consumer that was stale or paused stores nothing: the cursor or the partition's term has moved
 *   B3  a store that is away counts against no entry, however long it lasts
 */
import { RoomlineError } from '../errors.ts';
import { errorFields } from '../telemetry.ts';
import { type EntryRules, isRequestId, readEntry } from './buffer-entry.ts';
import {
  BEGINNING,
  type BufferCursors,
  type BufferEntry,
  type BufferRead,
  type BufferStreams,
  type CursorMove,
  CursorMovedError,
  compareEntries,
  type EntryId,
  entryTime,
  type PartitionState,
} from './buffer-ports.ts';
import type { Instruments } from './instruments.ts';
import { type FindChannel, MESSAGE_LIMITS } from './message.ts';
import { channelName } from './policy.ts';
import type { ChannelKey, Clock, DeadLetterStore, EndOfTurn, IntakeResult, NewMessage } from './ports.ts';
import { type DelayMs, type Loop, runLoop } from './service.ts';

export interface PartitionDependencies {
  readonly streams: BufferStreams;
  readonly cursors: BufferCursors;
  /**
   * Appends messages in one transaction that moves the cursor, too; null: what had committed before, appended again to
   * learn what came of it. @throws CursorMovedError, or what the store gives
   */
  readonly accept: (messages: readonly NewMessage[], move: CursorMove | null) => Promise<readonly IntakeResult[]>;
  readonly deadLetters: Pick<DeadLetterStore, 'putIntake'>;
  readonly rules: Omit<EntryRules, 'partition'>;
  /** Asks the store for a channel that is not known here. Rejects while the store is away. */
  readonly seekChannel: (key: ChannelKey) => Promise<ChannelFound>;
  /** True for an error of the store that the same message would meet again. */
  readonly isPermanent: (error: unknown) => boolean;
  /** False while nothing may be stored. */
  readonly mayStore: () => boolean;
  /** Entries in one transaction. */
  readonly maxRows: number;
  /** This process, named anew at each start. */
  readonly consumer: string;
  /** How often an entry is tried alone before it is buried, if the store or this program refuses it. */
  readonly maxTries: number;
  readonly clock: Clock;
  readonly endOfTurn: EndOfTurn;
  readonly instruments: Instruments;
  /** Somebody else has the partition. */
  readonly onLost: () => void;
}

/** `unusable`: there is one, and this process cannot work with its settings. */
export type ChannelFound = 'usable' | 'unusable' | 'absent';

type Found = BufferRead & { readonly kind: 'read' };
type Letter = Parameters<DeadLetterStore['putIntake']>[0][number];

/** Entries that were read, and how far work on them has come. */
interface Work {
  readonly after: EntryId;
  readonly upTo: EntryId;
  readonly entries: readonly BufferEntry[];
  readonly messages: readonly NewMessage[];
  /** The entry of each message. */
  readonly of: readonly BufferEntry[];
  /** They had committed before this consumer had the partition. */
  readonly again: boolean;
  /** Of entries that are no messages; of those that conflict, once that is known. */
  letters: Letter[];
  isCommitted: boolean;
}

/** From one look at an empty stream, or after a batch that was not full, to the next look. */
const POLL_MS = 50;
const RETRY_MS = 200;
/** Entries that are checked before other work of the process has its turn. */
const READ_PER_TURN = 100;
const AWAY_RETRY_MS = 1_000;
const MAX_READ_BYTES = 4 * MESSAGE_LIMITS.maxBytes;
/** An entry this old is not appended again: its message id may be recognised no more. */
const APPEND_AGAIN_MS = 86_400_000;

export class Partition {
  readonly number: number;
  readonly term: number;
  readonly #to: PartitionDependencies;
  readonly #loop: Loop;
  #cursor: EntryId;
  /** Everything up to it is done with; it follows the cursor. */
  #told: EntryId = BEGINNING;
  #history: string | null;
  #work: Work | null = null;
  /** Entries that the next read may bring: fewer after a refusal, so that what is refused is found. */
  #limit: number;
  #lastRefusal = 'consumer_ended';
  /** What is in the way, told once. */
  #trouble: string | null = null;
  #isLost = false;
  /** The store has confirmed the term, though the streams know of a later one. */
  #isSure = false;
  #ending = false;

  constructor(state: PartitionState, dependencies: PartitionDependencies, onFailure: (error: unknown) => void) {
    this.number = state.partition;
    this.term = state.term;
    this.#cursor = state.cursor;
    this.#history = state.history;
    this.#to = dependencies;
    this.#limit = dependencies.maxRows;
    const { clock } = dependencies;
    const timers = { schedule: (delayMs: number, callback: () => void) => clock.after(delayMs, callback) };
    this.#loop = runLoop(() => this.#step(), { timers, onFailure });
  }

  /** Resolves when what is under way is done with or given up: the next consumer begins at the cursor. */
  async stop(): Promise<void> {
    this.#ending = true;
    await this.#loop.stop();
    const { bufferDepth, bufferOldestSeconds } = this.#to.instruments.metrics;
    bufferDepth.remove({ partition: this.number });
    bufferOldestSeconds.remove({ partition: this.number });
  }

  async #step(): Promise<DelayMs> {
    if (this.#isLost) return Number.POSITIVE_INFINITY;
    if (!this.#to.mayStore()) return AWAY_RETRY_MS;
    try {
      if (this.#work === null) {
        const delayMs = await this.#next();
        if (delayMs !== null) return delayMs;
      }
      const work = this.#work;
      return work === null ? 0 : await this.#finish(work);
    } catch (error) {
      if (error instanceof CursorMovedError) return this.#moved();
      this.#tell(error);
      return AWAY_RETRY_MS;
    }
  }

  /** Somebody moved the cursor: another consumer, or this one by a statement whose answer was lost. */
  async #moved(): Promise<DelayMs> {
    try {
      const state = await this.#to.cursors.read(this.number);
      if (state === null || state.term !== this.term) return this.#lost();
      this.#work = null;
      this.#history = state.history;
      this.#cursor = state.cursor;
      // What is between the two was committed by that statement, and what follows a commit is still to be done.
      if (compareEntries(this.#told, this.#cursor) > 0) this.#told = this.#cursor;
      return 0;
    } catch (error) {
      this.#tell(error);
      return AWAY_RETRY_MS;
    }
  }

  // ----------------------------------------------------------------------------------------------------------- reading

  /** @returns null where there is work now, else when to look again */
  async #next(): Promise<DelayMs | null> {
    const { streams, consumer } = this.#to;
    const after = this.#told;
    // What its last consumer committed is still there where that one ended before it had done what follows a commit.
    const again = compareEntries(after, this.#cursor) < 0;
    const read = await streams.read(this.number, {
      reader: { consumer, term: this.term, isSure: this.#isSure },
      history: this.#history,
      after,
      upTo: again ? this.#cursor : null,
      maxEntries: this.#limit,
      maxBytes: MAX_READ_BYTES,
      maxMessageBytes: MESSAGE_LIMITS.maxBytes,
    });
    if (read.kind === 'another_history') return this.#restart(read.history, this.#history !== null);
    if (read.kind === 'overtaken') return this.#confirmTerm();
    if (read.kind === 'went_back') return this.#restart(read.history, true);
    this.#isSure = false;
    if (this.#history === null) {
      await streams.prepared(this.number, after);
      return this.#restart(read.history, false);
    }
    this.#observe(read);
    if (read.entries.length === 0) {
      this.#told = this.#cursor;
      this.#trouble = null;
      return again ? 0 : POLL_MS;
    }
    if (await this.#bury(read, again)) return 0;
    try {
      this.#work = await this.#prepare(read, after, again);
    } catch (error) {
      if (error instanceof EntryError) return this.#refused({ entries: read.entries, after }, error.cause);
      await streams.prepared(this.number, after);
      throw error;
    }
    await streams.prepared(this.number, after);
    return null;
  }

  #observe(read: Found): void {
    const { metrics } = this.#to.instruments;
    const partition = this.number;
    const [first] = read.entries;
    metrics.bufferDepth.set({ partition }, read.length);
    const oldestMs = first === undefined ? 0 : Math.max(0, this.#to.clock.now() - entryTime(first.id));
    metrics.bufferOldestSeconds.set({ partition }, oldestMs / 1_000);
  }

  /** The streams may remember terms of a store that has been replaced. */
  async #confirmTerm(): Promise<DelayMs> {
    const state = await this.#to.cursors.read(this.number);
    if (state?.term !== this.term) return this.#lost();
    this.#isSure = true;
    return 0;
  }

  /** An entry that was refused alone for so often, or ended its consumers, is put aside. */
  async #bury({ entries, tries, buried }: Found, again: boolean): Promise<boolean> {
    const { streams, cursors, maxTries, instruments } = this.#to;
    const [entry, ...more] = entries;
    if (entry === undefined || more.length > 0 || tries < maxTries || entry.id === buried) return false;
    const state = await cursors.read(this.number);
    if (state?.term !== this.term || state.cursor !== this.#cursor) throw new CursorMovedError('the cursor has moved');
    const reason = this.#lastRefusal;
    await streams.bury(this.number, entry.id, reason);
    if (!again) {
      await cursors.move({ partition: this.number, term: this.term, from: this.#cursor, to: entry.id });
      this.#cursor = entry.id;
    }
    instruments.metrics.bufferBuried.inc({ reason });
    instruments.log.event('buffer.entry_buried', {
      partition: this.number,
      reason,
      count: tries,
      requestId: requestIdOf(entry),
    });
    this.#told = entry.id;
    return true;
  }

  async #prepare({ entries, buried }: Found, after: EntryId, again: boolean): Promise<Work> {
    const { clock, endOfTurn } = this.#to;
    const messages: NewMessage[] = [];
    const of: BufferEntry[] = [];
    const letters: Letter[] = [];
    const oldest = clock.now() - APPEND_AGAIN_MS;
    const absent = new Set<string>();
    for (const [index, entry] of entries.entries()) {
      if (index > 0 && index % READ_PER_TURN === 0) await new Promise<void>((resolve) => endOfTurn(resolve));
      // It lies among the dead letters: whoever put it aside ended before the stream forgot it.
      if (entry.id === buried) continue;
      if (again && entryTime(entry.id) < oldest) continue;
      const message = await this.#read(entry, absent);
      if (message instanceof RoomlineError) {
        // Those that had committed have their letters.
        if (!again) letters.push(this.#letter(entry, message));
      } else {
        messages.push(message);
        of.push(entry);
      }
    }
    const upTo = (entries.at(-1) as BufferEntry).id;
    return { after, upTo, entries, messages, of, again, letters, isCommitted: false };
  }

  /**
   * The channel may have been configured a moment ago, or its settings may be of use to another process only: the store
   * decides whether there is none.
   * @param absent channels of which it has said so
   */
  async #read(entry: BufferEntry, absent: Set<string>): Promise<NewMessage | RoomlineError> {
    const { rules, seekChannel } = this.#to;
    let unknown: ChannelKey | null = null as ChannelKey | null;
    const findChannel: FindChannel = (tenant, channel) => {
      const found = rules.findChannel(tenant, channel);
      if (found === null) unknown = { tenant, channel };
      return found;
    };
    for (;;) {
      unknown = null;
      const message = readOrThrow(entry, { ...rules, findChannel, partition: this.number });
      if (unknown === null) return message;
      const name = channelName(unknown);
      if (absent.has(name)) return message;
      const found = await seekChannel(unknown);
      if (found === 'unusable') throw new ChannelUnusableError(`${name} cannot be used here`);
      if (found === 'absent') absent.add(name);
    }
  }

  /** The stream is another one, or went back to what it was before: whatever is in it now is read from its beginning. */
  async #restart(history: string, hasLost: boolean): Promise<DelayMs> {
    const { cursors, instruments } = this.#to;
    const move = { partition: this.number, term: this.term, from: this.#cursor, to: BEGINNING };
    await cursors.restart(move, history);
    if (hasLost) {
      const reason = history === this.#history ? 'went_back' : 'another_history';
      instruments.metrics.bufferLosses.inc({ reason });
      instruments.log.event('buffer.data_lost', { partition: this.number, reason });
    }
    this.#history = history;
    this.#cursor = BEGINNING;
    this.#told = BEGINNING;
    return 0;
  }

  // --------------------------------------------------------------------------------------------------------- inserting

  async #finish(work: Work): Promise<DelayMs> {
    if (!work.isCommitted) {
      const delayMs = await this.#commit(work);
      if (delayMs !== null) return delayMs;
    }
    if (work.letters.length > 0) await this.#putLetters(work.letters);
    work.letters = [];
    this.#told = work.upTo;
    this.#work = null;
    this.#trouble = null;
    const isFull = work.entries.length >= this.#limit;
    this.#limit = Math.min(this.#to.maxRows, this.#limit * 2);
    return isFull || work.again ? 0 : POLL_MS;
  }

  /** @returns null when it has committed, else when to try again */
  async #commit(work: Work): Promise<DelayMs | null> {
    const { accept, cursors, clock, instruments } = this.#to;
    const move = { partition: this.number, term: this.term, from: this.#cursor, to: work.upTo };
    let results: readonly IntakeResult[];
    try {
      // Before the cursor moves: afterwards nobody would know of them.
      if (work.letters.length > 0) await this.#putLetters(work.letters);
      work.letters = [];
      if (work.messages.length > 0) results = await accept(work.messages, work.again ? null : move);
      else {
        if (!work.again) await cursors.move(move);
        results = [];
      }
    } catch (error) {
      if (!this.#isRefusal(error)) throw error;
      if (!work.again) return this.#refused(work, error);
      // They are in the store. What they still had to tell is found by sweeps.
      this.#tell(error);
      results = [];
    }
    if (!work.again) {
      this.#cursor = work.upTo;
      const now = clock.now();
      for (const { id } of work.entries) {
        instruments.metrics.bufferLagSeconds.observe(Math.max(0, now - entryTime(id)) / 1_000);
      }
    }
    work.isCommitted = true;
    work.letters = results.flatMap((result, index) => {
      const error = refusalOf(result);
      return error === null ? [] : [this.#letter(work.of[index] as BufferEntry, error)];
    });
    return null;
  }

  #isRefusal(error: unknown): boolean {
    return this.#to.isPermanent(error) || error instanceof RangeError || error instanceof TypeError;
  }

  /** Fewer are read next time, so that what is refused is found; alone, and refused for too often, it is buried. */
  async #refused(work: Pick<Work, 'entries' | 'after'>, error: unknown): Promise<DelayMs> {
    const { code, errorName } = errorFields(error);
    this.#lastRefusal = code ?? errorName ?? 'refused';
    this.#tell(error, work.entries.length);
    await this.#to.streams.failed(this.number, work.after);
    this.#limit = Math.max(1, Math.floor(work.entries.length / 8));
    this.#work = null;
    return RETRY_MS;
  }

  async #putLetters(letters: readonly Letter[]): Promise<void> {
    const { deadLetters, instruments } = this.#to;
    await deadLetters.putIntake(letters);
    for (const { reason } of letters) {
      instruments.metrics.intakeRefused.inc({ source: 'buffer', code: reason });
      instruments.metrics.deadLetters.inc({ reason, channel: '' });
      instruments.telemetry.emit('intake.refused', { source: 'buffer', code: reason });
    }
  }

  #letter(entry: BufferEntry, error: RoomlineError): Letter {
    const { code, field, rule } = error;
    // The name of an unknown field is the publisher's own text.
    const known = code === 'field_unknown' ? undefined : field;
    this.#to.instruments.log.event('intake.refused', {
      source: 'buffer',
      code,
      field: known,
      rule,
      requestId: requestIdOf(entry),
    });
    return {
      reason: code,
      detail: [field, rule, error.detail].filter((part) => part !== undefined).join(': '),
      payload: entry.message ?? new Uint8Array(),
      attributes: {
        partition: String(this.number),
        entry: entry.id,
        ...(entry.messageId === null ? {} : { messageId: entry.messageId }),
        ...(entry.requestId === null ? {} : { requestId: entry.requestId }),
      },
      dedupeKey: `buffer:${this.#history}:${this.number}:${entry.id}`,
      at: this.#to.clock.now(),
    };
  }

  // ------------------------------------------------------------------------------------------------------------ telling

  #lost(): DelayMs {
    if (!this.#isLost) {
      this.#to.instruments.log.event('buffer.overtaken', { partition: this.number });
      this.#isLost = true;
      this.#to.onLost();
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Once for each reason: it comes again every second. */
  #tell(error: unknown, count = this.#work?.entries.length ?? 0): void {
    const fields = errorFields(error);
    const reason = fields.code ?? fields.errorName ?? 'failed';
    if (this.#trouble === reason || this.#ending) return;
    this.#trouble = reason;
    this.#to.instruments.log.event('buffer.batch_failed', { partition: this.number, count, ...fields });
  }
}

/** As a line of the log may show it. */
function requestIdOf({ requestId }: BufferEntry): string | undefined {
  return isRequestId(requestId) ? requestId : undefined;
}

/** @throws EntryError */
function readOrThrow(entry: BufferEntry, rules: EntryRules): NewMessage | RoomlineError {
  try {
    return readEntry(entry, rules);
  } catch (cause) {
    throw new EntryError('an entry cannot be read', { cause });
  }
}

/** This program fails over an entry. */
class EntryError extends Error {
  override readonly name = 'EntryError';
}

/** What was accepted for it waits until it can be used, or another process takes the partition. */
class ChannelUnusableError extends Error {
  override readonly name = 'ChannelUnusableError';
}

function refusalOf(result: IntakeResult): RoomlineError | null {
  if (result.kind === 'conflict') {
    return new RoomlineError('message_id_conflict', { field: 'messageId', rule: 'unique in its room' });
  }
  if (result.kind === 'order_conflict') {
    return new RoomlineError('order_conflict', { field: 'order', rule: 'one message has a number' });
  }
  return null;
}

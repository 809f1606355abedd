/**
 * Accepts messages by appending them to the buffer: what has been answered is as safe as Redis keeps it, and the store
 * is not asked. All messages of one call that go to one partition are appended in one step, in their order.
 */
import { RoomlineError } from '../errors.ts';
import { errorFields } from '../telemetry.ts';
import { Batcher } from './batcher.ts';
import { partitionOf, writeEntry } from './buffer-entry.ts';
import {
  type BufferStreams,
  type EntryId,
  type NewEntry,
  OtherLayoutError,
  type PartitionBound,
} from './buffer-ports.ts';
import { ChannelCounts } from './channel-depth.ts';
import type { Instruments } from './instruments.ts';
import type { Refused } from './intake.ts';
import type { NewMessageDraft } from './message.ts';

/** It is in the buffer. Whether it is a duplicate or a conflict is found out when it is inserted. */
export interface Buffered {
  readonly kind: 'buffered';
  readonly messageId: string;
  readonly partition: number;
  readonly entry: EntryId;
}

export interface BufferedPublishingDependencies {
  readonly streams: Pick<BufferStreams, 'append'>;
  readonly partitions: number;
  /** Of one partition. */
  readonly bound: PartitionBound;
  /** Messages that may wait for their append in this process; more are refused with `overloaded`. */
  readonly maxWaiting: number;
  /** Why nothing may be accepted; null where it may. */
  readonly refusal: () => RoomlineError | null;
  readonly newMessageId: () => string;
  readonly instruments: Instruments;
}

interface Placed {
  readonly partition: number;
  readonly entry: NewEntry;
}

type Unit = readonly Placed[];
type Outcome = Buffered | Refused;
type Taken = readonly EntryId[] | RoomlineError;

/** Calls that are appended together. */
const MAX_UNITS = 500;
const RETRY_AFTER_MS = 1_000;

export class BufferedPublishing {
  readonly #to: BufferedPublishingDependencies;
  readonly #lane: Batcher<Unit, readonly Outcome[]>;
  #outstanding = 0;
  /** Messages that are not appended yet. */
  readonly accepting = new ChannelCounts();

  constructor(dependencies: BufferedPublishingDependencies) {
    this.#to = dependencies;
    this.#lane = new Batcher({ maxRows: MAX_UNITS, flush: (units) => this.#append(units) });
  }

  /** @throws RoomlineError `overloaded` where nothing was accepted, `not_ready` where that is not known */
  async publish(draft: NewMessageDraft): Promise<Buffered> {
    const [outcome] = await this.publishAll([draft]);
    if (outcome === undefined) throw new Error('a message was answered for nothing');
    if (outcome.kind === 'refused') throw outcome.error;
    return outcome;
  }

  /**
   * In the order of the drafts; where a partition is full, it refuses a message and all of this call that come after it.
   * @throws RoomlineError `overloaded` or `not_ready`: nothing was accepted
   */
  async publishAll(drafts: readonly NewMessageDraft[]): Promise<readonly Outcome[]> {
    const { partitions, maxWaiting, newMessageId, instruments } = this.#to;
    const refusal = this.#to.refusal();
    if (refusal !== null) throw this.#counted(refusal, reasonOf(refusal), drafts.length);
    const full = this.#outstanding > 0 && this.#outstanding + drafts.length > maxWaiting;
    if (full) throw this.#counted(overloaded('intake is full'), 'waiting', drafts.length);
    const unit = drafts.map((draft): Placed => {
      const entry = writeEntry(draft, draft.messageId ?? newMessageId());
      return { partition: partitionOf(draft.key, partitions), entry };
    });
    this.#outstanding += unit.length;
    for (const { key } of drafts) this.accepting.add(key, 1);
    try {
      const outcomes = await this.#lane.submit(unit);
      const accepted = outcomes.reduce((sum, { kind }) => sum + (kind === 'buffered' ? 1 : 0), 0);
      instruments.metrics.bufferAppended.inc(accepted);
      return outcomes;
    } finally {
      this.#outstanding -= unit.length;
      for (const { key } of drafts) this.accepting.add(key, -1);
    }
  }

  async #append(units: readonly Unit[]): Promise<(readonly Outcome[])[]> {
    const outcomes = units.map((unit) => new Array<Outcome>(unit.length));
    const byPartition = new Map<number, { entries: NewEntry[]; tell: ((outcome: Outcome) => void)[] }>();
    for (const [place, unit] of units.entries()) {
      for (const [index, { partition, entry }] of unit.entries()) {
        const share = byPartition.get(partition) ?? { entries: [], tell: [] };
        byPartition.set(partition, share);
        share.entries.push(entry);
        const answers = outcomes[place] as Outcome[];
        share.tell.push((outcome) => {
          answers[index] = outcome;
        });
      }
    }
    await Promise.all(
      [...byPartition].map(async ([partition, { entries, tell }]) => {
        const taken = await this.#appendTo(partition, entries);
        for (const [index, entry] of entries.entries()) {
          const id = taken instanceof RoomlineError ? undefined : taken[index];
          tell[index]?.(
            id === undefined
              ? { kind: 'refused', error: errorOf(taken) }
              : { kind: 'buffered', messageId: entry.messageId, partition, entry: id },
          );
        }
      }),
    );
    return outcomes;
  }

  /** @returns the ids of those that it took, or why it is not known whether it took any */
  async #appendTo(partition: number, entries: readonly NewEntry[]): Promise<Taken> {
    const { streams, bound, partitions, instruments } = this.#to;
    // While they waited the connection may have become another one.
    const refusal = this.#to.refusal();
    if (refusal !== null) return this.#counted(refusal, reasonOf(refusal), entries.length);
    try {
      const taken = await streams.append(partition, entries, bound, partitions);
      const refused = entries.length - taken.length;
      if (refused > 0) instruments.metrics.bufferRefused.inc({ reason: 'full' }, refused);
      return taken;
    } catch (cause) {
      if (cause instanceof OtherLayoutError) {
        const detail = `The buffer no longer has ${partitions} partitions; what was started with that number must be restarted`;
        const error = new RoomlineError('not_ready', { detail, retryAfterMs: RETRY_AFTER_MS });
        return this.#counted(error, 'layout', entries.length);
      }
      const detail = 'Redis does not answer; whether the message was accepted is not known';
      const error = new RoomlineError('not_ready', { detail, retryAfterMs: RETRY_AFTER_MS, cause });
      instruments.log.event('buffer.append_failed', { partition, count: entries.length, ...errorFields(cause) });
      return this.#counted(error, 'away', entries.length);
    }
  }

  #counted(error: RoomlineError, reason: string, count: number): RoomlineError {
    this.#to.instruments.metrics.bufferRefused.inc({ reason }, count);
    return error;
  }
}

function reasonOf({ code }: RoomlineError): string {
  return code === 'not_ready' ? 'away' : 'unsafe';
}

function errorOf(taken: Taken): RoomlineError {
  return taken instanceof RoomlineError ? taken : overloaded('the buffer is full');
}

function overloaded(detail: string): RoomlineError {
  return new RoomlineError('overloaded', { detail, retryAfterMs: RETRY_AFTER_MS });
}

/**
 * What buffered acceptance needs from outside: streams that messages wait in before they are in the store, and the
 * store's own cursor in each of them. The cursor is the truth: what lies behind it is committed, whatever a stream holds.
 */

import type { ChannelKey } from './ports.ts';

/** Names an entry of a stream, `<ms>-<number>`, as the streams' own clock gave it. Those of one stream ascend. */
export type EntryId = string;

/** Comes before every entry. */
export const BEGINNING: EntryId = '0-0';

/** Below 0 where `one` comes before `other`, 0 where they are the same. */
export function compareEntries(one: EntryId, other: EntryId): number {
  const [ms, number] = partsOf(one);
  const [otherMs, otherNumber] = partsOf(other);
  if (ms !== otherMs) return ms < otherMs ? -1 : 1;
  return number === otherNumber ? 0 : number < otherNumber ? -1 : 1;
}

/** When an entry was appended, by the streams' own clock: ms since 1970. */
export function entryTime(id: EntryId): number {
  return Number(partsOf(id)[0]);
}

/** Whoever appends may choose numbers of up to 64 bits. */
function partsOf(id: EntryId): readonly [bigint, bigint] {
  const [ms = '0', number = '0'] = id.split('-');
  return [BigInt(ms), BigInt(number)];
}

export interface NewEntry {
  /** UTF-8 JSON: a message as `POST /v1/messages` takes it. */
  readonly message: Uint8Array;
  /** The message's id where it names none itself. */
  readonly messageId: string;
  readonly requestId: string | null;
  /** It counts for this channel while it waits; for none where it is absent. */
  readonly channel?: ChannelKey;
}

/** An entry as it is read; whoever wrote it. */
export interface BufferEntry {
  readonly id: EntryId;
  /** Null where it has none, or a larger one than was asked for. */
  readonly message: Uint8Array | null;
  /** Of the message; null where there is none. */
  readonly bytes: number | null;
  readonly messageId: string | null;
  readonly requestId: string | null;
}

/** What a partition may hold before it refuses. */
export interface PartitionBound {
  readonly entries: number;
  /** As the server counts its memory. */
  readonly bytes: number;
}

/** Who reads. */
export interface BufferReader {
  readonly consumer: string;
  /** Of the partition. One that is not the latest reads nothing and removes nothing. */
  readonly term: number;
  /** The store has said that this term is the latest, whatever the streams remember. */
  readonly isSure: boolean;
}

export interface ReadWish {
  /** Null for nobody in particular. */
  readonly reader: BufferReader | null;
  /** The stream's history that the cursor belongs to; null for any. */
  readonly history: string | null;
  /** Only what follows it; what does not is done with and may be removed. */
  readonly after: EntryId;
  /** Only up to it; null: to the end. */
  readonly upTo: EntryId | null;
  readonly maxEntries: number;
  /** Of all messages together; the first one comes however large it is, up to `maxMessageBytes`. */
  readonly maxBytes: number;
  readonly maxMessageBytes: number;
}

export type BufferRead =
  | {
      readonly kind: 'read';
      readonly history: string;
      readonly entries: readonly BufferEntry[];
      /** Entries of the stream. */
      readonly length: number;
      /** How often work on what follows `after` has failed, or ended a consumer; the more, the fewer entries come. */
      readonly tries: number;
      /** The entry that was put aside last. */
      readonly buried: EntryId | null;
    }
  /** The stream's last entry comes before the cursor: the server has what it held before. Nothing was removed. */
  | { readonly kind: 'went_back'; readonly history: string }
  /** Somebody has read in a later term. Nothing was removed. */
  | { readonly kind: 'overtaken'; readonly history: string }
  /** The stream is another one than the cursor belongs to: the server has lost what it held. */
  | { readonly kind: 'another_history'; readonly history: string };

export interface Buried {
  /** In the stream of dead letters. */
  readonly id: EntryId;
  readonly entry: EntryId;
  readonly reason: string;
  /** Of the message. */
  readonly bytes: number;
}

export interface FoundEntry {
  readonly entry: BufferEntry;
  /** Why it was put aside; null where it waits, or has been committed just now. */
  readonly buriedFor: string | null;
}

/** How many messages of a channel are somewhere. */
export interface ChannelDepth extends ChannelKey {
  readonly messages: number;
}

export interface PartitionDepth {
  readonly partition: number;
  /** Entries that are not committed, or were so lately. */
  readonly length: number;
  /** Null where there are none. */
  readonly oldest: EntryId | null;
  readonly buried: number;
  /** Of `length`. What others have written to the stream themselves is of no channel. */
  readonly channels: readonly ChannelDepth[];
}

/** The streams. Every call rejects while their server is away; after a timeout it may have taken effect. */
export interface BufferStreams {
  /**
   * Appends entries to a partition in one step: from the first on, as many as fit.
   * @param partitions how many there are, as far as the caller knows; any where it is absent
   * @returns the ids of those
   * @throws OtherLayoutError where another number of partitions is noted: nothing was taken
   */
  append(
    partition: number,
    entries: readonly NewEntry[],
    bound: PartitionBound,
    partitions?: number,
  ): Promise<readonly EntryId[]>;
  /** Where an entry is, by the id that it was appended under; null where it is not, or not any more. */
  find(partition: number, entry: EntryId, maxMessageBytes: number): Promise<FoundEntry | null>;
  /**
   * Notes with each of so many streams how many partitions there are, where that is not noted yet; with `change` also
   * where another number is, which each stream refuses while anything waits in it or is buried.
   * @returns whether that is noted with all of them; some may have it also where it is false
   */
  layOut(streams: number, partitions: number, change: boolean): Promise<boolean>;
  /** Reads on and remembers that these entries are being worked on until `prepared` or `failed` is told. */
  read(partition: number, wish: ReadWish): Promise<BufferRead>;
  /** What was read after `after` did no harm: if its consumer ends now, that was not its fault. */
  prepared(partition: number, after: EntryId): Promise<void>;
  /** The store, or this program, refuses something of what was read after `after`. */
  failed(partition: number, after: EntryId): Promise<void>;
  /** Copies an entry to the partition's stream of dead letters, once however often it is asked for. */
  bury(partition: number, entry: EntryId, reason: string): Promise<void>;
  depths(partitions: number): Promise<readonly PartitionDepth[]>;
  listBuried(partition: number, after: EntryId, limit: number): Promise<readonly Buried[]>;
  /** Puts buried entries back, behind all that waits. @returns how many of them there were */
  replayBuried(partition: number, ids: readonly EntryId[]): Promise<number>;
  discardBuried(partition: number, ids: readonly EntryId[]): Promise<number>;
  /** What the server that is connected now says of how it keeps what it is given. */
  safety(): Promise<StreamsSafety>;
  /** Another one with every connection, behind which may be another server; null while there is none. */
  readonly connection: number | null;
  /** Tells of every connection once it serves. @returns ends that */
  onConnected(listener: () => void): () => void;
}

export interface StreamsSafety {
  /** Settings under which an entry may be lost. */
  readonly unsafe: readonly string[];
  /** Settings that the server does not tell. */
  readonly unknown: readonly string[];
  /** When what was appended is brought to the disk; null where that is not known. */
  readonly appendfsync: string | null;
}

/** The buffer has another number of partitions than the caller knows of. */
export class OtherLayoutError extends Error {
  override readonly name = 'OtherLayoutError';
}

// ------------------------------------------------------------------------------------------------------------- cursors

/** A partition as the store has it. */
export interface PartitionState {
  readonly partition: number;
  /** Raised with every change of its consumer. */
  readonly term: number;
  /** All entries up to it are committed. */
  readonly cursor: EntryId;
  /** Of the stream that the cursor belongs to; null before the first read. */
  readonly history: string | null;
}

/** Stored only where the partition has this term and this cursor. */
export interface CursorMove {
  readonly partition: number;
  readonly term: number;
  readonly from: EntryId;
  readonly to: EntryId;
}

export interface PartitionsView {
  /** Processes that consume, this one included. */
  readonly consumers: number;
  readonly held: readonly PartitionState[];
  /** Those that have no consumer. */
  readonly free: readonly number[];
}

export interface BufferCursors {
  /** Makes so many partitions, if any, where there are none yet. @returns how many there are */
  layOut(partitions: number): Promise<number>;
  /** Makes so many instead of those that are there. @returns false where somebody consumes: nothing was changed */
  layOutAnew(partitions: number): Promise<boolean>;
  /** Tells that this consumer lives, renews what it holds, and looks who else there is. */
  look(consumer: string, leaseMs: number): Promise<PartitionsView>;
  /** Takes those of the partitions that have no consumer. */
  take(consumer: string, partitions: readonly number[], leaseMs: number): Promise<readonly PartitionState[]>;
  release(consumer: string, partitions: readonly number[]): Promise<void>;
  /** The consumer ends; it holds nothing any more. */
  leave(consumer: string): Promise<void>;
  read(partition: number): Promise<PartitionState | null>;
  /** Moves a cursor by itself. @throws CursorMovedError */
  move(move: CursorMove): Promise<void>;
  /** Gives the partition another stream. @throws CursorMovedError */
  restart(move: CursorMove, history: string): Promise<void>;
}

/** The cursor is not where it was, or the partition has another consumer: nothing was stored. */
export class CursorMovedError extends Error {
  override readonly name = 'CursorMovedError';
}

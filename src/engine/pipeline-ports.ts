/**
 * Where messages are: what every process tells of itself, and what is read of that. The data path asks none of it, and
 * nothing is decided from it. All times are engine time in ms.
 */
import type { Phase, RoomAddress } from '../room/room.ts';
import type { ChannelKey, ChannelSelection, HistoryEntry, WaitingMessage } from './ports.ts';
import type { Activity } from './tallies.ts';

/** What a room with an unsettled message is doing: its phase, or why it is in `waiting`. */
export const STAGES = [
  'ready',
  'not_before',
  'limit',
  'channel',
  'paused',
  'sending',
  'awaiting_ack',
  'backing_off',
  'unknown',
  'held',
] as const;
export type Stage = (typeof STAGES)[number];

/** Of one channel, as one process sees it. */
export interface ChannelPart extends ChannelKey {
  /** Rooms that it holds, in the order of `STAGES`. */
  readonly rooms: readonly number[];
  /** Unsettled messages in them. */
  readonly messages: readonly number[];
  /** Of `intake`, those for it; absent where there are none. */
  readonly accepting?: number;
  /** Rooms in its permit queue. */
  readonly permitQueue: number;
  /** What it counted in the last 60 s. */
  readonly lastMinute: { readonly accepted: number; readonly settled: number; readonly failed: number };
}

/** What one process holds, in memory included. */
export interface PipelinePart {
  readonly worker: string;
  readonly asOf: number;
  readonly shards: number;
  /** Messages that have been received and are not durable, so that their publishers have no answer. */
  readonly intake: number;
  /** Attempts of its own that the platform has not answered. */
  readonly openSends: number;
  /** Rooms that linger and are not listed yet, or not any more. */
  readonly unlisted: number;
  readonly channels: readonly ChannelPart[];
}

/** A process that is not known to have ended. */
export interface Member {
  readonly worker: string;
  readonly name: string;
  /** It has a lease. */
  readonly isAlive: boolean;
  /** Null where it has told nothing yet. */
  readonly part: PipelinePart | null;
}

/** A room that has been in one phase for longer than a moment. */
export interface LingeringRoom extends RoomAddress, ChannelKey {
  readonly phase: Phase;
  readonly since: number;
}

export interface LingeringPage extends ChannelSelection {
  readonly tenants: readonly string[];
  /** In this order; those of one phase are listed by (since, id). */
  readonly phases: readonly Phase[];
  /** Only those in their phase at this time and since. */
  readonly before: number;
  /** Only what follows this one in that order; its phase is the first of `phases`. */
  readonly after: { readonly since: number; readonly id: number } | null;
  readonly limit: number;
}

/** What is ahead of its turn in its publishers' orders, by channel. */
export interface ParkedDepth extends ChannelKey {
  readonly rooms: number;
  readonly messages: number;
}

/** What a channel did in one minute. */
export interface ChannelMinute extends ChannelKey {
  /** When it began: a whole minute. */
  readonly minute: number;
  readonly activity: Activity;
}

/** All channels that are selected together. */
export interface ChartRange extends ChannelSelection {
  /** Whole minutes: from `from` up to `to`, exclusive. */
  readonly from: number;
  readonly to: number;
  readonly stepMs: number;
}

/** What happened from `at` on, for one step. */
export interface ChartPoint {
  readonly at: number;
  readonly activity: Activity;
}

/** A message of a room, without its body. */
export type TimelineEntry = Omit<HistoryEntry, 'body' | 'key'> | Omit<WaitingMessage, 'body' | 'key'>;

/** A message to a recipient that is not its room's name was accepted. */
export interface Addressed extends RoomAddress, ChannelKey {
  readonly recipient: string;
  readonly at: number;
}

/** A channel on which rooms are looked for. */
export interface RecipientChannel {
  readonly channel: string;
  /** That of a room which has the recipient's name on this channel. */
  readonly shard: number;
  /** Only rooms with greater ids. */
  readonly after: number;
}

export interface RecipientPage {
  readonly tenant: string;
  readonly recipient: string;
  /** In this order; rooms of one channel come by their ids. */
  readonly channels: readonly RecipientChannel[];
  readonly limit: number;
}

/** A recipient that a room is found by is noted again when it was not for so long: what is noted is that much older at most. */
export const NOTED_FOR_MS = 86_400_000;

/** Which rooms the messages to a recipient have been in, where the room's name does not say it. */
export interface RecipientStore {
  /** Each recipient of a room once. What was noted within `NOTED_FOR_MS` before stays as it is. Idempotent. */
  note(addressed: readonly Addressed[]): Promise<void>;
  /** Rooms noted for the recipient, and those that have its name. */
  find(page: RecipientPage): Promise<(RoomAddress & { readonly channel: string })[]>;
  /** Forgets what was noted before this time, at most `limit`. @returns how many */
  prune(before: number, limit: number): Promise<number>;
}

export interface PipelineStore {
  /** Writes what a process holds over what it wrote before. */
  report(part: PipelinePart): Promise<void>;
  /** Of a process that ends, or whose life has: what it told of itself goes. */
  withdraw(worker: string): Promise<void>;
  /** Every process that is not known to have ended, by its worker. */
  members(): Promise<Member[]>;
  /** Those of the shards that a living process owns. */
  heldShards(shards: readonly number[]): Promise<ReadonlySet<number>>;

  /** What is parked in the store now; channels without any are left out. */
  parked(): Promise<ParkedDepth[]>;

  /** Lists rooms for this worker, over what it listed of them before, and takes others off its list. Idempotent. */
  list(worker: string, rooms: readonly LingeringRoom[], gone: readonly RoomAddress[]): Promise<void>;
  /** Takes off the lists of other workers what is in these shards. */
  clearOthers(worker: string, shards: readonly number[]): Promise<void>;
  /** Some may have left their phase since; one that two workers list comes twice in a row. */
  lingering(page: LingeringPage): Promise<LingeringRoom[]>;

  /**
   * Adds to what is stored of these minutes, once for each number: the numbers of a worker ascend, and one that it has
   * used adds nothing.
   */
  addMinutes(worker: string, number: number, minutes: readonly ChannelMinute[]): Promise<void>;
  /** Steps in which anything was counted, ascending. */
  chart(range: ChartRange): Promise<ChartPoint[]>;
  /** Drops minutes before this time, and what processes told that ended before it; at most `limit` minutes. @returns how many minutes */
  prune(before: number, limit: number): Promise<number>;

  /**
   * Messages of a room by sequence, without their bodies.
   * @param after only those that follow this sequence in the order asked for; null from its beginning
   */
  timeline(
    address: RoomAddress,
    order: 'oldest' | 'newest',
    after: number | null,
    limit: number,
  ): Promise<TimelineEntry[]>;
}

/** What operators configure and do; the data path asks none of it. */

import type { RoomAddress } from '../room/room.ts';
import type { FleetMember, FleetView, ShardMove, ShardRow } from './fleet-ports.ts';
import type { PipelineStore, RecipientStore } from './pipeline-ports.ts';
import type { ChannelKey, ChannelSelection, DeadLetter } from './ports.ts';

/** A channel that operators configured by the API. */
export interface StoredChannelSettings {
  readonly key: ChannelKey;
  /** As a configuration file would say them; secrets by reference only. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The number of the change that made them so. */
  readonly revision: number;
  readonly updatedAt: number;
  /** The name of the key. */
  readonly updatedBy: string;
}

/** Changes are numbered through, and commit in the order of their numbers. */
export interface ChannelSettingsStore {
  /** The number of the last change of any channel. */
  revision(): Promise<number>;
  load(): Promise<{ readonly revision: number; readonly channels: StoredChannelSettings[] }>;
  /**
   * Stores settings where those stored are still the ones of revision `expected` (null: where there are none), and the
   * note with them.
   * @returns null where they are others
   */
  put(
    channel: ChannelKey,
    settings: StoredChannelSettings['settings'],
    expected: number | null,
    note: AuditNote,
  ): Promise<{ readonly revision: number; readonly at: number } | null>;
  /** Likewise; the number of the change, or null. */
  remove(channel: ChannelKey, expected: number, note: AuditNote): Promise<number | null>;
  /** Rooms of the channel that have an unsettled message. */
  waitingRooms(channel: ChannelKey): Promise<number>;
}

/** What an operator did. Holds no secret, recipient or message text. */
export interface AuditNote {
  /** The name of the key. */
  readonly actor: string;
  /** Such as `channel.put`: lower-case words with dots between. */
  readonly action: string;
  /** What it was done to, such as `channel:default/support`. */
  readonly subject: string;
  readonly detail: Readonly<Record<string, unknown>>;
  readonly requestId: string;
}

export interface AuditEntry extends AuditNote {
  readonly id: number;
  readonly at: number;
}

export interface AuditPage {
  /** Only ids below it; null for the newest. */
  readonly before: number | null;
  readonly limit: number;
  /** Null for all. */
  readonly subject: string | null;
}

export interface AuditStore {
  record(note: AuditNote): Promise<void>;
  /** Newest first. */
  list(page: AuditPage): Promise<AuditEntry[]>;
}

/** A member as an operator sees it. */
export interface RegisteredWorker extends FleetMember {
  /** What it said itself when it began. */
  readonly ownWeight: number;
  /** The operator's word for nodes of its name, which goes before that; null where there is none. */
  readonly operatorWeight: number | null;
  readonly generation: number;
  /** When its life began. */
  readonly registeredAt: number;
}

/** A shard as an operator sees it. */
export interface ShardState extends ShardRow {
  /** How long its owner may still take to hand it over, in ms, below 0 where it is late; null where it has no heir. */
  readonly heirLeftMs: number | null;
  /** When it became its owner's, or nobody's. */
  readonly movedAt: number;
}

/** All that a plan is made from, and what was done about it. */
export interface FleetPicture extends FleetView {
  /** The membership that the present distribution was planned for. */
  readonly planned: number;
  /** When the membership last changed. */
  readonly changedAt: number;
  readonly members: readonly RegisteredWorker[];
  readonly shards: readonly ShardState[];
  /** The operator's weights, by the names of nodes. */
  readonly weights: ReadonlyMap<string, number>;
}

export interface ShardWork {
  readonly shard: number;
  /** Rooms that have an unsettled message. */
  readonly rooms: number;
  /** Unsettled messages. */
  readonly waiting: number;
}

/** What an operator changes at once. Parts that are empty change nothing. */
export interface FleetChange {
  /** Null removes the operator's word. Each name once. */
  readonly weights: ReadonlyMap<string, number | null>;
  /** To the node of a name; null removes the pin. */
  readonly pins: ReadonlyMap<number, string | null>;
  readonly drain: { readonly worker: string; readonly draining: boolean } | null;
  /** As in a plan. Each shard once. */
  readonly moves: readonly ShardMove[];
}

export interface FleetStore {
  look(): Promise<FleetPicture>;
  /** Of shards that have any work, in no order. Costs as much as all rooms that are not at rest. */
  countWork(): Promise<ShardWork[]>;
  /**
   * Stores a change and the note as a whole, and has the shards distributed anew.
   * @param membership what it was decided from
   * @returns false, with nothing stored, where the membership is another, the worker is gone or one of the shards has
   *   another owner
   */
  change(membership: number, change: FleetChange, note: AuditNote): Promise<boolean>;
}

export const LETTER_STATES = ['open', 'replayed', 'discarded'] as const;
export type LetterState = (typeof LETTER_STATES)[number];

/** A dead letter and what operators did about it. */
export interface StoredLetter extends DeadLetter {
  /** The room's name; null of a payload that intake refused. */
  readonly room: string | null;
  readonly state: LetterState;
  readonly closedAt: number | null;
  /** The name of the key. */
  readonly closedBy: string | null;
  /** The message that it was replayed as. */
  readonly replayedAs: { readonly address: RoomAddress; readonly sequence: number } | null;
}

/** A payload that intake refused, as it came. */
export interface LetterPayload {
  readonly payload: Uint8Array;
  readonly attributes: Readonly<Record<string, string>>;
}

/** Where a list of letters goes on: the time and the id of the last one. */
export interface LetterPlace {
  readonly at: number;
  readonly id: number;
}

/** Null for whatever is not asked for. */
export interface LetterFilter extends ChannelSelection {
  /** Goes before the selection of channels. */
  readonly room: RoomAddress | null;
  readonly kind: DeadLetter['kind'] | null;
  readonly reason: string | null;
  /** The platform's code; only letters of messages have one. */
  readonly code: string | null;
  /** Of the failure, as its group has it: 32 hexadecimal digits. */
  readonly fingerprint: string | null;
  readonly state: LetterState | null;
  /** The first ms that counts, and the first that does not any more. */
  readonly from: number | null;
  readonly until: number | null;
}

export interface LetterPage {
  readonly letters: readonly StoredLetter[];
  /** Where to go on; null at the end. A page that looked at many and found few is short, and goes on all the same. */
  readonly next: LetterPlace | null;
}

export interface LetterStore {
  page(filter: LetterFilter, order: 'newest' | 'oldest', after: LetterPlace | null, limit: number): Promise<LetterPage>;
  /** Those of these ids that there are, in no order. */
  read(ids: readonly number[]): Promise<(StoredLetter & { readonly refused: LetterPayload | null })[]>;
  /** Idempotent: a letter that has a link keeps it. One that was discarded meanwhile was replayed all the same. */
  markReplayed(
    links: readonly { readonly id: number; readonly address: RoomAddress; readonly sequence: number }[],
    at: number,
    by: string,
  ): Promise<void>;
  /** Closes those that are open, and stores the note where there was one. @returns their ids */
  discard(ids: readonly number[], at: number, note: AuditNote): Promise<number[]>;
}

export const FAILURE_KINDS = ['refused', 'unknown', 'interrupted', 'intake'] as const;
/** How an attempt failed, or that intake refused a payload. */
export type FailureKind = (typeof FAILURE_KINDS)[number];

/** Failures that have everything in common but their messages. */
export interface FailureGroup {
  /** 32 hexadecimal digits: a digest of channel, kind, code and the platform's words. */
  readonly fingerprint: string;
  /** Null for what never came to a channel. */
  readonly channel: ChannelKey | null;
  readonly kind: FailureKind;
  readonly code: string;
  readonly count: number;
  /** Messages that failed for good with it. */
  readonly deadLetters: number;
  readonly firstSeen: number;
  readonly lastSeen: number;
  /** One of its messages, a late one. */
  readonly sample: { readonly address: RoomAddress; readonly sequence: number } | null;
}

export interface FailureStore {
  /** Adds to what is stored. Each fingerprint once. */
  merge(counted: readonly FailureGroup[]): Promise<void>;
  /** Those seen last, first. */
  list(selected: ChannelSelection, since: number, limit: number): Promise<FailureGroup[]>;
}

/** What operators configure and do; the data path asks none of it. */
export interface OperatorStores {
  readonly settings: ChannelSettingsStore;
  readonly audit: AuditStore;
  readonly fleet: FleetStore;
  readonly pipeline: PipelineStore;
  readonly recipients: RecipientStore;
  readonly letters: LetterStore;
  readonly failures: FailureStore;
}

/** What operators configure and do; the data path asks none of it. */
import type { FleetMember, FleetView, ShardMove, ShardRow } from './fleet-ports.ts';
import type { ChannelKey } from './ports.ts';

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
   * @param handOverMs how long the owners of moved shards may take to hand them over
   * @returns false, with nothing stored, where the membership is another, the worker is gone or one of the shards has
   *   another owner
   */
  change(membership: number, change: FleetChange, handOverMs: number, note: AuditNote): Promise<boolean>;
}

/** What operators configure and do; the data path asks none of it. */
export interface OperatorStores {
  readonly settings: ChannelSettingsStore;
  readonly audit: AuditStore;
  readonly fleet: FleetStore;
}

/** What operators configure and do; the data path asks none of it. */
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

/** What operators configure and do; the data path asks none of it. */
export interface OperatorStores {
  readonly settings: ChannelSettingsStore;
  readonly audit: AuditStore;
}

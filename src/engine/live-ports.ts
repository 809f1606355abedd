/**
 * What happens now, told from process to process. All of it are hints: nothing is stored, what is lost is not repeated,
 * and nothing is decided from it.
 */
import type { AckLevel, Outcome, RoomKey } from '../room/room.ts';
import type { ChannelState } from '../telemetry.ts';
import type { ChannelPart, PipelinePart } from './pipeline-ports.ts';

/** `failed`: settled as failed, or assumed and failed afterwards; `settled`: everything else. */
export type SettlementKind = 'settled' | 'failed';

/** A message has settled, or was found to have failed after it had. */
export interface Settlement {
  readonly kind: SettlementKind;
  readonly id: string;
  readonly room: RoomKey;
  readonly sequence: number;
  readonly messageId: string | null;
  readonly outcome: Outcome;
  readonly reason: string;
  readonly level: AckLevel;
  readonly code: string | null;
  readonly attempts: number;
  readonly possiblyDelivered: boolean;
  readonly late: boolean;
  /** Engine time in ms. */
  readonly at: number;
}

/** Of one channel, as one process sees it. */
export interface LiveChannel extends ChannelPart {
  /** Counted since the start of the process, in the order of `TOTALS`. */
  readonly totals: readonly number[];
  /** From the ack of n to the first byte of n+1: counts by bucket since the start of the process. */
  readonly gaps: readonly number[];
  /** Null where the process does not know the channel. */
  readonly condition: {
    readonly state: ChannelState;
    readonly reason: string | null;
    readonly until: number | null;
    readonly ackTimeoutMs: number;
  } | null;
}

/** What one process holds and has counted. */
export interface LivePart extends Omit<PipelinePart, 'channels' | 'unlisted'> {
  /** When the totals were read, a moment after the rooms were counted. */
  readonly readAt: number;
  readonly channels: readonly LiveChannel[];
}

/** Messages that somebody wants to hear of. */
export interface SettlementFilter {
  readonly kinds: readonly SettlementKind[];
  /** Null: of all. */
  readonly tenants: readonly string[] | null;
  readonly channel: string | null;
  readonly room: string | null;
}

/** What the readers at one process want. */
export interface Interest {
  readonly totals: boolean;
  readonly settlements: readonly SettlementFilter[];
}

/** What a process tells those who listen. */
export interface LiveBatch {
  /** Settlements before these that were not passed on. */
  readonly dropped: number;
  /** Null: of a process that ends; left out where there is nothing new. */
  readonly part?: LivePart | null;
  readonly settlements: readonly Settlement[];
}

/** `interest`: heard by every process at all times. `feed`: heard only by those who ask for it. */
export type LiveTopic = 'interest' | 'feed';

/** Carries texts to all processes, one's own included. */
export interface LiveBus {
  /** Never throws and never waits. False where it is known to go nowhere. */
  tell(topic: LiveTopic, text: string): boolean;
  /**
   * Calls back with every text. The result ends that.
   * @param onLapse texts may have been missed
   */
  listen(topic: LiveTopic, onText: (text: string) => void, onLapse?: () => void): () => void;
  /** Texts of this topic can be expected to arrive. */
  hears(topic: LiveTopic): boolean;
}

/** Who listens at this process. */
export interface LiveAudience {
  /** @param teller names the process in this life of it, for nothing but telling it from others */
  onPart(teller: string, part: LivePart | null): void;
  onSettlements(settlements: readonly Settlement[]): void;
  /** @param count null where it is not known */
  onMissed(count: number | null, reason: 'busy' | 'interrupted'): void;
}

export function isWanted({ kinds, tenants, channel, room }: SettlementFilter, kind: SettlementKind, key: RoomKey) {
  if (!kinds.includes(kind)) return false;
  if (channel !== null && key.channel !== channel) return false;
  if (room !== null && key.room !== room) return false;
  return tenants === null || tenants.includes(key.tenant);
}

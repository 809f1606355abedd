/** What can happen to a room, and what a decision about it consists of. */
import type { AckLevel, Attempt, CancelledBy, Envelope, Nack, Outcome, Room } from './room.ts';

export type RoomEvent =
  /** The holder learnt of appended messages, or loaded envelopes. */
  | { readonly type: 'tail_raised'; readonly tail: number; readonly envelopes: readonly Envelope[] }
  /** A permit is in hand: claim the head. */
  | { readonly type: 'permit_granted'; readonly worker: string; readonly generation: number }
  | {
      readonly type: 'attempt_accepted';
      readonly sequence: number;
      readonly attempt: number;
      readonly platformId: string | null;
      readonly platformAt: number | null;
      /** X as the channel's state has it now; null for the policy's own. */
      readonly ackTimeoutMs: number | null;
      /** The highest ack level that this content ever gets, where that is known. */
      readonly highestLevel?: Exclude<AckLevel, 'none'>;
    }
  | {
      readonly type: 'attempt_refused';
      readonly sequence: number;
      readonly attempt: number;
      readonly nack: Nack;
      readonly chance: number;
    }
  | {
      readonly type: 'attempt_unknown';
      readonly sequence: number;
      readonly attempt: number;
      readonly code: string;
      readonly textDigest?: string;
      /** This process saw bytes of the request leave. */
      readonly bytesLeft: boolean;
      readonly chance: number;
    }
  /** The holder found the room `sending` without an open send of its own. */
  | { readonly type: 'taken_over'; readonly chance: number }
  | {
      readonly type: 'ack';
      readonly sequence: number;
      readonly level: Exclude<AckLevel, 'none'>;
      readonly at: number;
      /** It holds for every earlier message too (a watermark, or a cumulative status). */
      readonly cumulative: boolean;
      /** When the platform had the message, by its own clock, where the ack tells that. */
      readonly platformAt?: number;
    }
  | {
      readonly type: 'nack';
      readonly sequence: number;
      readonly nack: Nack;
      readonly platformId: string | null;
      readonly at: number;
      readonly chance: number;
    }
  | {
      readonly type: 'deadline_due';
      /** The channel gave a definite answer to another message since the head's last attempt began. */
      readonly channelAnswered: boolean;
      readonly chance: number;
    }
  | { readonly type: 'pause' }
  | { readonly type: 'resume' }
  | { readonly type: 'skip'; readonly sequence: number }
  | { readonly type: 'retry'; readonly sequence: number }
  | { readonly type: 'cancel'; readonly sequence: number }
  /** A newer message of the room was published to replace this one, if no attempt of it has begun. */
  | { readonly type: 'superseded'; readonly sequence: number }
  /** What was committed may be gone, and an operator has every room that waits for something held. */
  | { readonly type: 'history_changed' };

export const EVENT_TYPES = [
  'tail_raised',
  'permit_granted',
  'attempt_accepted',
  'attempt_refused',
  'attempt_unknown',
  'taken_over',
  'ack',
  'nack',
  'deadline_due',
  'pause',
  'resume',
  'skip',
  'retry',
  'cancel',
  'superseded',
  'history_changed',
] as const satisfies readonly RoomEvent['type'][];

export type SettleReason =
  | 'ack'
  | 'accepted'
  | 'ack_timeout'
  | 'assume_policy'
  | 'refused'
  | 'attempts_exhausted'
  | 'outcome_unknown'
  | 'expired'
  | CancelledBy;

/** The message leaves the room for the history, with this room's row in one statement. */
export interface Settled {
  readonly kind: 'settled';
  readonly sequence: number;
  readonly outcome: Outcome;
  readonly reason: SettleReason;
  /** The platform's last code, where there was one. */
  readonly code: string | null;
  readonly at: number;
  /** Room version that settled it. */
  readonly version: number;
  readonly firstClaimVersion: number;
  readonly possiblyDelivered: boolean;
  /** It goes to the dead letters, too. */
  readonly deadLetter: boolean;
  readonly level: AckLevel;
  readonly levelAt: number | null;
  readonly platformId: string | null;
  readonly platformAt: number | null;
  readonly attempts: readonly Attempt[];
}

export type Fact =
  | Settled
  /** A waiting message was cancelled: its mark is stored, it settles when it becomes the head. */
  | { readonly kind: 'cancel_marked'; readonly sequence: number; readonly by: CancelledBy }
  /** The platform's id of an attempt, for acks that carry no reference. */
  | { readonly kind: 'accepted_as'; readonly sequence: number; readonly platformId: string }
  /** An answer to a message that an early ack had settled: it is added to the message's history. */
  | {
      readonly kind: 'answered_late';
      readonly sequence: number;
      readonly attempt: number;
      readonly result: 'accepted' | 'refused' | 'unknown';
      readonly code: string | null;
      readonly platformId: string | null;
      readonly at: number;
    };

export type Effect =
  /** Stand in the permit queue. */
  | { readonly type: 'request_permit' }
  /** Send this attempt if this process has just claimed it; else the room is taken over. */
  | { readonly type: 'send'; readonly sequence: number; readonly attempt: number }
  /** Ask the platform what became of the attempt, where it can tell. */
  | { readonly type: 'lookup'; readonly sequence: number; readonly attempt: number }
  | { readonly type: 'load_envelopes'; readonly from: number }
  /** An unknown outcome counts against the channel: it stops and is probed. Not derived from the row. */
  | { readonly type: 'channel_silent' }
  /** The ack or nack belongs to a settled message, and a cumulative one to all before: judge it against the history. */
  | { readonly type: 'judge_late'; readonly sequence: number; readonly cumulative: boolean };

export type IgnoredReason =
  | 'nothing_waits'
  | 'not_claimable'
  | 'envelope_missing'
  | 'stale_attempt'
  | 'nothing_open'
  | 'not_begun'
  | 'already_settled'
  | 'not_accepted_yet'
  | 'level_known'
  | 'contradiction'
  | 'not_due'
  | 'no_deadline'
  | 'already_paused'
  | 'not_paused'
  | 'not_head'
  | 'not_held'
  | 'already_held'
  | 'attempt_open'
  | 'begun'
  | 'already_marked';

export type Verdict =
  | { readonly kind: 'applied' }
  | { readonly kind: 'noted' }
  | { readonly kind: 'ignored'; readonly reason: IgnoredReason };

export interface Decision {
  readonly verdict: Verdict;
  readonly room: Room;
  readonly facts: readonly Fact[];
  readonly effects: readonly Effect[];
}

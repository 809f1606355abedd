/**
 * What a room is. Pure data: a row of the store plus the envelopes of its head and the next few messages.
 * All times are engine time: milliseconds since 1970 by the database's clock.
 */

export interface RoomKey {
  readonly tenant: string;
  readonly channel: string;
  /** The publisher's name for the end user on this channel. */
  readonly room: string;
}

/** Where a room is stored: `shard` in [0, SHARDS), `id` unique in the database, below 2^48. */
export interface RoomAddress {
  readonly shard: number;
  readonly id: number;
}

export const PHASES = [
  'idle',
  'ready',
  'waiting',
  'sending',
  'awaiting_ack',
  'backing_off',
  'unknown',
  'held',
] as const;
export type Phase = (typeof PHASES)[number];

/** Why a room in `waiting` waits. */
export const WAITING_REASONS = ['not_before', 'limit', 'channel', 'paused'] as const;
export type WaitingReason = (typeof WAITING_REASONS)[number];

/** Why a room in `held` waits for an operator. */
export const HELD_REASONS = ['refused', 'attempts_exhausted', 'outcome_unknown', 'history_changed'] as const;
export type HeldReason = (typeof HELD_REASONS)[number];

export const ACK_LEVELS = ['none', 'accepted', 'sent', 'delivered', 'read'] as const;
export type AckLevel = (typeof ACK_LEVELS)[number];

export const OUTCOMES = ['acked', 'assumed', 'failed', 'expired', 'cancelled', 'skipped'] as const;
export type Outcome = (typeof OUTCOMES)[number];

export type Scope = 'message' | 'room' | 'channel' | 'account';

/** A refusal as the platform's adapter classified it, from an answer or from a status. */
export interface Nack {
  readonly permanent: boolean;
  readonly scope: Scope;
  /** How long the platform asks to wait, in ms. */
  readonly retryAfterMs: number | null;
  /** The platform's code, or ours where it gave none; at most 64 characters. */
  readonly code: string;
  /** Of the platform's words, where it gave any: they themselves may repeat what the message says, or to whom. */
  readonly textDigest?: string;
}

export interface Backoff {
  readonly initialMs: number;
  readonly maxMs: number;
  readonly factor: number;
  /** Share of the delay that is random, 0 to 1. */
  readonly jitter: number;
}

/** What a platform lets one end user be sent: one message in `everyMs` on the long run, `burst` of them at once on credit. */
export interface RoomLimit {
  /** 0: no limit. */
  readonly everyMs: number;
  readonly burst: number;
}

/** The channel's policy with the message's own wishes laid over it. */
export interface Policy {
  /** The ack level that unlocks the room on this channel. */
  readonly unlockedBy: Exclude<AckLevel, 'none'>;
  /** X: how long an accepted message waits for its ack. */
  readonly ackTimeoutMs: number;
  /** The message asked for this X itself: it is kept to, whatever the channel's acks do. */
  readonly ownAckTimeout?: boolean;
  /** The least time from one message's settling to the next one's attempt. */
  readonly minGapMs: number;
  readonly roomLimit: RoomLimit;
  readonly maxAttempts: number;
  readonly backoff: Backoff;
  /** How long an unknown outcome waits for evidence. */
  readonly unknownGraceMs: number;
  readonly unknownPolicy: 'resend' | 'hold' | 'assume';
  readonly failurePolicy: 'move_on' | 'hold';
}

/** Who had a message cancelled: an operator, or a newer message that replaces it. */
export const CANCELLED_BY = ['operator', 'superseded'] as const;
export type CancelledBy = (typeof CANCELLED_BY)[number];

/** What a decision needs to know of a message: everything but its body. */
export interface Envelope {
  readonly sequence: number;
  readonly messageId: string;
  /** When intake accepted it. */
  readonly acceptedAt: number;
  readonly notBefore: number | null;
  readonly expiresAt: number | null;
  /** It was cancelled while it waited behind others, or under a hold; it settles without an attempt. */
  readonly cancelledBy: CancelledBy | null;
  readonly policy: Policy;
}

/** One attempt of the head, as the history keeps it. `result` is null while the request is open. */
export interface Attempt {
  readonly number: number;
  readonly worker: string;
  readonly generation: number;
  readonly begunAt: number;
  readonly endedAt: number | null;
  readonly result: 'accepted' | 'refused' | 'unknown' | 'interrupted' | null;
  readonly code: string | null;
  /** The highest ack level that this content ever gets, where the platform's answer told that. */
  readonly highestLevel?: Exclude<AckLevel, 'none'>;
  /** Of the platform's words for its failure, where it gave any. */
  readonly textDigest?: string;
}

/** An operator's order about a message whose attempt is open; it takes effect when that attempt has ended. */
export type Mark = 'skip' | 'cancel';

export interface RoomRow extends RoomAddress {
  readonly key: RoomKey;
  /** Raised by one with every change that a decision makes; compared and set. */
  readonly version: number;
  readonly phase: Phase;
  /** Sequence of the last settled message; the head is the next one. */
  readonly settled: number;
  /** Sequence of the last appended message. Written by append only. */
  readonly tail: number;
  readonly paused: boolean;
  /** When the present phase began. */
  readonly since: number;
  /** `waiting`: one of WAITING_REASONS; `held`: one of HELD_REASONS; else null. */
  readonly reason: WaitingReason | HeldReason | null;
  /** The phase's own deadline, where it has one. */
  readonly until: number | null;
  /** No attempt begins before this: the minimum gap after the last settled message. */
  readonly gapUntil: number;
  /** When what its attempts borrowed from the channel's `roomLimit` is paid back; 0 where nothing ever was. */
  readonly debtUntil: number;

  // About the head; at their zero values while it has no attempt.
  /** Number of the last begun attempt, 0 for none. */
  readonly attempt: number;
  /** How many attempts the head has used up. */
  readonly spent: number;
  readonly level: AckLevel;
  /** When the platform says it reached `level`; engine time of receipt where it does not say. */
  readonly levelAt: number | null;
  /** The platform's id of the last accepted attempt. */
  readonly platformId: string | null;
  /** The platform's own time of that acceptance, in its clock's ms; what a watermark is compared with. */
  readonly platformAt: number | null;
  readonly mark: Mark | null;
  /** A refusal that arrived by webhook while the request was open; judged when that ends. `sending` only. */
  readonly nack: (Nack & { readonly platformId: string | null }) | null;
  /** This worker has its own evidence that bytes of the unknown attempt left. `unknown` only. */
  readonly bytesLeft: boolean;
  /** Room version of the head's first claim, 0 for none. */
  readonly firstClaimVersion: number;
  readonly attempts: readonly Attempt[];
}

export interface Room extends RoomRow {
  /** Ascending without gaps, beginning at the head; may be shorter than the room's queue. */
  readonly envelopes: readonly Envelope[];
}

/** How many messages beyond the head a room keeps envelopes of in memory. */
export const ENVELOPE_WINDOW = 16;

export function newRoomRow(address: RoomAddress, key: RoomKey, now: number): RoomRow {
  return {
    ...address,
    key,
    version: 0,
    phase: 'idle',
    settled: 0,
    tail: 0,
    paused: false,
    since: now,
    reason: null,
    until: null,
    gapUntil: 0,
    debtUntil: 0,
    ...noHead,
  };
}

/** The head's fields before its first attempt. */
export const noHead = {
  attempt: 0,
  spent: 0,
  level: 'none',
  levelAt: null,
  platformId: null,
  platformAt: null,
  mark: null,
  nack: null,
  bytesLeft: false,
  firstClaimVersion: 0,
  attempts: [],
} as const satisfies Partial<RoomRow>;

export function headSequence(room: RoomRow): number {
  return room.settled + 1;
}

export function hasHead(room: RoomRow): boolean {
  return room.tail > room.settled;
}

/** The head's envelope, or null where the room has no head or its envelope is not loaded. */
export function headEnvelope(room: Room): Envelope | null {
  const first = room.envelopes[0];
  return first !== undefined && first.sequence === headSequence(room) ? first : null;
}

/** Something waits, and what it is has to be loaded first. */
export function lacksHeadEnvelope(room: Room): boolean {
  return hasHead(room) && headEnvelope(room) === null;
}

/** True where a message of the head may be at the platform although it was not acked. */
export function possiblyDelivered(room: RoomRow): boolean {
  return room.attempts.some((attempt) => attempt.result !== 'refused');
}

/**
 * Lays envelopes over those a room has: cuts what is settled, keeps the run that begins at the head, bounded.
 * A cancel mark stays, even where what is laid over was read before it was made.
 */
export function withEnvelopes(room: Room, more: readonly Envelope[]): Room {
  const known = new Map<number, Envelope>();
  for (const envelope of room.envelopes) known.set(envelope.sequence, envelope);
  for (const envelope of more) {
    const cancelledBy = envelope.cancelledBy ?? known.get(envelope.sequence)?.cancelledBy ?? null;
    known.set(envelope.sequence, cancelledBy === envelope.cancelledBy ? envelope : { ...envelope, cancelledBy });
  }
  const envelopes: Envelope[] = [];
  for (let sequence = headSequence(room); sequence <= room.tail; sequence++) {
    if (envelopes.length > ENVELOPE_WINDOW) break;
    const envelope = known.get(sequence);
    if (envelope === undefined) break;
    envelopes.push(envelope);
  }
  return { ...room, envelopes };
}

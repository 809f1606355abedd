/** Rooms, envelopes and policies for tests of the pure core. */
import type { Decision, RoomEvent } from '../../src/room/events.ts';
import { type Envelope, type Nack, newRoomRow, type Policy, type Room } from '../../src/room/room.ts';
import { transition } from '../../src/room/transition.ts';

/** When every test world begins, in engine time. */
export const START = 1_000_000;

export function policyOf(wishes: Partial<Policy> = {}): Policy {
  return {
    unlockedBy: 'delivered',
    ackTimeoutMs: 5_000,
    minGapMs: 0,
    roomLimit: { everyMs: 0, burst: 1 },
    maxAttempts: 5,
    backoff: { initialMs: 1_000, maxMs: 60_000, factor: 2, jitter: 0 },
    unknownGraceMs: 2_000,
    unknownPolicy: 'resend',
    failurePolicy: 'move_on',
    ...wishes,
  };
}

export function envelopeOf(sequence: number, wishes: Partial<Envelope> = {}): Envelope {
  return {
    sequence,
    messageId: `m-${sequence}`,
    acceptedAt: START,
    notBefore: null,
    expiresAt: null,
    cancelledBy: null,
    policy: policyOf(),
    ...wishes,
  };
}

export function emptyRoom(): Room {
  const key = { tenant: 'default', channel: 'whatsapp-1', room: 'room-1' };
  return { ...newRoomRow({ shard: 7, id: 42 }, key, START), envelopes: [] };
}

export function nackOf(wishes: Partial<Nack> = {}): Nack {
  return { permanent: false, scope: 'message', retryAfterMs: null, code: 'busy', ...wishes };
}

/** The room after events that must all be heeded, at one time. */
export function after(room: Room, now: number, ...events: readonly RoomEvent[]): Room {
  return events.reduce((current, event) => mustApply(transition(current, event, now), event).room, room);
}

function mustApply(decision: Decision, event: RoomEvent): Decision {
  if (decision.verdict.kind === 'ignored') throw new Error(`${event.type} was ignored: ${decision.verdict.reason}`);
  return decision;
}

// -------------------------------------------------------------------------------------------------- events, shortened

export function append(...envelopes: readonly Envelope[]): RoomEvent {
  return { type: 'tail_raised', tail: envelopes.at(-1)?.sequence ?? 0, envelopes };
}

export const permit: RoomEvent = { type: 'permit_granted', worker: 'w1', generation: 1 };
export const takeOver: RoomEvent = { type: 'taken_over', chance: 0 };
export const pause: RoomEvent = { type: 'pause' };
export const resume: RoomEvent = { type: 'resume' };

export function accepted(sequence: number, attempt = 1, platformId: string | null = `gw-${sequence}`): RoomEvent {
  return { type: 'attempt_accepted', sequence, attempt, platformId, platformAt: null, ackTimeoutMs: null };
}

export function refused(sequence: number, nack: Partial<Nack> = {}, attempt = 1): RoomEvent {
  return { type: 'attempt_refused', sequence, attempt, nack: nackOf(nack), chance: 0 };
}

export function unknown(sequence: number, attempt = 1, bytesLeft = true): RoomEvent {
  return { type: 'attempt_unknown', sequence, attempt, code: 'timeout', bytesLeft, chance: 0 };
}

export function ack(
  sequence: number,
  level: Extract<RoomEvent, { type: 'ack' }>['level'] = 'delivered',
  cumulative = false,
): RoomEvent {
  return { type: 'ack', sequence, level, at: START, cumulative };
}

export function nacked(sequence: number, nack: Partial<Nack> = {}, platformId: string | null = null): RoomEvent {
  return { type: 'nack', sequence, nack: nackOf(nack), platformId, at: START, chance: 0 };
}

export function deadline(channelAnswered = true): RoomEvent {
  return { type: 'deadline_due', channelAnswered, chance: 0 };
}

/** An order about one message: an operator's, or that of the publisher of a newer one. */
export function operator(type: 'skip' | 'retry' | 'cancel' | 'superseded', sequence: number): RoomEvent {
  return { type, sequence };
}

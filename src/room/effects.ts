/** What a room's state calls for, derived from the row alone. */
import type { Effect } from './events.ts';
import { hasHead, headEnvelope, headSequence, lacksHeadEnvelope, type Room } from './room.ts';

/** The effects that a stored row calls for. Deadlines come from `nextDeadline`. */
export function pendingEffects(room: Room): readonly Effect[] {
  const effects: Effect[] = [];
  if (lacksHeadEnvelope(room)) {
    effects.push({ type: 'load_envelopes', from: headSequence(room) });
  } else if (isClaimable(room)) {
    effects.push({ type: 'request_permit' });
  }
  if (room.phase === 'sending') effects.push({ type: 'send', sequence: headSequence(room), attempt: room.attempt });
  if (room.phase === 'unknown') effects.push({ type: 'lookup', sequence: headSequence(room), attempt: room.attempt });
  return effects;
}

/** True where a permit is all that the head waits for. The channel's own gate is the permit queue. */
export function isClaimable(room: Room): boolean {
  if (room.paused || !hasHead(room)) return false;
  return room.phase === 'idle' || room.phase === 'ready' || (room.phase === 'waiting' && room.reason === 'channel');
}

/** When `deadline_due` is next called for, or null. */
export function nextDeadline(room: Room): number | null {
  const expiresAt = mayExpire(room) ? (headEnvelope(room)?.expiresAt ?? null) : null;
  if (room.until === null) return expiresAt;
  return expiresAt === null ? room.until : Math.min(room.until, expiresAt);
}

/** A head expires while it waits for an attempt, not while one is open, answered or unknown, nor under a hold. */
export function mayExpire(room: Room): boolean {
  return ['idle', 'ready', 'waiting', 'backing_off'].includes(room.phase);
}

import { HELD_REASONS, type Room, WAITING_REASONS } from './room.ts';

/**
 * What holds of every room that `transition` returns, numbered for tests and messages. The store's CHECK constraints
 * refuse the same of a row (all but I2 and I9, which `tail` and the envelopes concern).
 */
export const INVARIANTS = {
  I1: 'sequences and counters are whole numbers, none negative',
  I2: 'nothing beyond the tail is settled',
  I3: 'only waiting and held have a reason, each one of its own',
  I4: 'awaiting_ack, backing_off and unknown have a deadline; idle, ready, sending and held have none',
  I5: 'sending, awaiting_ack, unknown and backing_off have a begun attempt',
  I6: 'an idle room has no trace of a head',
  I7: 'a mark or a nack waits only for an open attempt; evidence of bytes is only kept while unknown',
  I8: 'attempts used up are no more than attempts begun; the first claim is known exactly if one was made',
  I9: 'envelopes begin at the head, ascend without gaps and stay within the tail',
  I10: 'only the last attempt may be open, and only while sending or settled early',
  I11: 'a paused room neither is ready nor idle',
} as const;
export type InvariantId = keyof typeof INVARIANTS;

/** The invariants that the room breaks; empty for every room that may exist. */
export function brokenInvariants(room: Room): InvariantId[] {
  const broken: InvariantId[] = [];
  const demand = (id: InvariantId, holds: boolean): void => {
    if (!holds) broken.push(id);
  };
  const { phase, attempt } = room;
  const counters = [room.version, room.settled, room.tail, attempt, room.spent, room.firstClaimVersion];
  demand(
    'I1',
    counters.every((counter) => Number.isSafeInteger(counter) && counter >= 0),
  );
  demand('I2', room.settled <= room.tail);
  demand('I3', reasonFits(room));
  demand('I4', deadlineFits(room));
  demand('I5', attempt > 0 || !['sending', 'awaiting_ack', 'unknown', 'backing_off'].includes(phase));
  demand(
    'I6',
    phase !== 'idle' ||
      (attempt === 0 && room.spent === 0 && room.level === 'none' && room.platformId === null && !room.attempts.length),
  );
  demand(
    'I7',
    (phase === 'sending' || (room.mark === null && room.nack === null)) && (phase === 'unknown' || !room.bytesLeft),
  );
  demand('I8', room.spent <= attempt && attempt > 0 === room.firstClaimVersion > 0);
  demand('I9', envelopesFit(room));
  demand(
    'I10',
    room.attempts.every(
      (one, index) => one.result !== null || (index === room.attempts.length - 1 && phase === 'sending'),
    ),
  );
  demand('I11', !room.paused || (phase !== 'ready' && phase !== 'idle'));
  return broken;
}

function reasonFits(room: Room): boolean {
  if (room.phase === 'waiting') return (WAITING_REASONS as readonly (string | null)[]).includes(room.reason);
  if (room.phase === 'held') return (HELD_REASONS as readonly (string | null)[]).includes(room.reason);
  return room.reason === null;
}

function deadlineFits(room: Room): boolean {
  switch (room.phase) {
    case 'awaiting_ack':
    case 'backing_off':
    case 'unknown':
      return room.until !== null;
    case 'waiting':
      return (room.until !== null) === (room.reason === 'not_before' || room.reason === 'limit');
    case 'idle':
    case 'ready':
    case 'sending':
    case 'held':
      return room.until === null;
    default:
      return room.phase satisfies never;
  }
}

function envelopesFit(room: Room): boolean {
  return room.envelopes.every(
    (envelope, index) => envelope.sequence === room.settled + 1 + index && envelope.sequence <= room.tail,
  );
}

/** Throws where a room breaks an invariant: a defect of the engine, never of its input. */
export function assertInvariants(room: Room): void {
  const broken = brokenInvariants(room);
  if (broken.length === 0) return;
  const rules = broken.map((id) => `${id}: ${INVARIANTS[id]}`).join('; ');
  throw new Error(`room ${room.id} (${room.phase}, version ${room.version}) breaks ${rules}`);
}

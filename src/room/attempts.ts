/** What a head's attempts amount to. */
import { reaches } from './ack.ts';
import { type AckLevel, type Attempt, headSequence, type Nack, type Policy, type Room } from './room.ts';

/** Attempts kept with a message. A long outage can cause more: refused ones go first, they say least. */
const KEPT_ATTEMPTS = 20;

export function withoutOldRefusals(attempts: readonly Attempt[]): readonly Attempt[] {
  if (attempts.length <= KEPT_ATTEMPTS) return attempts;
  const refused = attempts.findIndex((attempt) => attempt.result === 'refused');
  return attempts.toSpliced(refused === -1 ? 1 : refused, 1);
}

export function isCurrentAttempt(room: Room, event: { sequence: number; attempt: number }): boolean {
  return event.sequence === headSequence(room) && event.attempt === room.attempt && room.attempt > 0;
}

/** @param failure what was said of it, where it failed */
export function endAttempt(room: Room, result: Attempt['result'], failure: Said | null, now: number): Room {
  const attempts = room.attempts.map((attempt) =>
    attempt.number === room.attempt ? { ...withSaid(attempt, failure), result, endedAt: now } : attempt,
  );
  return { ...room, attempts };
}

type Said = Pick<Nack, 'code' | 'textDigest'>;

/** The last word on an attempt takes the place of those before. */
function withSaid({ textDigest: _former, ...attempt }: Attempt, said: Said | null): Attempt {
  const words = said?.textDigest === undefined ? {} : { textDigest: said.textDigest };
  return { ...attempt, code: said?.code ?? null, ...words };
}

/** The current attempt was accepted; what its content can reach is kept with it. */
export function acceptAttempt(room: Room, highestLevel: Attempt['highestLevel'], now: number): Room {
  const ended = endAttempt(room, 'accepted', null, now);
  if (highestLevel === undefined) return ended;
  const attempts = ended.attempts.map((attempt) =>
    attempt.number === room.attempt ? { ...attempt, highestLevel } : attempt,
  );
  return { ...ended, attempts };
}

/** Whether this level lets the next message go: the policy's does, and the highest that the head can get. */
export function unlocks(room: Pick<Room, 'attempts'>, level: AckLevel, policy: Policy): boolean {
  const highest = room.attempts.findLast((attempt) => attempt.highestLevel !== undefined)?.highestLevel;
  return reaches(level, policy.unlockedBy) || (highest !== undefined && reaches(level, highest));
}

/** The refusal's code is the attempt's last word. What was unknown is definite now; what was accepted stays so. */
export function nackAttempt(room: Room, nack: Nack): Room {
  const attempts = room.attempts.map((attempt): Attempt => {
    if (attempt.number !== room.attempt) return attempt;
    return { ...withSaid(attempt, nack), result: attempt.result === 'accepted' ? 'accepted' : 'refused' };
  });
  return { ...room, attempts };
}

/** An attempt is used up once, even where it was taken for unknown first, then answered, then nacked. */
export function spentWith(room: Room): number {
  return Math.min(room.attempt, room.spent + 1);
}

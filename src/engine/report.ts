import type { Fact, Settled } from '../room/events.ts';
import { type Attempt, headSequence, type Room, type RoomRow } from '../room/room.ts';
import { failureOf } from './fingerprint.ts';
import type { Instruments } from './instruments.ts';
import { channelName } from './policy.ts';

/**
 * Tells logs, metrics and listeners that a message has settled. `room` is its room as it was before.
 * @param requestId of the request that brought a dead letter, where that is known
 */
export function reportSettled(instruments: Instruments, room: Room, fact: Settled, requestId?: string): void {
  const { log, metrics, telemetry, hash } = instruments;
  const { key } = room;
  const { sequence, outcome, reason } = fact;
  const channel = channelName(key);
  metrics.messagesSettled.inc({ outcome, channel });
  if (telemetry.wants('message.settled')) {
    const messageId = room.envelopes.find((envelope) => envelope.sequence === sequence)?.messageId ?? '';
    const { level, code, at, possiblyDelivered, attempts } = fact;
    telemetry.emit('message.settled', {
      room: key,
      address: { shard: room.shard, id: room.id },
      sequence,
      messageId,
      outcome,
      reason,
      level,
      code,
      attempts: attempts.length,
      possiblyDelivered,
      at,
    });
  }
  if (!fact.deadLetter) return;
  metrics.deadLetters.inc({ reason, channel });
  telemetry.emit('message.dead_lettered', { room: key, sequence, reason });
  const where = { tenant: key.tenant, channel: key.channel, room: hash(key.room), sequence };
  log.event('message.dead_lettered', { ...where, outcome, reason, requestId });
}

/** Tells listeners which attempts have failed by what was stored. */
export function reportFailures({ telemetry }: Instruments, before: Room, after: Room, facts: readonly Fact[]): void {
  if (!telemetry.wants('failure.seen')) return;
  const tell = (sequence: number, attempts: readonly Attempt[], deadLetter: boolean): void => {
    const known = sequence === headSequence(before) ? before.attempts : [];
    for (const attempt of attempts) {
      const failure = failureOf(attempt);
      if (failure === null) continue;
      const told = failureOf(known.find(({ number }) => number === attempt.number));
      const again = told?.code === failure.code && told.kind === failure.kind && told.textDigest === failure.textDigest;
      const last = deadLetter && attempt === attempts.at(-1);
      if (again && !last) continue;
      const sample = { address: { shard: after.shard, id: after.id }, sequence };
      const { tenant, channel } = after.key;
      telemetry.emit('failure.seen', { channel: { tenant, channel }, ...failure, again, deadLetter: last, sample });
    }
  };
  for (const fact of facts) if (fact.kind === 'settled') tell(fact.sequence, fact.attempts, fact.deadLetter);
  tell(headSequence(after), after.attempts, false);
}

/** A room waits for an operator from now on. */
export function reportHeld(instruments: Instruments, room: RoomRow, requestId?: string): void {
  instruments.log.event('room.held', { ...placeOf(instruments, room), reason: room.reason ?? 'unknown', requestId });
}

/** R6 is broken: the room is claimable, and nobody attends to it. */
export function reportViolation(instruments: Instruments, room: RoomRow): void {
  instruments.log.event('liveness.violated', { ...placeOf(instruments, room), state: room.phase });
}

function placeOf({ hash }: Instruments, room: RoomRow) {
  const { tenant, channel, room: name } = room.key;
  return { tenant, channel, room: hash(name), sequence: headSequence(room) };
}

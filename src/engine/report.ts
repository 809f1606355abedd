import type { Settled } from '../room/events.ts';
import { headSequence, type Room, type RoomRow } from '../room/room.ts';
import type { Instruments } from './instruments.ts';
import { channelName } from './policy.ts';

/** Tells logs, metrics and listeners that a message has settled. `room` is its room as it was before. */
export function reportSettled(instruments: Instruments, room: Room, fact: Settled): void {
  const { log, metrics, telemetry, hash } = instruments;
  const { key } = room;
  const { sequence, outcome, reason } = fact;
  const channel = channelName(key);
  metrics.messagesSettled.inc({ outcome, channel });
  if (telemetry.wants('message.settled')) {
    const messageId = room.envelopes.find((envelope) => envelope.sequence === sequence)?.messageId ?? '';
    telemetry.emit('message.settled', { room: key, sequence, messageId, outcome });
  }
  if (!fact.deadLetter) return;
  metrics.deadLetters.inc({ reason, channel });
  telemetry.emit('message.dead_lettered', { room: key, sequence, reason });
  const where = { tenant: key.tenant, channel: key.channel, room: hash(key.room), sequence };
  log.event('message.dead_lettered', { ...where, outcome, reason });
}

/** A room waits for an operator from now on. */
export function reportHeld(instruments: Instruments, room: RoomRow): void {
  instruments.log.event('room.held', { ...placeOf(instruments, room), reason: room.reason ?? 'unknown' });
}

/** R6 is broken: the room is claimable, and nobody attends to it. */
export function reportViolation(instruments: Instruments, room: RoomRow): void {
  instruments.log.event('liveness.violated', { ...placeOf(instruments, room), state: room.phase });
}

function placeOf({ hash }: Instruments, room: RoomRow) {
  const { tenant, channel, room: name } = room.key;
  return { tenant, channel, room: hash(name), sequence: headSequence(room) };
}

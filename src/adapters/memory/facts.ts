/** How each fact of a decision changes what is stored beside the room's row. */
import { fingerprintOfAttempts } from '../../engine/fingerprint.ts';
import type { HistoryEntry, InboxAck } from '../../engine/ports.ts';
import type { Fact, Settled } from '../../room/events.ts';
import type { Attempt, CancelledBy } from '../../room/room.ts';
import {
  addressOf,
  copyAttempts,
  type MemoryDatabase,
  type MessageRow,
  orderOf,
  platformIdKey,
  type RoomRecord,
} from './database.ts';
import { putDeadLetter } from './dead-letters.ts';

/** @returns acks that waited for a platform id which the fact makes known */
export function writeFact(database: MemoryDatabase, record: RoomRecord, fact: Fact): InboxAck[] {
  switch (fact.kind) {
    case 'settled':
      moveToHistory(database, record, fact);
      return [];
    case 'cancel_marked':
      markCancelled(record, fact.sequence, fact.by);
      return [];
    case 'accepted_as':
      return nameMessage(database, record, fact.sequence, fact.platformId);
    case 'answered_late':
      addAnswer(record, fact);
      return [];
    default:
      return fact satisfies never;
  }
}

function moveToHistory(database: MemoryDatabase, record: RoomRecord, fact: Settled): void {
  const message = messageAt(record, fact.sequence);
  record.messages.delete(fact.sequence);
  const entry: HistoryEntry = Object.freeze({
    address: addressOf(record.row),
    key: record.row.key,
    sequence: fact.sequence,
    messageId: message.envelope.messageId,
    body: message.body,
    acceptedAt: message.envelope.acceptedAt,
    settledAt: fact.at,
    outcome: fact.outcome,
    reason: fact.reason,
    code: fact.code,
    possiblyDelivered: fact.possiblyDelivered,
    level: fact.level,
    levelAt: fact.levelAt,
    lateNackCode: null,
    platformId: fact.platformId,
    platformAt: fact.platformAt,
    attempts: copyAttempts(fact.attempts),
    firstClaimVersion: fact.firstClaimVersion,
    settleVersion: fact.version,
    revision: 1,
    ...orderOf(message),
  });
  record.history.set(fact.sequence, entry);
  if (!fact.deadLetter) return;
  const { reason, code: detail, at, attempts } = fact;
  putDeadLetter(database, entry, { reason, detail, at, fingerprint: fingerprintOfAttempts(entry.key, attempts) });
}

/** Who came first with that is remembered. */
function markCancelled(record: RoomRecord, sequence: number, by: CancelledBy): void {
  const message = messageAt(record, sequence);
  const cancelledBy = message.envelope.cancelledBy ?? by;
  record.messages.set(sequence, { ...message, envelope: Object.freeze({ ...message.envelope, cancelledBy }) });
}

/** The first message that an id is given to keeps it. */
function nameMessage(database: MemoryDatabase, record: RoomRecord, sequence: number, platformId: string): InboxAck[] {
  const key = platformIdKey(record.row.key, platformId);
  const known = database.platformIds.get(key);
  if (known?.message) return [];
  database.platformIds.set(key, {
    message: { address: addressOf(record.row), sequence },
    ack: known?.ack ?? null,
    keptAt: known?.keptAt ?? 0,
  });
  return known?.ack ? [known.ack] : [];
}

/** An answer that came after its message had settled ends the attempt that the history shows as open. */
function addAnswer(record: RoomRecord, fact: Extract<Fact, { kind: 'answered_late' }>): void {
  const entry = record.history.get(fact.sequence);
  if (entry === undefined) return;
  const attempts = entry.attempts.map(
    (attempt): Attempt =>
      attempt.number === fact.attempt && attempt.result === null
        ? { ...attempt, result: fact.result, code: fact.code, endedAt: fact.at }
        : attempt,
  );
  record.history.set(
    fact.sequence,
    Object.freeze({
      ...entry,
      attempts: copyAttempts(attempts),
      platformId: entry.platformId ?? fact.platformId,
      revision: entry.revision + 1,
    }),
  );
}

/** Throws unless every message that the facts settle or mark is there. */
export function demandMessages(record: RoomRecord, facts: readonly Fact[]): void {
  for (const fact of facts)
    if (fact.kind === 'settled' || fact.kind === 'cancel_marked') messageAt(record, fact.sequence);
}

function messageAt(record: RoomRecord, sequence: number): MessageRow {
  const message = record.messages.get(sequence);
  if (message === undefined) throw new Error(`room ${record.row.id} has no message ${sequence} to settle or mark`);
  return message;
}

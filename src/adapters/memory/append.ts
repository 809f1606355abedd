/** How messages come into their rooms: numbered at the tail, or parked ahead of their turn in their publisher's order. */
import { Buffer } from 'node:buffer';
import type { AppendedRow, AppendResult, NewMessage, PublishersOrder } from '../../engine/ports.ts';
import type { RoomRow } from '../../room/room.ts';
import { addressOf, copyRow, gapOf, parkedAs, type RoomRecord } from './database.ts';

export interface AppendInto {
  readonly recordFor: (message: NewMessage) => RoomRecord;
  readonly now: number;
  readonly written: (record: RoomRecord) => void;
}

/** What a message came to while its batch is being appended: a later one of the batch may bring it its sequence. */
interface Placed {
  readonly record: RoomRecord;
  readonly message: NewMessage;
  readonly kind: 'appended' | 'known' | 'conflict' | 'order_conflict';
  readonly late: boolean;
}

export function appendBatch(batch: readonly NewMessage[], into: AppendInto): AppendResult[] {
  // Messages that arrive behind a gap of this batch's own may find it closed at its end.
  const before = new Map<RoomRecord, number>();
  const refused = new Map<RoomRecord, Map<string, NewMessage>>();
  const placed = batch.map((message): Placed => {
    const record = into.recordFor(message);
    if (!before.has(record)) before.set(record, record.nextOrder);
    const first = refused.get(record)?.get(message.messageId);
    if (first !== undefined) {
      const same = Buffer.compare(first.digest, message.digest) === 0;
      return { record, message, kind: same ? 'order_conflict' : 'conflict', late: false };
    }
    const one = place(record, message, into);
    if (one.kind === 'order_conflict') {
      refused.set(record, (refused.get(record) ?? new Map()).set(message.messageId, message));
    }
    return one;
  });
  for (const [record, nextOrder] of before) timeGap(record, nextOrder, into.now);
  // The rooms as the whole batch leaves them: that is what its one transaction commits.
  return placed.map(resultOf);
}

/** Gives up what the room waits for. Null where nothing is parked. */
export function skipGap(record: RoomRecord, now: number): { readonly first: number; readonly last: number } | null {
  if (record.parked.size === 0) return null;
  const skipped = Object.freeze({ first: record.nextOrder, last: Math.min(...record.parked.keys()) - 1 });
  record.skipped.push(skipped);
  record.nextOrder = skipped.last + 1;
  release(record);
  timeGap(record, skipped.first, now);
  return skipped;
}

/** The present gap began when something was first parked behind it. */
function timeGap(record: RoomRecord, nextOrderBefore: number, now: number): void {
  if (record.parked.size === 0) record.gapSince = null;
  else if (record.gapSince === null || record.nextOrder !== nextOrderBefore) record.gapSince = now;
}

function place(record: RoomRecord, message: NewMessage, { written }: AppendInto): Placed {
  const digest = digestOf(record, message.messageId);
  if (digest !== undefined) {
    const same = Buffer.compare(digest, message.digest) === 0;
    return { record, message, kind: same ? 'known' : 'conflict', late: false };
  }
  const { order } = message;
  const late = order !== undefined && order < record.nextOrder;
  if (order !== undefined && (late ? !mayComeLate(record, order) : record.parked.has(order))) {
    return { record, message, kind: 'order_conflict', late: false };
  }
  if (late) record.late.add(order);
  if (order === undefined || late) number(record, message, late);
  else {
    record.parked.set(order, { ...message, body: message.body.slice(), digest: message.digest.slice() });
    release(record);
  }
  written(record);
  return { record, message, kind: 'appended', late };
}

function digestOf(record: RoomRecord, messageId: string): Uint8Array | undefined {
  return record.ids.get(messageId)?.digest ?? parkedAs(record, messageId)?.digest;
}

function mayComeLate(record: RoomRecord, order: number): boolean {
  return record.skipped.some(({ first, last }) => first <= order && order <= last) && !record.late.has(order);
}

/** Numbers what is parked from the next number on, as far as it goes without a gap. */
function release(record: RoomRecord): void {
  for (let next = record.parked.get(record.nextOrder); next !== undefined; next = record.parked.get(record.nextOrder)) {
    record.parked.delete(record.nextOrder);
    record.nextOrder++;
    number(record, next, false);
  }
}

function number(record: RoomRecord, message: NewMessage, late: boolean): void {
  const sequence = record.row.tail + 1;
  const digest = message.digest.slice();
  const envelope = Object.freeze({
    sequence,
    messageId: message.messageId,
    acceptedAt: message.acceptedAt,
    notBefore: message.notBefore,
    expiresAt: message.expiresAt,
    ackTimeoutMs: message.ackTimeoutMs,
    failurePolicy: message.failurePolicy,
    cancelledBy: null,
  });
  const order: PublishersOrder = {
    ...(message.order === undefined ? {} : { order: message.order }),
    ...(late ? { late } : {}),
  };
  record.messages.set(sequence, { envelope, body: message.body.slice(), digest, ...order });
  record.ids.set(message.messageId, { sequence, digest });
  record.row = copyRow(record.row, sequence);
}

function resultOf({ record, message, kind, late }: Placed): AppendResult {
  const address = addressOf(record.row);
  const sequence = record.ids.get(message.messageId)?.sequence ?? null;
  if (kind === 'conflict') return { kind, address, sequence };
  const { order } = message;
  if (kind === 'order_conflict') return { kind, address, sequence: null, order: order as number };
  const gap = gapOf(record);
  if (sequence === null) {
    if (order === undefined || gap === null) throw new Error('a message is neither numbered nor parked');
    return { kind: 'parked', row: appendedRow(record.row), sequence, order, duplicate: kind === 'known', gap };
  }
  if (kind === 'known') return { kind: 'duplicate', address, sequence };
  return { kind, row: appendedRow(record.row), sequence, ...(late ? { late } : {}), ...(gap === null ? {} : { gap }) };
}

function appendedRow(row: RoomRow): AppendedRow {
  const { shard, id, key, version, phase, tail } = row;
  return phase === 'idle' ? { ...row, phase } : { shard, id, key, version, phase, tail };
}

/** A batch of new messages as the two statements that append it, and what their answers come to. */
import { Buffer } from 'node:buffer';
import type { AppendResult, Gap, NewMessage, RoomName } from '../../engine/ports.ts';
import type { RoomRow } from '../../room/room.ts';
import { bigints, integers, texts } from './arrays.ts';
import { gapOf, type RoomRecord, roomRow } from './rows.ts';
import { STATEMENTS, type Statement } from './statements.ts';

export interface BatchRoom extends RoomName {
  readonly acceptedAt: number;
}

/** A message of the batch, with the room it goes to and the earlier one of the batch that has its id, if any. */
interface Placed {
  readonly message: NewMessage;
  /** Counts the batch's rooms from 1. */
  readonly room: number;
  /** Counts the messages that are sent to the database from 1; shared with an earlier one of the same id. */
  readonly ord: number;
  readonly repeats: NewMessage | null;
}

export class AppendBatch {
  readonly rooms: readonly BatchRoom[];
  readonly #placed: readonly Placed[];
  readonly #firsts: readonly Placed[];

  constructor(batch: readonly NewMessage[]) {
    const rooms = new Map<string, { readonly room: BatchRoom; readonly ordinal: number }>();
    const firsts = new Map<string, Placed>();
    this.#placed = batch.map((message) => {
      const name = JSON.stringify([message.key.tenant, message.key.channel, message.key.room]);
      let entry = rooms.get(name);
      if (entry === undefined) {
        const { key, shard, acceptedAt } = message;
        entry = { room: { key, shard, acceptedAt }, ordinal: rooms.size + 1 };
        rooms.set(name, entry);
      }
      if (entry.room.shard !== message.shard) throw new Error(`a room is said to belong to two shards: ${name}`);
      const id = `${entry.ordinal} ${message.messageId}`;
      const first = firsts.get(id);
      const ord = first?.ord ?? firsts.size + 1;
      const placed = { message, room: entry.ordinal, ord, repeats: first?.message ?? null };
      if (first === undefined) firsts.set(id, placed);
      return placed;
    });
    this.rooms = [...rooms.values()].map(({ room }) => room);
    this.#firsts = [...firsts.values()];
  }

  /** What appends it, after its rooms are locked; a batch without any order of its publishers has the cheaper one. */
  command(dedupeMs: number): [Statement, unknown[]] {
    const values = this.#parameters(dedupeMs);
    if (this.#firsts.every(({ message }) => message.order === undefined)) return [STATEMENTS.appendMessages, values];
    return [STATEMENTS.appendOrdered, [...values, bigints(this.#firsts.map(({ message }) => message.order ?? null))]];
  }

  /** The parameters of append_messages.sql, in its order. */
  #parameters(dedupeMs: number): unknown[] {
    const messages = this.#firsts.map(({ message }) => message);
    const bodies = messages.map((message) => message.body);
    let begins = 1;
    const begun = bodies.map((body) => {
      const at = begins;
      begins += body.length;
      return at;
    });
    const earliest = messages.reduce((least, message) => Math.min(least, message.acceptedAt), Number.POSITIVE_INFINITY);
    return [
      this.rooms.length,
      Math.floor(earliest - dedupeMs),
      integers(this.#firsts.map(({ room }) => room)),
      integers(messages.map((message) => message.shard)),
      texts(messages.map((message) => message.messageId)),
      bigints(messages.map((message) => message.acceptedAt)),
      bigints(messages.map((message) => message.notBefore)),
      bigints(messages.map((message) => message.expiresAt)),
      bigints(messages.map((message) => message.ackTimeoutMs)),
      texts(messages.map((message) => message.failurePolicy)),
      texts(messages.map((message) => message.source)),
      integers(begun),
      integers(bodies.map((body) => body.length)),
      Buffer.concat(messages.map((message) => message.digest)),
      Buffer.concat(bodies),
    ];
  }

  /** Rooms that have no row, given those that were locked. */
  missing(locked: readonly LockedRecord[]): BatchRoom[] {
    const found = new Set(locked.map((record) => record.ord));
    return this.rooms.filter((_, index) => !found.has(index + 1));
  }

  results(locked: readonly LockedRecord[], numbered: readonly NumberedRecord[]): AppendResult[] {
    const byOrd = new Map(numbered.map((record) => [record.ord, record]));
    const records = new Map(locked.map((record) => [record.ord, record]));
    const afterwards = new Map<number, Afterwards>();
    for (const { room, ord } of this.#firsts) {
      const record = mustHave(byOrd.get(ord));
      const before = mustHave(records.get(room));
      const tail = Math.max(afterwards.get(room)?.tail ?? before.tail, record.tail ?? record.sequence ?? 0);
      afterwards.set(room, { tail, gap: gapOf(record.next_order === undefined ? before : { ...before, ...record }) });
    }
    const rows = new Map(
      locked.map((record) => [record.ord, roomRow({ ...record, tail: mustHave(afterwards.get(record.ord)).tail })]),
    );
    return this.#placed.map(({ message, room, ord, repeats }): AppendResult => {
      const row = mustHave(rows.get(room));
      const gap = mustHave(afterwards.get(room)).gap;
      return resultOf(message, mustHave(byOrd.get(ord)), row, gap, repeats?.digest ?? null);
    });
  }
}

/** A room as its append has left it. */
interface Afterwards {
  readonly tail: number;
  readonly gap: Gap | null;
}

/** @param repeated the digest of an earlier message of the batch that has its id */
function resultOf(
  message: NewMessage,
  { fate, sequence, known_digest, parked_order }: NumberedRecord,
  row: RoomRow,
  gap: Gap | null,
  repeated: Uint8Array | null,
): AppendResult {
  const address = { shard: row.shard, id: row.id };
  const before = known_digest ?? repeated;
  if (before !== null && Buffer.compare(before, message.digest) !== 0) return { kind: 'conflict', address, sequence };
  if (fate === 'order_conflict') {
    return { kind: 'order_conflict', address, sequence: null, order: mustHave(message.order) };
  }
  if (sequence === null) {
    const order = mustHave(parked_order ?? undefined);
    return { kind: 'parked', row, sequence, order, duplicate: before !== null, gap: mustHave(gap ?? undefined) };
  }
  if (before !== null) return { kind: 'duplicate', address, sequence };
  return {
    kind: 'appended',
    row,
    sequence,
    ...(fate === 'late' ? { late: true } : {}),
    ...(gap === null ? {} : { gap }),
  };
}

/** What lock_rooms.sql answers. */
export interface LockedRecord extends RoomRecord {
  readonly ord: number;
}

/** What append_messages.sql answers; the last four are append_ordered.sql's alone. */
export interface NumberedRecord {
  readonly ord: number;
  /** Null where it has none: it is parked, or refused. */
  readonly sequence: number | null;
  /** Null where the message is new. */
  readonly known_digest: Uint8Array | null;
  readonly parked_order: number | null;
  readonly fate?: 'appended' | 'late' | 'parked' | 'order_conflict' | 'known';
  readonly tail?: number;
  readonly next_order?: number;
  readonly gap_since?: number | null;
}

/** The parameters that name rooms by their keys. */
export function encodeKeys(rooms: readonly RoomName[]): unknown[] {
  return [
    integers(rooms.map((room) => room.shard)),
    texts(rooms.map((room) => room.key.tenant)),
    texts(rooms.map((room) => room.key.channel)),
    texts(rooms.map((room) => room.key.room)),
  ];
}

function mustHave<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the append was answered for fewer rooms or messages than it has');
  return value;
}

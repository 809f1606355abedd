/** A batch of new messages as the two statements that append it, and what their answers come to. */
import { Buffer } from 'node:buffer';
import type { AppendResult, NewMessage } from '../../engine/ports.ts';
import type { RoomKey } from '../../room/room.ts';
import { bigints, integers, texts } from './arrays.ts';
import { type RoomRecord, roomRow } from './rows.ts';

export interface BatchRoom {
  readonly key: RoomKey;
  readonly shard: number;
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

  /** The parameters of append_messages.sql, in its order. */
  parameters(dedupeMs: number): unknown[] {
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
    const tails = new Map<number, number>();
    for (const { room, ord } of this.#firsts) {
      const { sequence } = mustHave(byOrd.get(ord));
      tails.set(room, Math.max(tails.get(room) ?? mustHave(records.get(room)).tail, sequence));
    }
    const rows = new Map(
      locked.map((record) => [record.ord, roomRow({ ...record, tail: mustHave(tails.get(record.ord)) })]),
    );
    return this.#placed.map(({ message, room, ord, repeats }): AppendResult => {
      const { sequence, known_digest } = mustHave(byOrd.get(ord));
      const row = mustHave(rows.get(room));
      const before = known_digest ?? repeats?.digest ?? null;
      if (before === null) return { kind: 'appended', row, sequence };
      const same = Buffer.compare(before, message.digest) === 0;
      return { kind: same ? 'duplicate' : 'conflict', address: { shard: row.shard, id: row.id }, sequence };
    });
  }
}

/** What lock_rooms.sql answers. */
export interface LockedRecord extends RoomRecord {
  readonly ord: number;
}

/** What append_messages.sql answers. */
export interface NumberedRecord {
  readonly ord: number;
  readonly sequence: number;
  /** Null where the message is new. */
  readonly known_digest: Uint8Array | null;
}

/** The parameters that name rooms by their keys. */
export function encodeKeys(rooms: readonly BatchRoom[]): unknown[] {
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

/** A batch of new messages as the two statements that append it, and what their answers come to. */
import { Buffer } from 'node:buffer';
import type { AppendedRow, AppendResult, Gap, NewMessage, RoomName } from '../../engine/ports.ts';
import { newRoomRow, type Phase } from '../../room/room.ts';
import { bigints, integers, listed, numbers, texts } from './arrays.ts';
import { gapOf } from './rows.ts';
import { STATEMENTS, type Statement } from './statements.ts';

export interface BatchRoom extends RoomName {
  /** Its key as one text. */
  readonly name: string;
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
        entry = { room: { name, key, shard, acceptedAt }, ordinal: rooms.size + 1 };
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

  /** What locks its rooms. @param idOf the id of a room by its name, where that is known */
  lock(idOf: (name: string) => number | undefined): [Statement, unknown[]] {
    return [
      STATEMENTS.lockRooms,
      [...encodeKeys(this.rooms), bigints(this.rooms.map(({ name }) => idOf(name) ?? null))],
    ];
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
  missing(locked: readonly LockedRoom[]): BatchRoom[] {
    if (locked.length === this.rooms.length) return [];
    const found = new Set(locked.map((record) => record.ord));
    return this.rooms.filter((_, index) => !found.has(index + 1));
  }

  /** @param locked all rooms of the batch, as `decodeLocked` gives them */
  results(locked: readonly LockedRoom[], placed: readonly PlacedRecord[]): AppendResult[] {
    const byOrd = new Array<PlacedRecord | undefined>(this.#firsts.length + 1);
    for (const record of placed) byOrd[record.ord] = record;
    const afterwards = new Array<Afterwards | undefined>(locked.length + 1);
    for (const { room, ord } of this.#firsts) {
      const record = mustHave(byOrd[ord]);
      const before = mustHave(locked[room - 1]);
      const tail = Math.max(afterwards[room]?.tail ?? before.tail, record.room?.tail ?? record.sequence ?? 0);
      afterwards[room] = { tail, gap: record.room === undefined ? before.gap : record.room.gap };
    }
    const rows = locked.map((record) =>
      rowOf(record, mustHave(this.rooms[record.ord - 1]), mustHave(afterwards[record.ord]).tail),
    );
    return this.#placed.map(({ message, room, ord, repeats }): AppendResult => {
      const row = mustHave(rows[room - 1]);
      const gap = mustHave(afterwards[room]).gap;
      return resultOf(message, mustHave(byOrd[ord]), row, gap, repeats?.digest ?? null);
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
  { fate, sequence, knownDigest, order }: PlacedRecord,
  row: AppendedRow,
  gap: Gap | null,
  repeated: Uint8Array | null,
): AppendResult {
  const address = { shard: row.shard, id: row.id };
  const before = knownDigest ?? repeated;
  if (before !== null && Buffer.compare(before, message.digest) !== 0) return { kind: 'conflict', address, sequence };
  if (fate === 'order_conflict') {
    return { kind: 'order_conflict', address, sequence: null, order: mustHave(message.order) };
  }
  if (sequence === null) {
    const parkedAs = mustHave(order ?? undefined);
    return {
      kind: 'parked',
      row,
      sequence,
      order: parkedAs,
      duplicate: before !== null,
      gap: mustHave(gap ?? undefined),
    };
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

/** What lock_rooms.sql answers: arrays as Postgres writes them, `{1,2}`, null where no room was locked. */
export interface LockedAnswer {
  readonly ords: string | null;
  readonly ids: string | null;
  readonly versions: string | null;
  readonly phases: string | null;
  readonly settled: string | null;
  readonly tails: string | null;
  readonly since: string | null;
  readonly gap_until: string | null;
  readonly debt_until: string | null;
  readonly next_orders: string | null;
  /** -1 where there is none. */
  readonly gap_since: string | null;
}

/** A room under its lock. */
export interface LockedRoom {
  /** Counts the batch's rooms from 1. */
  readonly ord: number;
  readonly id: number;
  readonly version: number;
  readonly phase: Phase;
  readonly settled: number;
  readonly tail: number;
  readonly since: number;
  readonly gapUntil: number;
  readonly debtUntil: number;
  readonly gap: Gap | null;
}

export function decodeLocked(answer: LockedAnswer): LockedRoom[] {
  const ids = numbers(answer.ids);
  const versions = numbers(answer.versions);
  const phases = listed(answer.phases) as Phase[];
  const settled = numbers(answer.settled);
  const tails = numbers(answer.tails);
  const since = numbers(answer.since);
  const gapUntil = numbers(answer.gap_until);
  const debtUntil = numbers(answer.debt_until);
  const nextOrders = numbers(answer.next_orders);
  const gapSince = numbers(answer.gap_since);
  return numbers(answer.ords).map((ord, index) => ({
    ord,
    id: mustHave(ids[index]),
    version: mustHave(versions[index]),
    phase: mustHave(phases[index]),
    settled: mustHave(settled[index]),
    tail: mustHave(tails[index]),
    since: mustHave(since[index]),
    gapUntil: mustHave(gapUntil[index]),
    debtUntil: mustHave(debtUntil[index]),
    gap: gapSince[index] === -1 ? null : { waitsFor: mustHave(nextOrders[index]), since: mustHave(gapSince[index]) },
  }));
}

/** An idle room has nothing of a head: what was told of it is all of its row. */
function rowOf(locked: LockedRoom, { key, shard }: BatchRoom, tail: number): AppendedRow {
  const { id, version, phase, settled, since, gapUntil, debtUntil } = locked;
  if (phase !== 'idle') return { shard, id, key, version, phase, tail };
  return { ...newRoomRow({ shard, id }, key, since), phase, version, settled, tail, gapUntil, debtUntil };
}

/** What append_messages.sql answers. */
interface NumberedAnswer {
  readonly ords: string | null;
  readonly sequences: string | null;
  readonly known:
    | readonly (readonly [ord: number, sequence: number | null, digest: string, parkedOrder: number | null])[]
    | null;
}

/** What append_ordered.sql answers. */
interface JudgedAnswer {
  readonly judged: readonly (readonly [
    ord: number,
    fate: Fate | null,
    sequence: number | null,
    digest: string | null,
    order: number | null,
    room: readonly [tail: number, nextOrder: number, gapSince: number | null],
  ])[];
}

export type AppendAnswer = NumberedAnswer | JudgedAnswer;

/** What is queued is parked until it has a sequence. */
type Fate = 'appended' | 'queued' | 'late' | 'order_conflict';

/** Where a message of the batch is now. */
interface PlacedRecord {
  readonly ord: number;
  /** Null where it has none: it is parked, or refused. */
  readonly sequence: number | null;
  /** Null where the message is new. */
  readonly knownDigest: Uint8Array | null;
  /** What it is parked under where it has no sequence. */
  readonly order: number | null;
  /** Null where the message is known. */
  readonly fate: Fate | null;
  /** Told by append_ordered.sql alone: elsewhere an append changes nothing of a room but its tail. */
  readonly room?: { readonly tail: number; readonly gap: Gap | null };
}

export function decodePlaced(answer: AppendAnswer): PlacedRecord[] {
  if ('judged' in answer) {
    return answer.judged.map(([ord, fate, sequence, digest, order, [tail, next_order, gap_since]]) => {
      const room = { tail, gap: gapOf({ next_order, gap_since }) };
      return { ord, fate, sequence, knownDigest: digest === null ? null : Buffer.from(digest, 'hex'), order, room };
    });
  }
  const sequences = numbers(answer.sequences);
  const placed = numbers(answer.ords).map((ord, index): PlacedRecord => {
    return { ord, fate: 'appended', sequence: mustHave(sequences[index]), knownDigest: null, order: null };
  });
  for (const [ord, sequence, digest, order] of answer.known ?? []) {
    placed.push({ ord, fate: null, sequence, knownDigest: Buffer.from(digest, 'hex'), order });
  }
  return placed;
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

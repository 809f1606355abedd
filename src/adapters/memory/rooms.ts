import type { CursorMove } from '../../engine/buffer-ports.ts';
import type {
  AppendResult,
  ClaimProof,
  FoundMessage,
  InboxAck,
  NewMessage,
  OpenGap,
  RoomMark,
  RoomName,
  RoomStore,
  RoomWrite,
  Skipped,
  StoredRoom,
  SweepPage,
  WantedRoom,
  WriteResult,
} from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import { brokenInvariants } from '../../room/invariants.ts';
import { hasHead, headSequence, newRoomRow, type RoomAddress, type RoomKey } from '../../room/room.ts';
import { appendBatch, skipGap } from './append.ts';
import { moveCursor } from './buffer.ts';
import {
  compositeKey,
  copyRow,
  gapOf,
  type MemoryDatabase,
  nextMicrotask,
  parkedAs,
  type RoomRecord,
  recordAt,
  storedRoom,
} from './database.ts';
import { demandMessages, writeFact } from './facts.ts';

export class MemoryRoomStore implements RoomStore {
  readonly #database: MemoryDatabase;
  /** Writes of rows so far; the last one of each room. */
  #writes = 0;
  readonly #lastWrites = new Map<number, number>();

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  async append(batch: readonly NewMessage[], cursor: CursorMove | null = null): Promise<AppendResult[]> {
    await nextMicrotask();
    if (this.#database.anotherHistory() !== null) throw new RoomlineError('another_history');
    for (const message of batch) this.#demandShard(message.shard);
    if (cursor !== null) moveCursor(this.#database, cursor);
    return appendBatch(batch, {
      recordFor: (message) => this.#recordFor(message),
      now: this.#database.now(),
      written: (record) => this.#written(record),
    });
  }

  async findMessage(address: RoomAddress, messageId: string): Promise<FoundMessage | null> {
    await nextMicrotask();
    const record = recordAt(this.#database, address);
    const known = record?.ids.get(messageId);
    if (known !== undefined) return { kind: 'numbered', sequence: known.sequence };
    const parked = record === null ? undefined : parkedAs(record, messageId);
    if (parked?.order === undefined) return null;
    const { order, acceptedAt, notBefore, expiresAt, body } = parked;
    return Object.freeze({ kind: 'parked', order, acceptedAt, notBefore, expiresAt, body: body.slice() });
  }

  async countParked(address: RoomAddress): Promise<number> {
    await nextMicrotask();
    return recordAt(this.#database, address)?.parked.size ?? 0;
  }

  async skipGaps(gaps: readonly OpenGap[]): Promise<(Skipped | null)[]> {
    await nextMicrotask();
    if (this.#database.anotherHistory() !== null) throw new RoomlineError('another_history');
    if (new Set(gaps.map(({ id }) => id)).size < gaps.length) throw new Error('a batch holds two gaps of one room');
    return gaps.map((gap) => {
      const record = recordAt(this.#database, gap);
      if (record === null) return null;
      const skipped = record.nextOrder === gap.waitsFor ? skipGap(record, this.#database.now()) : null;
      if (skipped !== null) this.#written(record);
      return Object.freeze({ tail: record.row.tail, gap: gapOf(record), skipped });
    });
  }

  async compareAndSet(_lane: number, writes: readonly RoomWrite[], proof: ClaimProof | null): Promise<WriteResult[]> {
    await nextMicrotask();
    const rooms = new Set(writes.map((write) => write.next.id));
    if (rooms.size < writes.length) throw new Error('a batch holds two writes of one room');
    for (const write of writes) demandPossible(write);
    const mayClaim = this.#database.anotherHistory() === null && this.#proves(proof);
    const taken = writes.map((write): RoomRecord | 'fenced' | 'conflict' => {
      if (write.claims && !mayClaim) return 'fenced';
      const record = recordAt(this.#database, write.next);
      return record === null || record.row.version !== write.expectedVersion ? 'conflict' : record;
    });
    // All that can fail is looked at before anything changes, as one statement would do it.
    for (const [index, record] of taken.entries()) {
      if (typeof record !== 'string') demandMessages(record, (writes[index] as RoomWrite).facts);
    }
    return writes.map((write, index): WriteResult => {
      const record = taken[index] as RoomRecord | 'fenced' | 'conflict';
      if (typeof record === 'string') return { kind: record };
      const { tail } = record.row;
      record.row = copyRow(write.next, tail);
      this.#written(record);
      const inbox = write.facts.flatMap((fact): InboxAck[] => writeFact(this.#database, record, fact));
      return { kind: 'committed', tail, inbox };
    });
  }

  async readRooms(wanted: readonly WantedRoom[]): Promise<(StoredRoom | null)[]> {
    await nextMicrotask();
    return wanted.map((one) => {
      const record = recordAt(this.#database, one);
      if (record === null) return null;
      const { phase, settled } = record.row;
      const rests = phase === 'idle' || phase === 'ready' || phase === 'waiting';
      const headBody = one.withBody === true && rests ? record.messages.get(settled + 1)?.body.slice() : undefined;
      return { ...storedRoom(record), ...(headBody === undefined ? {} : { headBody }) };
    });
  }

  async findRoom(key: RoomKey, shard: number): Promise<StoredRoom | null> {
    await nextMicrotask();
    const id = this.#database.roomIds.get(nameOf(key));
    const record = id === undefined ? null : recordAt(this.#database, { shard, id });
    return record === null ? null : storedRoom(record);
  }

  async locateRooms(wanted: readonly RoomName[]): Promise<(RoomAddress | null)[]> {
    await nextMicrotask();
    return wanted.map(({ key, shard }) => {
      const id = this.#database.roomIds.get(nameOf(key));
      return id === undefined || recordAt(this.#database, { shard, id }) === null ? null : { shard, id };
    });
  }

  async readBodies(wanted: readonly (RoomAddress & { readonly sequence: number })[]): Promise<(Uint8Array | null)[]> {
    await nextMicrotask();
    return wanted.map((one) => recordAt(this.#database, one)?.messages.get(one.sequence)?.body.slice() ?? null);
  }

  async findWaiting(wanted: readonly (RoomAddress & { readonly messageId: string })[]): Promise<(number | null)[]> {
    await nextMicrotask();
    return wanted.map((one) => {
      const record = recordAt(this.#database, one);
      const sequence = record?.ids.get(one.messageId)?.sequence ?? 0;
      return record?.messages.has(sequence) ? sequence : null;
    });
  }

  async scan(shards: readonly number[], limit: number, after: RoomAddress | null): Promise<StoredRoom[]> {
    await nextMicrotask();
    return this.#scan(shards, limit, after, (record) => !atRest(record));
  }

  async sweep(shards: readonly number[], now: number, limit: number, from: string | null): Promise<SweepPage> {
    await nextMicrotask();
    const [shard = 0, id = 0] = from?.split(':').map(Number) ?? [];
    const rooms = this.#scan(shards, limit, from === null ? null : { shard, id }, (record) => isDue(record, now));
    const last = rooms.length < limit ? undefined : rooms.at(-1)?.row;
    return { rooms, next: last === undefined ? null : `${last.shard}:${last.id}` };
  }

  #scan(
    shards: readonly number[],
    limit: number,
    after: RoomAddress | null,
    isWanted: (record: RoomRecord) => boolean,
  ): StoredRoom[] {
    const found: StoredRoom[] = [];
    for (const shard of [...new Set(shards)].sort((a, b) => a - b)) {
      if (after !== null && shard < after.shard) continue;
      for (const id of this.#database.byShard.get(shard) ?? []) {
        if (found.length >= limit) return found;
        if (after !== null && shard === after.shard && id <= after.id) continue;
        const record = this.#database.rooms.get(id) as RoomRecord;
        if (isWanted(record)) found.push(storedRoom(record));
      }
    }
    return found;
  }

  async changedSince(
    shards: readonly number[],
    since: string | null,
  ): Promise<{ readonly now: string; readonly rooms: readonly RoomMark[] }> {
    await nextMicrotask();
    const rooms: RoomMark[] = [];
    for (const [id, write] of since === null ? [] : this.#lastWrites) {
      const record = this.#database.rooms.get(id) as RoomRecord;
      const { shard, version, tail } = record.row;
      if (write > Number(since) && shards.includes(shard)) {
        rooms.push(Object.freeze({ shard, id, version, tail, atRest: atRest(record) }));
      }
    }
    return { now: String(this.#writes), rooms };
  }

  #written(record: RoomRecord): void {
    this.#lastWrites.set(record.row.id, ++this.#writes);
  }

  #recordFor(message: NewMessage): RoomRecord {
    const { rooms, roomIds, byShard, now } = this.#database;
    const known = rooms.get(roomIds.get(nameOf(message.key)) ?? 0);
    if (known !== undefined) {
      if (known.row.shard !== message.shard) throw new Error(`room ${known.row.id} belongs to another shard`);
      return known;
    }
    const id = rooms.size + 1;
    const row = copyRow(newRoomRow({ shard: message.shard, id }, message.key, now()), 0);
    const record: RoomRecord = {
      row,
      messages: new Map(),
      history: new Map(),
      ids: new Map(),
      nextOrder: 1,
      gapSince: null,
      parked: new Map(),
      skipped: [],
      late: new Set(),
    };
    rooms.set(id, record);
    roomIds.set(nameOf(message.key), id);
    const ids = byShard.get(message.shard);
    if (ids === undefined) byShard.set(message.shard, [id]);
    else ids.push(id);
    return record;
  }

  #proves(proof: ClaimProof | null): boolean {
    const fence = proof === null ? undefined : this.#database.fences.get(proof.worker);
    return fence !== undefined && !fence.fenced && fence.generation === proof?.generation;
  }

  #demandShard(shard: number): void {
    if (!Number.isInteger(shard) || shard < 0 || shard >= this.#database.shards) {
      throw new Error(`shard ${shard} is not one of ${this.#database.shards}`);
    }
  }
}

function nameOf(key: RoomKey): string {
  return compositeKey(key.tenant, key.channel, key.room);
}

/** What the constraints of a real database would refuse of a row; they cannot see tail and envelopes (I2, I9). */
function demandPossible(write: RoomWrite): void {
  const broken = brokenInvariants(write.next).filter((id) => id !== 'I2' && id !== 'I9');
  if (broken.length > 0) throw new Error(`room ${write.next.id} may not be stored: it breaks ${broken.join(', ')}`);
}

function atRest({ row, gapSince }: RoomRecord): boolean {
  return row.phase === 'idle' && !hasHead(row) && gapSince === null;
}

/** Claimable, sending, past the deadline of its phase or of its head's validity, or with something parked. */
function isDue({ row, messages, gapSince }: RoomRecord, now: number): boolean {
  if (row.phase === 'sending' || gapSince !== null) return true;
  if (row.until !== null && row.until <= now) return true;
  if (!hasHead(row)) return false;
  const claimable =
    row.phase === 'idle' || row.phase === 'ready' || (row.phase === 'waiting' && row.reason === 'channel');
  if (claimable && !row.paused) return true;
  const expiresAt = messages.get(headSequence(row))?.envelope.expiresAt ?? null;
  return expiresAt !== null && expiresAt <= now && (row.phase === 'waiting' || row.phase === 'backing_off');
}

import { Buffer } from 'node:buffer';
import type {
  AppendResult,
  ClaimProof,
  InboxAck,
  NewMessage,
  RoomMark,
  RoomStore,
  RoomWrite,
  StoredRoom,
  WriteResult,
} from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import { brokenInvariants } from '../../room/invariants.ts';
import { hasHead, headSequence, newRoomRow, type RoomAddress, type RoomKey } from '../../room/room.ts';
import {
  addressOf,
  compositeKey,
  copyRow,
  type MemoryDatabase,
  nextMicrotask,
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

  async append(batch: readonly NewMessage[]): Promise<AppendResult[]> {
    await nextMicrotask();
    if (this.#database.anotherHistory() !== null) throw new RoomlineError('another_history');
    for (const message of batch) this.#demandShard(message.shard);
    const placed = batch.map((message) => this.#place(message));
    // The rooms as the whole batch leaves them: that is what its one transaction commits.
    return placed.map(({ record, kind, sequence }) =>
      kind === 'appended' ? { kind, row: record.row, sequence } : { kind, address: addressOf(record.row), sequence },
    );
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

  async readRooms(addresses: readonly RoomAddress[]): Promise<(StoredRoom | null)[]> {
    await nextMicrotask();
    return addresses.map((address) => {
      const record = recordAt(this.#database, address);
      return record === null ? null : storedRoom(record);
    });
  }

  async findRoom(key: RoomKey, shard: number): Promise<StoredRoom | null> {
    await nextMicrotask();
    const id = this.#database.roomIds.get(nameOf(key));
    const record = id === undefined ? null : recordAt(this.#database, { shard, id });
    return record === null ? null : storedRoom(record);
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

  async scan(
    shards: readonly number[],
    which: 'all' | 'due',
    now: number,
    limit: number,
    after: RoomAddress | null,
  ): Promise<StoredRoom[]> {
    await nextMicrotask();
    const found: StoredRoom[] = [];
    for (const shard of [...new Set(shards)].sort((a, b) => a - b)) {
      if (after !== null && shard < after.shard) continue;
      for (const id of this.#database.byShard.get(shard) ?? []) {
        if (found.length >= limit) return found;
        if (after !== null && shard === after.shard && id <= after.id) continue;
        const record = this.#database.rooms.get(id) as RoomRecord;
        if (which === 'all' ? !atRest(record) : isDue(record, now)) found.push(storedRoom(record));
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

  #place(message: NewMessage): { record: RoomRecord; kind: AppendResult['kind']; sequence: number } {
    const record = this.#recordFor(message);
    const known = record.ids.get(message.messageId);
    if (known !== undefined) {
      const same = Buffer.compare(known.digest, message.digest) === 0;
      return { record, kind: same ? 'duplicate' : 'conflict', sequence: known.sequence };
    }
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
    record.messages.set(sequence, { envelope, body: message.body.slice(), digest });
    record.ids.set(message.messageId, { sequence, digest });
    record.row = copyRow(record.row, sequence);
    this.#written(record);
    return { record, kind: 'appended', sequence };
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
    const record: RoomRecord = { row, messages: new Map(), history: new Map(), ids: new Map() };
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

function atRest({ row }: RoomRecord): boolean {
  return row.phase === 'idle' && !hasHead(row);
}

/** Claimable, sending, or past the deadline of its phase or of its head's validity. */
function isDue({ row, messages }: RoomRecord, now: number): boolean {
  if (row.phase === 'sending') return true;
  if (row.until !== null && row.until <= now) return true;
  if (!hasHead(row)) return false;
  const claimable =
    row.phase === 'idle' || row.phase === 'ready' || (row.phase === 'waiting' && row.reason === 'channel');
  if (claimable && !row.paused) return true;
  const expiresAt = messages.get(headSequence(row))?.envelope.expiresAt ?? null;
  return expiresAt !== null && expiresAt <= now && (row.phase === 'waiting' || row.phase === 'backing_off');
}

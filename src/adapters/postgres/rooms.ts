import type { CursorMove } from '../../engine/buffer-ports.ts';
import {
  type AppendResult,
  type ClaimProof,
  type FoundMessage,
  type NewMessage,
  type OpenGap,
  OutcomeUnknownError,
  type RoomMark,
  type RoomName,
  type RoomStore,
  type RoomWrite,
  type Skipped,
  type StoredRoom,
  type SweepPage,
  type WantedRoom,
  type WriteResult,
} from '../../engine/ports.ts';
import { Recent } from '../../engine/recent.ts';
import { RoomlineError } from '../../errors.ts';
import { ENVELOPE_WINDOW, type RoomAddress, type RoomKey } from '../../room/room.ts';
import {
  type AppendAnswer,
  AppendBatch,
  type BatchRoom,
  decodeLocked,
  decodePlaced,
  encodeKeys,
  type LockedAnswer,
} from './append.ts';
import { bigints, booleans, integers, texts } from './arrays.ts';
import { moveCommand, throwMoved } from './buffer.ts';
import { type Answer, type AnswerRecord, decodeAnswer, encodeWrites } from './compare-and-set.ts';
import type { Connection } from './connection.ts';
import { mayPass } from './failures.ts';
import type { Pool } from './pool.ts';
import { type FoundRecord, foundMessage, gapOf, type StoredRoomRecord, storedRoom } from './rows.ts';
import { STATEMENTS } from './statements.ts';

/** What locate_rooms.sql answers. */
type LocatedRecord = RoomAddress & { readonly ord: number };

const ENVELOPES = ENVELOPE_WINDOW + 1;
const DAY_MS = 86_400_000;
/** How often an append is tried again that met a room coming or going, or a deadlock. */
const APPEND_TRIES = 5;

/** So many rooms that were appended to last are known by their ids: as many as are live at once. */
const KNOWN_ROOMS = 25_000;

export interface RoomStoreOptions {
  readonly lanes: readonly Connection[];
  readonly appends: Connection;
  readonly pool: Pool;
  readonly dedupeDays: number;
}

export class PostgresRoomStore implements RoomStore {
  readonly #lanes: readonly Connection[];
  readonly #appends: Connection;
  readonly #pool: Pool;
  readonly #dedupeMs: number;
  /** Of rooms by their names: who has an id need not be looked for by its key. */
  readonly #ids = new Recent<number>(KNOWN_ROOMS);
  /** Of the database; null until it is needed. */
  #shardCount: number | null = null;

  constructor(options: RoomStoreOptions) {
    this.#lanes = options.lanes;
    this.#appends = options.appends;
    this.#pool = options.pool;
    this.#dedupeMs = options.dedupeDays * DAY_MS;
  }

  /** @throws OutcomeUnknownError where it may have been appended: doing it again is safe and says what became of it */
  async append(batch: readonly NewMessage[], cursor: CursorMove | null = null): Promise<AppendResult[]> {
    if (batch.length === 0) return [];
    const placed = new AppendBatch(batch);
    for (let tries = 1; ; tries++) {
      if (!(await this.#appends.isOnKnownHistory())) throw new RoomlineError('another_history');
      try {
        const [lock, append] = await this.#appends.transact([
          placed.lock((name) => this.#ids.get(name)),
          placed.command(this.#dedupeMs),
          ...(cursor === null ? [] : [moveCommand(cursor, placed.rooms.length)]),
        ]);
        const locked = decodeLocked(lock?.rows[0] as LockedAnswer);
        for (const { ord, id } of locked) this.#ids.set((placed.rooms[ord - 1] as BatchRoom).name, id);
        const missing = placed.missing(locked);
        for (const { name } of missing) this.#ids.delete(name);
        if (missing.length === 0) return placed.results(locked, decodePlaced(append?.rows[0] as AppendAnswer));
        if (tries === APPEND_TRIES)
          throw new Error(`${missing.length} rooms came and went while they were appended to`);
        await this.#open(missing);
      } catch (error) {
        if (!mayPass(error) || tries === APPEND_TRIES) throwMoved(error);
      }
    }
  }

  /** Gives rooms a row: the one they had before they were put to rest, or a first one. */
  async #open(rooms: readonly BatchRoom[]): Promise<void> {
    const keys = encodeKeys(rooms);
    await this.#appends.run(STATEMENTS.takeBackRooms, keys);
    await this.#appends.run(STATEMENTS.createRooms, [...keys, bigints(rooms.map((room) => room.acceptedAt))]);
  }

  async compareAndSet(lane: number, writes: readonly RoomWrite[], proof: ClaimProof | null): Promise<WriteResult[]> {
    if (writes.length === 0) return [];
    const connection = this.#lanes[lane];
    if (connection === undefined) throw new Error(`there are ${this.#lanes.length} lanes, none of number ${lane}`);
    if (new Set(writes.map((write) => write.next.id)).size < writes.length) {
      throw new Error('a batch holds two writes of one room');
    }
    let answers: Answer[];
    try {
      // A fence row of another history proves nothing.
      const proved = proof !== null && (await connection.isOnKnownHistory()) ? proof : null;
      const { statement, values } = encodeWrites(writes, proved);
      const result = await connection.run(statement, values);
      answers = decodeAnswer(writes, result.rows[0] as AnswerRecord);
    } catch (error) {
      if (mayPass(error)) return writes.map(() => ({ kind: 'busy' }));
      throw error;
    }
    const awake = await this.#wake(writes.filter((_, index) => answers[index]?.kind === 'gone'));
    return answers.map((answer, index): WriteResult => {
      if (answer.kind !== 'gone') return answer;
      return { kind: awake.has((writes[index] as RoomWrite).next.id) ? 'busy' : 'conflict' };
    });
  }

  /** Takes back from rest what is written to; the write rides in the next batch. */
  async #wake(writes: readonly RoomWrite[]): Promise<ReadonlySet<number>> {
    if (writes.length === 0) return new Set();
    const next = writes.map((write) => write.next);
    try {
      const result = await this.#pool.run(STATEMENTS.wakeRooms, addressesOf(next));
      return new Set((result.rows as { id: number }[]).map((row) => row.id));
    } catch (error) {
      // What the batch did is known; that these rooms could not be woken shows when they are written to again.
      if (error instanceof OutcomeUnknownError || mayPass(error)) return new Set(next.map((room) => room.id));
      throw error;
    }
  }

  async readRooms(wanted: readonly WantedRoom[]): Promise<(StoredRoom | null)[]> {
    if (wanted.length === 0) return [];
    const withBody = booleans(wanted.map((one) => one.withBody === true));
    const result = await this.#pool.run(STATEMENTS.readRooms, [...addressesOf(wanted), withBody, ENVELOPES]);
    const rooms: (StoredRoom | null)[] = wanted.map(() => null);
    for (const record of result.rows as (StoredRoomRecord & { ord: number })[]) {
      rooms[record.ord - 1] = storedRoom(record);
    }
    return rooms;
  }

  async findRoom(key: RoomKey, shard: number): Promise<StoredRoom | null> {
    const values = [shard, key.tenant, key.channel, key.room, ENVELOPES];
    const [record] = (await this.#pool.run(STATEMENTS.findRoom, values)).rows as StoredRoomRecord[];
    return record === undefined ? null : storedRoom(record);
  }

  async locateRooms(wanted: readonly RoomName[]): Promise<(RoomAddress | null)[]> {
    if (wanted.length === 0) return [];
    const found = (await this.#pool.run(STATEMENTS.locateRooms, encodeKeys(wanted))).rows as LocatedRecord[];
    const addresses: (RoomAddress | null)[] = wanted.map(() => null);
    for (const { ord, shard, id } of found) addresses[ord - 1] = { shard, id };
    return addresses;
  }

  async readBodies(wanted: readonly (RoomAddress & { readonly sequence: number })[]): Promise<(Uint8Array | null)[]> {
    if (wanted.length === 0) return [];
    const values = [...addressesOf(wanted), bigints(wanted.map((one) => one.sequence))];
    const result = await this.#pool.run(STATEMENTS.readBodies, values);
    const bodies: (Uint8Array | null)[] = wanted.map(() => null);
    for (const { ord, body } of result.rows as { ord: number; body: Uint8Array }[]) bodies[ord - 1] = body;
    return bodies;
  }

  async findMessage(address: RoomAddress, messageId: string): Promise<FoundMessage | null> {
    const result = await this.#pool.run(STATEMENTS.findMessage, [address.shard, address.id, messageId]);
    const [record] = result.rows as FoundRecord[];
    return record === undefined ? null : foundMessage(record);
  }

  async countParked(address: RoomAddress): Promise<number> {
    const result = await this.#pool.run(STATEMENTS.countParked, [address.shard, address.id]);
    return (result.rows[0] as { parked: number }).parked;
  }

  async skipGaps(gaps: readonly OpenGap[]): Promise<(Skipped | null)[]> {
    const asked = [...new Map(gaps.map((gap) => [gap.id, gap])).values()];
    if (asked.length === 0) return [];
    if (asked.length < gaps.length) throw new Error('a batch holds two gaps of one room');
    for (let tries = 1; ; tries++) {
      if (!(await this.#appends.isOnKnownHistory())) throw new RoomlineError('another_history');
      try {
        const [, skip] = await this.#appends.transact([
          [STATEMENTS.lockGaps, addressesOf(asked)],
          [STATEMENTS.skipGaps, [...addressesOf(asked), bigints(asked.map(({ waitsFor }) => waitsFor))]],
        ]);
        const skipped: (Skipped | null)[] = asked.map(() => null);
        const rows = skip?.rows as SkippedRecord[];
        for (const { ord, tail, first, last, ...record } of rows) {
          const range = first === null || last === null ? null : { first, last };
          skipped[ord - 1] = { tail, gap: gapOf(record), skipped: range };
        }
        return skipped;
      } catch (error) {
        if (!mayPass(error) || tries === APPEND_TRIES) throw error;
      }
    }
  }

  async findWaiting(wanted: readonly (RoomAddress & { readonly messageId: string })[]): Promise<(number | null)[]> {
    if (wanted.length === 0) return [];
    const values = [...addressesOf(wanted), texts(wanted.map((one) => one.messageId))];
    const result = await this.#pool.run(STATEMENTS.findWaiting, values);
    const found: (number | null)[] = wanted.map(() => null);
    for (const { ord, sequence } of result.rows as { ord: number; sequence: number }[]) found[ord - 1] = sequence;
    return found;
  }

  async scan(shards: readonly number[], limit: number, after: RoomAddress | null): Promise<StoredRoom[]> {
    const values = [integers(shards), after?.shard ?? -1, after?.id ?? 0, limit, ENVELOPES];
    return ((await this.#pool.run(STATEMENTS.scanAll, values)).rows as StoredRoomRecord[]).map(storedRoom);
  }

  async sweep(shards: readonly number[], now: number, limit: number, from: string | null): Promise<SweepPage> {
    return (await this.#areMany(shards))
      ? this.#sweepTable(shards, now, limit, from)
      : this.#sweepShards(shards, now, limit, from);
  }

  /** So many that one pass over all rooms is quicker than one for each shard. */
  async #areMany(shards: readonly number[]): Promise<boolean> {
    this.#shardCount ??= ((await this.#pool.run(STATEMENTS.shardCount, [])).rows[0] as { shards: number }).shards;
    return shards.length > this.#shardCount * MANY;
  }

  async #sweepShards(shards: readonly number[], now: number, limit: number, from: string | null): Promise<SweepPage> {
    const [shard = -1, id = 0] = from?.split(':').map(Number) ?? [];
    const values = [integers(shards), shard, id, limit, ENVELOPES, now];
    const rooms = ((await this.#pool.run(STATEMENTS.scanDueOfFew, values)).rows as StoredRoomRecord[]).map(storedRoom);
    const last = rooms.length < limit ? undefined : rooms.at(-1)?.row;
    return { rooms, next: last === undefined ? null : `${last.shard}:${last.id}` };
  }

  /** What was read behind the last room of a full page is read again: where most rooms are due, few blocks at a time. */
  async #sweepTable(shards: readonly number[], now: number, limit: number, from: string | null): Promise<SweepPage> {
    const [atOnce, begins] = (from ?? `${LEAST_BLOCKS}:(0,0)`).split(':') as [string, string];
    const end = Number.parseInt(begins.slice(1), 10) + Number(atOnce);
    const ends = `(${end},0)`;
    const values = [integers(shards), begins, ends, limit, ENVELOPES, now];
    const rows = (await this.#pool.run(STATEMENTS.scanDue, values)).rows as SweptRecord[];
    const found = rows.filter((row) => row.place !== null);
    const rooms = found.map(storedRoom);
    if (rooms.length === limit) return { rooms, next: `${LEAST_BLOCKS}:${found.at(-1)?.place}` };
    const more = end < (rows[0] as SweptRecord).blocks;
    return { rooms, next: more ? `${Math.min(2 * Number(atOnce), MOST_BLOCKS)}:${ends}` : null };
  }

  async changedSince(
    shards: readonly number[],
    since: string | null,
  ): Promise<{ readonly now: string; readonly rooms: readonly RoomMark[] }> {
    // Rows hold the lower half of a transaction's number.
    const xid = since === null ? null : String(BigInt(since) % 2n ** 32n);
    const statement = (await this.#areMany(shards)) ? STATEMENTS.scanChanged : STATEMENTS.scanChangedOfFew;
    const rows = (await this.#pool.run(statement, [integers(shards), xid])).rows as MarkRecord[];
    const rooms = rows.flatMap(({ shard, id, version, tail, at_rest }): RoomMark[] =>
      shard === null ? [] : [{ shard, id, version, tail, atRest: at_rest }],
    );
    return { now: rows[0]?.now as string, rooms };
  }
}

/** What scan_due.sql answers: of one row alone, where no room was found, nothing but the blocks. */
type SweptRecord = StoredRoomRecord & { readonly blocks: number; readonly place: string | null };

interface SkippedRecord {
  readonly ord: number;
  readonly tail: number;
  readonly next_order: number;
  readonly gap_since: number | null;
  readonly first: number | null;
  readonly last: number | null;
}

/** The share of all shards above which a worker's are many: measured, docs/performance.md. */
const MANY = 1 / 8;

/** Blocks of the table in one statement of a sweep: some 1,000 rooms, … */
const LEAST_BLOCKS = 32;
/** … and twice as many with each page that is not full, up to some 30,000 rooms, which take 15 ms. */
const MOST_BLOCKS = 1_024;

/** `shard` is null in the row that comes where nothing was found. */
interface MarkRecord {
  readonly now: string;
  readonly shard: number | null;
  readonly id: number;
  readonly version: number;
  readonly tail: number;
  readonly at_rest: boolean;
}

function addressesOf(rooms: readonly RoomAddress[]): unknown[] {
  return [integers(rooms.map((room) => room.shard)), bigints(rooms.map((room) => room.id))];
}

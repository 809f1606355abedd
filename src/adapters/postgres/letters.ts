/** Dead letters as operators handle them, and failures by what they have in common. */
import { Buffer } from 'node:buffer';
import type {
  AuditNote,
  FailureGroup,
  FailureStore,
  LetterFilter,
  LetterPage,
  LetterPayload,
  LetterPlace,
  LetterStore,
  StoredLetter,
} from '../../engine/operator-ports.ts';
import type { ChannelSelection } from '../../engine/ports.ts';
import { bigints, bytes, integers, texts } from './arrays.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS } from './statements.ts';

/** A filter that few letters satisfy ends a page after so many: no page costs more, however it is filtered. */
const EXAMINED = 5_000;
const BEFORE_ALL: LetterPlace = { at: -1, id: 0 };
const BEYOND_ALL: LetterPlace = { at: Number.MAX_SAFE_INTEGER, id: Number.MAX_SAFE_INTEGER };

interface LetterRecord {
  /** Null where there is no letter in the row. */
  readonly id: number | null;
  readonly at: number;
  readonly kind: StoredLetter['kind'];
  readonly reason: string;
  readonly detail: string | null;
  readonly tenant: string | null;
  readonly channel: string | null;
  readonly shard: number | null;
  readonly room_id: number | null;
  readonly sequence: number | null;
  readonly fingerprint: Buffer | null;
  readonly room: string | null;
  readonly closed_as: 'replayed' | 'discarded' | null;
  readonly closed_at: number | null;
  readonly closed_by: string | null;
  readonly replay_shard: number | null;
  readonly replay_room_id: number | null;
  readonly replay_sequence: number | null;
}

interface PageRecord extends LetterRecord {
  readonly examined: number;
  readonly last_at: number | null;
  readonly last_id: number | null;
}

interface RefusedRecord extends LetterRecord {
  readonly payload: Uint8Array | null;
  readonly attributes: LetterPayload['attributes'] | null;
}

export class PostgresLetterStore implements LetterStore {
  readonly #pool: Pool;
  readonly #examined: number;

  /** @param examined how many letters a page looks at, at the most */
  constructor(pool: Pool, examined = EXAMINED) {
    this.#pool = pool;
    this.#examined = examined;
  }

  async page(
    filter: LetterFilter,
    order: 'newest' | 'oldest',
    after: LetterPlace | null,
    limit: number,
  ): Promise<LetterPage> {
    const { room, channel, kind, reason, code, fingerprint, state, from, until } = filter;
    const tenants = room === null && channel === null ? filter.tenants : null;
    const place = after ?? (order === 'newest' ? BEYOND_ALL : BEFORE_ALL);
    const statement = order === 'newest' ? STATEMENTS.newestLetters : STATEMENTS.oldestLetters;
    // Place, time, and room, fingerprint or channel are looked up; whatever else is asked for has to be looked at.
    const beside = room === null ? (fingerprint === null ? null : channel) : fingerprint;
    const picks = [kind, reason, code, state, tenants, beside].some((wish) => wish !== null);
    const examined = picks ? Math.max(limit, this.#examined) : limit;
    const { rows } = await this.#pool.run(statement, [
      place.at,
      place.id,
      room?.shard ?? null,
      room?.id ?? null,
      channel?.tenant ?? null,
      channel?.channel ?? null,
      examined,
      limit,
      kind,
      reason,
      code,
      state,
      from ?? 0,
      until ?? Number.MAX_SAFE_INTEGER,
      tenants === null ? null : texts(tenants),
      fingerprint === null ? null : Buffer.from(fingerprint, 'hex'),
    ]);
    const records = rows as PageRecord[];
    const letters = records.flatMap((record) => (record.id === null ? [] : [storedLetter(record, record.id)]));
    const [first] = records;
    const last = letters.at(-1);
    if (letters.length === limit && last !== undefined) return { letters, next: { at: last.at, id: last.id } };
    const looked = first?.examined === examined && first.last_at !== null && first.last_id !== null;
    return { letters, next: looked ? { at: first.last_at as number, id: first.last_id as number } : null };
  }

  async read(ids: readonly number[]): Promise<(StoredLetter & { readonly refused: LetterPayload | null })[]> {
    if (ids.length === 0) return [];
    const { rows } = await this.#pool.run(STATEMENTS.readLetters, [bigints(ids)]);
    return (rows as RefusedRecord[]).map((record) => {
      const { payload, attributes } = record;
      const refused = payload === null || attributes === null ? null : { payload, attributes };
      return { ...storedLetter(record, record.id as number), refused };
    });
  }

  async markReplayed(links: Parameters<LetterStore['markReplayed']>[0], at: number, by: string): Promise<void> {
    if (links.length === 0) return;
    await this.#pool.run(STATEMENTS.markReplayed, [
      bigints(links.map(({ id }) => id)),
      integers(links.map(({ address }) => address.shard)),
      bigints(links.map(({ address }) => address.id)),
      bigints(links.map(({ sequence }) => sequence)),
      Math.round(at),
      by,
    ]);
  }

  async discard(ids: readonly number[], at: number, note: AuditNote): Promise<number[]> {
    if (ids.length === 0) return [];
    const { actor, action, subject, detail, requestId } = note;
    const values = [bigints(ids), Math.round(at), actor, action, subject, JSON.stringify(detail), requestId];
    const { rows } = await this.#pool.run(STATEMENTS.discardLetters, values);
    return (rows as { id: number }[]).map(({ id }) => id);
  }
}

function storedLetter(record: LetterRecord, id: number): StoredLetter {
  const { shard, room_id, replay_shard, replay_room_id, replay_sequence } = record;
  const linked = replay_shard !== null && replay_room_id !== null && replay_sequence !== null;
  return {
    id,
    at: record.at,
    kind: record.kind,
    reason: record.reason,
    detail: record.detail,
    tenant: record.tenant,
    channel: record.channel,
    address: shard === null ? null : { shard, id: room_id as number },
    sequence: record.sequence,
    fingerprint: record.fingerprint?.toString('hex') ?? null,
    room: record.room,
    state: record.closed_as ?? 'open',
    closedAt: record.closed_at,
    closedBy: record.closed_by,
    replayedAs: linked ? { address: { shard: replay_shard, id: replay_room_id }, sequence: replay_sequence } : null,
  };
}

interface FailureRecord {
  readonly fingerprint: Buffer;
  readonly tenant: string | null;
  readonly channel: string | null;
  readonly code: string;
  readonly kind: FailureGroup['kind'];
  readonly count: number;
  readonly dead_letters: number;
  readonly first_seen: number;
  readonly last_seen: number;
  readonly sample_shard: number | null;
  readonly sample_room_id: number;
  readonly sample_sequence: number;
}

export class PostgresFailureStore implements FailureStore {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async merge(counted: readonly FailureGroup[]): Promise<void> {
    if (counted.length === 0) return;
    await this.#pool.run(STATEMENTS.mergeFailures, [
      bytes(counted.map(({ fingerprint }) => Buffer.from(fingerprint, 'hex'))),
      texts(counted.map(({ channel }) => channel?.tenant ?? null)),
      texts(counted.map(({ channel }) => channel?.channel ?? null)),
      texts(counted.map(({ code }) => code)),
      texts(counted.map(({ kind }) => kind)),
      bigints(counted.map(({ count }) => count)),
      bigints(counted.map(({ deadLetters }) => deadLetters)),
      bigints(counted.map(({ firstSeen }) => firstSeen)),
      bigints(counted.map(({ lastSeen }) => lastSeen)),
      integers(counted.map(({ sample }) => sample?.address.shard ?? null)),
      bigints(counted.map(({ sample }) => sample?.address.id ?? null)),
      bigints(counted.map(({ sample }) => sample?.sequence ?? null)),
    ]);
  }

  async list({ channel, tenants }: ChannelSelection, since: number, limit: number): Promise<FailureGroup[]> {
    const among = channel !== null || tenants === null ? null : texts(tenants);
    const values = [limit, channel?.tenant ?? null, channel?.channel ?? null, since, among];
    const { rows } = await this.#pool.run(STATEMENTS.listFailures, values);
    return (rows as FailureRecord[]).map((record) => {
      const { tenant, channel: name, sample_shard: shard, sample_room_id: id, sample_sequence: sequence } = record;
      return {
        fingerprint: record.fingerprint.toString('hex'),
        channel: tenant === null || name === null ? null : { tenant, channel: name },
        kind: record.kind,
        code: record.code,
        count: record.count,
        deadLetters: record.dead_letters,
        firstSeen: record.first_seen,
        lastSeen: record.last_seen,
        sample: shard === null ? null : { address: { shard, id }, sequence },
      };
    });
  }
}

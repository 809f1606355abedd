import type { HistoryEntry, HistoryStore, LateFact, WaitingMessage } from '../../engine/ports.ts';
import type { LateVerdict } from '../../room/ack.ts';
import type { AckLevel, Attempt, RoomAddress } from '../../room/room.ts';
import { bigints, integers, texts } from './arrays.ts';
import type { Pool } from './pool.ts';
import { historyEntry, type SettledRecord, type WaitingRecord, waitingMessage } from './rows.ts';
import { STATEMENTS } from './statements.ts';

type Named = LateFact & { readonly fact: Extract<LateFact['fact'], { kind: 'accepted_as' }> };
type Answered = LateFact & { readonly fact: Extract<LateFact['fact'], { kind: 'answered_late' }> };

interface AttemptsRecord {
  readonly shard: number;
  readonly room_id: number;
  readonly sequence: number;
  readonly settled_at: number;
  readonly revision: number;
  readonly platform_id: string | null;
  readonly attempts: readonly Attempt[];
}

export class PostgresHistoryStore implements HistoryStore {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async readSettled(address: RoomAddress, sequence: number): Promise<HistoryEntry | null> {
    const result = await this.#pool.run(STATEMENTS.readSettled, [address.shard, address.id, sequence]);
    const [record] = result.rows as SettledRecord[];
    return record === undefined ? null : historyEntry(record);
  }

  async readWaiting(address: RoomAddress, sequence: number): Promise<WaitingMessage | null> {
    const result = await this.#pool.run(STATEMENTS.readWaiting, [address.shard, address.id, sequence]);
    const [record] = result.rows as WaitingRecord[];
    return record === undefined ? null : waitingMessage(record);
  }

  async updateSettled(
    entry: HistoryEntry,
    verdict: Exclude<LateVerdict, { kind: 'ignored' }>,
    now: number,
  ): Promise<boolean> {
    const { outcome, level, levelAt, lateNackCode } = verdict.next;
    const result = await this.#pool.run(STATEMENTS.updateSettled, [
      entry.address.shard,
      entry.address.id,
      entry.sequence,
      entry.settledAt,
      entry.revision,
      outcome,
      level,
      levelAt,
      lateNackCode,
      now,
      verdict.deadLetter,
      entry.key.tenant,
      entry.key.channel,
    ]);
    return (result.rows[0] as { changed: number }).changed === 1;
  }

  async raiseLevels(
    address: RoomAddress,
    upTo: number,
    level: AckLevel,
    at: number,
    watermark: number | null,
  ): Promise<number> {
    const values = [address.shard, address.id, upTo, level, at, watermark];
    return (await this.#pool.run(STATEMENTS.raiseLevels, values)).rowCount ?? 0;
  }

  async recordLate(facts: readonly LateFact[]): Promise<void> {
    const named = facts.filter((late): late is Named => late.fact.kind === 'accepted_as');
    const answered = facts.filter((late): late is Answered => late.fact.kind === 'answered_late');
    if (named.length > 0) await this.#nameMessages(named);
    if (answered.length > 0) await this.#endAttempts(answered);
  }

  async #nameMessages(named: readonly Named[]): Promise<void> {
    await this.#pool.run(STATEMENTS.nameMessages, [
      ...messagesOf(named),
      texts(named.map(({ fact }) => fact.platformId)),
    ]);
  }

  /** Reads what the history holds, ends the attempts there, and stores that if nobody else was faster. */
  async #endAttempts(answered: readonly Answered[]): Promise<void> {
    for (let left = answered; left.length > 0; ) {
      const result = await this.#pool.run(STATEMENTS.readAttempts, messagesOf(left));
      // A message that retention has removed is not among them.
      const records = new Map(
        (result.rows as AttemptsRecord[]).map((record) => [nameOf(record.room_id, record.sequence), record]),
      );
      const again: Answered[] = [];
      for (const [name, record] of records) {
        const late = left.filter(({ address, fact }) => nameOf(address.id, fact.sequence) === name);
        if (!(await this.#storeAttempts(late.reduce(withAnswer, record)))) again.push(...late);
      }
      left = again;
    }
  }

  async #storeAttempts(record: AttemptsRecord): Promise<boolean> {
    const { shard, room_id, sequence, settled_at, revision, attempts, platform_id } = record;
    const values = [shard, room_id, sequence, settled_at, revision, JSON.stringify(attempts), platform_id];
    return (await this.#pool.run(STATEMENTS.updateAttempts, values)).rowCount === 1;
  }

  async listRoom(
    address: RoomAddress,
    before: number | null,
    limit: number,
  ): Promise<(HistoryEntry | WaitingMessage)[]> {
    const values = [address.shard, address.id, before ?? Number.MAX_SAFE_INTEGER, limit];
    const result = await this.#pool.run(STATEMENTS.listRoom, values);
    return (result.rows as (SettledRecord | WaitingRecord)[]).map((record) =>
      record.outcome ? historyEntry(record) : waitingMessage(record as WaitingRecord),
    );
  }
}

function withAnswer(record: AttemptsRecord, { fact }: Answered): AttemptsRecord {
  const attempts = record.attempts.map(
    (attempt): Attempt =>
      attempt.number === fact.attempt && attempt.result === null
        ? { ...attempt, result: fact.result, code: fact.code, endedAt: fact.at }
        : attempt,
  );
  return { ...record, attempts, platform_id: record.platform_id ?? fact.platformId };
}

function messagesOf(late: readonly LateFact[]): unknown[] {
  return [
    integers(late.map(({ address }) => address.shard)),
    bigints(late.map(({ address }) => address.id)),
    bigints(late.map(({ fact }) => fact.sequence)),
  ];
}

function nameOf(roomId: number, sequence: number): string {
  return `${roomId}/${sequence}`;
}

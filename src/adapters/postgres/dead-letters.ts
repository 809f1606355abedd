import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { fingerprintOf, refusedPayload } from '../../engine/fingerprint.ts';
import type { DeadLetter, DeadLetterStore } from '../../engine/ports.ts';
import { bigints, bytes, texts } from './arrays.ts';
import type { Pool } from './pool.ts';
import { STATEMENTS } from './statements.ts';

type IntakeLetter = Parameters<DeadLetterStore['putIntake']>[0][number];

interface DeadLetterRecord {
  readonly id: number;
  readonly at: number;
  readonly kind: DeadLetter['kind'];
  readonly reason: string;
  readonly detail: string | null;
  readonly tenant: string | null;
  readonly channel: string | null;
  readonly shard: number | null;
  readonly room_id: number | null;
  readonly sequence: number | null;
  readonly fingerprint: Buffer | null;
}

export class PostgresDeadLetterStore implements DeadLetterStore {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async putIntake(letters: readonly IntakeLetter[]): Promise<void> {
    if (letters.length === 0) return;
    await this.#pool.run(STATEMENTS.putIntakeLetters, [
      bigints(letters.map((letter) => letter.at)),
      texts(letters.map((letter) => letter.reason)),
      texts(letters.map((letter) => withoutNul(letter.detail))),
      bytes(letters.map((letter) => letter.payload)),
      bytes(letters.map((letter) => createHash('sha256').update(letter.dedupeKey).digest())),
      bytes(letters.map(({ reason }) => Buffer.from(fingerprintOf(null, refusedPayload(reason)), 'hex'))),
      JSON.stringify(letters.map((letter) => letter.attributes)),
    ]);
  }

  async list(beforeId: number | null, limit: number): Promise<DeadLetter[]> {
    const result = await this.#pool.run(STATEMENTS.listDeadLetters, [beforeId ?? Number.MAX_SAFE_INTEGER, limit]);
    return (result.rows as DeadLetterRecord[]).map((record) => ({
      id: record.id,
      at: record.at,
      kind: record.kind,
      reason: record.reason,
      tenant: record.tenant,
      channel: record.channel,
      address: record.shard === null ? null : { shard: record.shard, id: record.room_id as number },
      sequence: record.sequence,
      detail: record.detail,
      fingerprint: record.fingerprint?.toString('hex') ?? null,
    }));
  }
}

/** The one character that no text column can hold. What was refused may contain it; that must not refuse it twice. */
function withoutNul(text: string): string {
  return text.replaceAll('\u0000', '\ufffd');
}

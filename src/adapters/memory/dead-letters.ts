import { fingerprintOf, refusedPayload } from '../../engine/fingerprint.ts';
import type { DeadLetter, DeadLetterStore, HistoryEntry } from '../../engine/ports.ts';
import { type MemoryDatabase, nextMicrotask } from './database.ts';

type IntakeLetter = Parameters<DeadLetterStore['putIntake']>[0][number];

/** A settled message becomes a dead letter, too. */
export function putDeadLetter(
  database: MemoryDatabase,
  entry: HistoryEntry,
  { reason, detail, fingerprint, at }: Pick<DeadLetter, 'reason' | 'detail' | 'fingerprint' | 'at'>,
): void {
  const { tenant, channel } = entry.key;
  const { address, sequence } = entry;
  put(database, { at, kind: 'message', reason, tenant, channel, address, sequence, detail, fingerprint });
}

/** @returns its id */
function put(database: MemoryDatabase, letter: Omit<DeadLetter, 'id'>): number {
  return database.deadLetters.push(Object.freeze({ id: database.deadLetters.length + 1, ...letter }));
}

export class MemoryDeadLetterStore implements DeadLetterStore {
  readonly #database: MemoryDatabase;
  /** Of refused payloads. */
  readonly #keys = new Set<string>();

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  async putIntake(letters: readonly IntakeLetter[]): Promise<void> {
    await nextMicrotask();
    for (const letter of letters) {
      if (this.#keys.has(letter.dedupeKey)) continue;
      this.#keys.add(letter.dedupeKey);
      const { at, reason, detail, payload, attributes } = letter;
      const id = put(this.#database, {
        at,
        kind: 'intake',
        reason,
        tenant: null,
        channel: null,
        address: null,
        sequence: null,
        detail,
        fingerprint: fingerprintOf(null, refusedPayload(reason)),
      });
      this.#database.refusedPayloads.set(id, { payload: payload.slice(), attributes: { ...attributes } });
    }
  }

  async list(beforeId: number | null, limit: number): Promise<DeadLetter[]> {
    await nextMicrotask();
    const older = this.#database.deadLetters.filter((letter) => beforeId === null || letter.id < beforeId);
    return older.reverse().slice(0, limit);
  }
}

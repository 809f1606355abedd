import {
  ACK_REACH,
  type HistoryEntry,
  type HistoryStore,
  type LateFact,
  type LowerLevels,
  type SettledChange,
  type SettledState,
  type WaitingMessage,
} from '../../engine/ports.ts';
import { reaches } from '../../room/ack.ts';
import type { RoomAddress } from '../../room/room.ts';
import {
  addressOf,
  copyEntry,
  type MemoryDatabase,
  type MessageRow,
  nextMicrotask,
  orderOf,
  type RoomRecord,
  recordAt,
} from './database.ts';
import { putDeadLetter } from './dead-letters.ts';
import { writeFact } from './facts.ts';

export class MemoryHistoryStore implements HistoryStore {
  readonly #database: MemoryDatabase;

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  async readSettled(address: RoomAddress, sequence: number): Promise<HistoryEntry | null> {
    await nextMicrotask();
    const entry = recordAt(this.#database, address)?.history.get(sequence);
    return entry === undefined ? null : copyEntry(entry);
  }

  async readWaiting(address: RoomAddress, sequence: number): Promise<WaitingMessage | null> {
    await nextMicrotask();
    const record = recordAt(this.#database, address);
    const message = record?.messages.get(sequence);
    return record === null || message === undefined ? null : waitingMessage(record, message);
  }

  async readSettledStates(
    wanted: readonly (RoomAddress & { readonly sequence: number })[],
  ): Promise<(SettledState | null)[]> {
    await nextMicrotask();
    return wanted.map((one) => recordAt(this.#database, one)?.history.get(one.sequence) ?? null);
  }

  async updateSettled(changes: readonly SettledChange[]): Promise<boolean[]> {
    await nextMicrotask();
    return changes.map((change) => this.#update(change));
  }

  #update({ state, verdict, fingerprint, at }: SettledChange): boolean {
    const record = recordAt(this.#database, state.address);
    const stored = record?.history.get(state.sequence);
    if (record === null || stored === undefined || stored.revision !== state.revision) return false;
    const { outcome, level, levelAt, lateNackCode } = verdict.next;
    const revision = stored.revision + 1;
    record.history.set(state.sequence, Object.freeze({ ...stored, outcome, level, levelAt, lateNackCode, revision }));
    const { deadLetter: reason } = verdict;
    if (reason !== null) putDeadLetter(this.#database, stored, { reason, detail: lateNackCode, fingerprint, at });
    return true;
  }

  async readLowerLevels(wanted: readonly LowerLevels[], limit: number): Promise<SettledState[][]> {
    await nextMicrotask();
    return wanted.map((one) => {
      const history = recordAt(this.#database, one)?.history ?? new Map<number, HistoryEntry>();
      const told = [...history.values()].filter((entry) => tellsOf(one, entry));
      const last = told.sort((a, b) => b.sequence - a.sequence).slice(0, limit);
      return last.filter((entry) => !reaches(entry.level, one.level));
    });
  }

  async recordLate(facts: readonly LateFact[]): Promise<void> {
    await nextMicrotask();
    for (const { address, fact } of facts) {
      const record = recordAt(this.#database, address);
      if (record !== null) writeFact(this.#database, record, fact);
    }
  }

  async listRoom(
    address: RoomAddress,
    before: number | null,
    limit: number,
  ): Promise<(HistoryEntry | WaitingMessage)[]> {
    await nextMicrotask();
    const record = recordAt(this.#database, address);
    if (record === null) return [];
    const listed: (HistoryEntry | WaitingMessage)[] = [];
    const newest = Math.min(record.row.tail, (before ?? Number.POSITIVE_INFINITY) - 1);
    for (let sequence = newest; sequence > 0 && listed.length < limit; sequence--) {
      const message = record.messages.get(sequence);
      const entry = record.history.get(sequence);
      if (message !== undefined) listed.push(waitingMessage(record, message));
      else if (entry !== undefined) listed.push(copyEntry(entry));
    }
    return listed;
  }
}

function waitingMessage(record: RoomRecord, message: MessageRow): WaitingMessage {
  return Object.freeze({
    ...message.envelope,
    address: addressOf(record.row),
    key: record.row.key,
    body: message.body.slice(),
    ...orderOf(message),
  });
}

function tellsOf({ upTo, watermark }: LowerLevels, entry: HistoryEntry): boolean {
  if (entry.sequence > upTo || entry.sequence <= upTo - ACK_REACH) return false;
  // What was never sent (cancelled, expired, skipped before its first attempt) has no level to raise.
  if (entry.firstClaimVersion === 0) return false;
  return watermark === null || (entry.platformAt !== null && entry.platformAt <= watermark);
}

/** Dead letters as operators handle them, and failures by what they have in common. */
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
import type { ChannelSelection, DeadLetter } from '../../engine/ports.ts';
import { type ClosedLetter, type MemoryDatabase, nextMicrotask, recordAt, selects } from './database.ts';
import type { MemoryAuditStore } from './operators.ts';

const OPEN: ClosedLetter = { state: 'open', closedAt: null, closedBy: null, replayedAs: null };

export class MemoryLetterStore implements LetterStore {
  readonly #database: MemoryDatabase;
  readonly #audit: MemoryAuditStore;

  constructor(database: MemoryDatabase, audit: MemoryAuditStore) {
    this.#database = database;
    this.#audit = audit;
  }

  async page(
    filter: LetterFilter,
    order: 'newest' | 'oldest',
    after: LetterPlace | null,
    limit: number,
  ): Promise<LetterPage> {
    await nextMicrotask();
    const sign = order === 'oldest' ? 1 : -1;
    const letters = this.#database.deadLetters
      .filter((letter) => after === null || sign * byPlace(letter, after) > 0)
      .map((letter) => this.#stored(letter))
      .filter((letter) => matches(letter, filter))
      .sort((one, other) => sign * byPlace(one, other));
    const page = letters.slice(0, limit);
    const last = page.at(-1);
    return { letters: page, next: page.length === limit && last !== undefined ? { at: last.at, id: last.id } : null };
  }

  async read(ids: readonly number[]): Promise<(StoredLetter & { readonly refused: LetterPayload | null })[]> {
    await nextMicrotask();
    return [...new Set(ids)].flatMap((id) => {
      const letter = this.#database.deadLetters[id - 1];
      if (letter === undefined) return [];
      const refused = this.#database.refusedPayloads.get(id);
      const copy = refused === undefined ? null : { ...refused, payload: refused.payload.slice() };
      return [{ ...this.#stored(letter), refused: copy }];
    });
  }

  async markReplayed(links: Parameters<LetterStore['markReplayed']>[0], at: number, by: string): Promise<void> {
    await nextMicrotask();
    for (const { id, address, sequence } of links) {
      if (this.#database.closedLetters.get(id)?.state === 'replayed') continue;
      const replayedAs = { address: { shard: address.shard, id: address.id }, sequence };
      this.#database.closedLetters.set(id, { state: 'replayed', closedAt: at, closedBy: by, replayedAs });
    }
  }

  async discard(ids: readonly number[], at: number, note: AuditNote): Promise<number[]> {
    await nextMicrotask();
    const { deadLetters, closedLetters } = this.#database;
    const open = [...new Set(ids)].filter((id) => deadLetters[id - 1] !== undefined && !closedLetters.has(id));
    for (const id of open) {
      closedLetters.set(id, { state: 'discarded', closedAt: at, closedBy: note.actor, replayedAs: null });
    }
    if (open.length > 0) this.#audit.add(note);
    return open;
  }

  #stored(letter: DeadLetter): StoredLetter {
    const { address } = letter;
    const room = address === null ? null : (recordAt(this.#database, address)?.row.key.room ?? null);
    return { ...letter, room, ...(this.#database.closedLetters.get(letter.id) ?? OPEN) };
  }
}

function byPlace(one: LetterPlace, other: LetterPlace): number {
  return one.at - other.at || one.id - other.id;
}

function matches(letter: StoredLetter, filter: LetterFilter): boolean {
  const { room, kind, reason, code, fingerprint, state, from, until } = filter;
  if (room !== null) {
    if (letter.address?.shard !== room.shard || letter.address.id !== room.id) return false;
  } else if (!selects(filter, letter)) return false;
  return (
    (kind === null || letter.kind === kind) &&
    (reason === null || letter.reason === reason) &&
    (code === null || (letter.kind === 'message' && letter.detail === code)) &&
    (fingerprint === null || letter.fingerprint === fingerprint) &&
    (state === null || letter.state === state) &&
    (from === null || letter.at >= from) &&
    (until === null || letter.at < until)
  );
}

export class MemoryFailureStore implements FailureStore {
  readonly #groups = new Map<string, FailureGroup>();

  async merge(counted: readonly FailureGroup[]): Promise<void> {
    await nextMicrotask();
    for (const group of counted) {
      const known = this.#groups.get(group.fingerprint);
      const merged: FailureGroup = {
        ...group,
        count: group.count + (known?.count ?? 0),
        deadLetters: group.deadLetters + (known?.deadLetters ?? 0),
        firstSeen: Math.min(group.firstSeen, known?.firstSeen ?? group.firstSeen),
        lastSeen: Math.max(group.lastSeen, known?.lastSeen ?? group.lastSeen),
        sample: group.sample ?? known?.sample ?? null,
      };
      this.#groups.set(group.fingerprint, structuredClone(merged));
    }
  }

  async list(selected: ChannelSelection, since: number, limit: number): Promise<FailureGroup[]> {
    await nextMicrotask();
    return [...this.#groups.values()]
      .filter((group) => {
        const { tenant, channel } = group.channel ?? { tenant: null, channel: null };
        return group.lastSeen >= since && selects(selected, { tenant, channel });
      })
      .sort((one, other) => other.lastSeen - one.lastSeen || (one.fingerprint < other.fingerprint ? -1 : 1))
      .slice(0, limit)
      .map((group) => structuredClone(group));
  }
}

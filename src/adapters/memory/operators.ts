import type {
  AuditEntry,
  AuditNote,
  AuditPage,
  AuditStore,
  ChannelSettingsStore,
  StoredChannelSettings,
} from '../../engine/operator-ports.ts';
import type { ChannelKey } from '../../engine/ports.ts';
import { compositeKey, nextMicrotask } from './database.ts';

export interface MemoryOperatorStoresOptions {
  readonly now: () => number;
  /** Rooms of a channel that have an unsettled message; none by default. */
  readonly waitingRooms?: (channel: ChannelKey) => number;
}

/** Those that have nothing to do with the fleet; see `openMemoryStores` for all. */
export function createMemoryOperatorStores(options: MemoryOperatorStoresOptions): {
  readonly settings: ChannelSettingsStore;
  readonly audit: MemoryAuditStore;
} {
  const audit = new MemoryAuditStore(options.now);
  return { settings: new MemoryChannelSettingsStore(options, audit), audit };
}

export class MemoryAuditStore implements AuditStore {
  readonly #now: () => number;
  readonly #entries: AuditEntry[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  async record(note: AuditNote): Promise<void> {
    await nextMicrotask();
    this.add(note);
  }

  /** In the same moment as what it is about. */
  add(note: AuditNote): void {
    this.#entries.unshift({ ...copyOf(note), id: this.#entries.length + 1, at: this.#now() });
  }

  async list({ before, limit, subject }: AuditPage): Promise<AuditEntry[]> {
    await nextMicrotask();
    return this.#entries
      .filter((entry) => (before === null || entry.id < before) && (subject === null || entry.subject === subject))
      .slice(0, limit)
      .map(copyOf);
  }
}

class MemoryChannelSettingsStore implements ChannelSettingsStore {
  readonly #options: MemoryOperatorStoresOptions;
  readonly #audit: MemoryAuditStore;
  readonly #channels = new Map<string, StoredChannelSettings>();
  #revision = 0;

  constructor(options: MemoryOperatorStoresOptions, audit: MemoryAuditStore) {
    this.#options = options;
    this.#audit = audit;
  }

  async revision(): Promise<number> {
    await nextMicrotask();
    return this.#revision;
  }

  async load(): Promise<{ revision: number; channels: StoredChannelSettings[] }> {
    await nextMicrotask();
    return { revision: this.#revision, channels: [...this.#channels.values()].map(copyOf) };
  }

  async put(
    key: ChannelKey,
    settings: StoredChannelSettings['settings'],
    expected: number | null,
    note: AuditNote,
  ): Promise<{ revision: number; at: number } | null> {
    await nextMicrotask();
    const name = compositeKey(key.tenant, key.channel);
    if ((this.#channels.get(name)?.revision ?? null) !== expected) return null;
    const revision = ++this.#revision;
    const at = this.#options.now();
    const { tenant, channel } = key;
    const row = { key: { tenant, channel }, settings, revision, updatedAt: at, updatedBy: note.actor };
    this.#channels.set(name, copyOf(row));
    this.#audit.add(note);
    return { revision, at };
  }

  async remove(key: ChannelKey, expected: number, note: AuditNote): Promise<number | null> {
    await nextMicrotask();
    const name = compositeKey(key.tenant, key.channel);
    if (this.#channels.get(name)?.revision !== expected) return null;
    this.#channels.delete(name);
    this.#audit.add(note);
    return ++this.#revision;
  }

  async waitingRooms(key: ChannelKey): Promise<number> {
    await nextMicrotask();
    return this.#options.waitingRooms?.(key) ?? 0;
  }
}

/** What is stored is JSON: no caller can change it by changing what it passed in or was given. */
function copyOf<T>(value: T): T {
  return structuredClone(value);
}

/** The buffer in memory: its cursors beside the other tables, and streams as a server of their own would have them. */
import {
  BEGINNING,
  type BufferCursors,
  type BufferEntry,
  type BufferRead,
  type BufferStreams,
  type Buried,
  type ChannelDepth,
  type CursorMove,
  CursorMovedError,
  compareEntries,
  type EntryId,
  type FoundEntry,
  type NewEntry,
  OtherLayoutError,
  type PartitionBound,
  type PartitionDepth,
  type PartitionState,
  type PartitionsView,
  type ReadWish,
  type StreamsSafety,
} from '../../engine/buffer-ports.ts';
import type { ChannelKey } from '../../engine/ports.ts';
import { type BufferPartition, compositeKey, type MemoryDatabase, nextMicrotask } from './database.ts';

/** @throws CursorMovedError */
export function moveCursor(database: MemoryDatabase, { partition, term, from, to }: CursorMove): void {
  const row = database.bufferPartitions.get(partition);
  if (row?.term !== term || row.cursor !== from) throw new CursorMovedError('the cursor has moved');
  row.cursor = to;
}

export class MemoryBufferCursors implements BufferCursors {
  readonly #database: MemoryDatabase;
  readonly #consumers = new Map<string, number>();

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  async layOut(partitions: number): Promise<number> {
    await nextMicrotask();
    if (this.#rows.size === 0) this.#add(partitions);
    return this.#rows.size;
  }

  async layOutAnew(partitions: number): Promise<boolean> {
    await nextMicrotask();
    if (this.#living().length > 0) return false;
    for (const partition of [...this.#rows.keys()]) if (partition >= partitions) this.#rows.delete(partition);
    this.#add(partitions);
    return true;
  }

  async look(consumer: string, leaseMs: number): Promise<PartitionsView> {
    await nextMicrotask();
    const now = this.#database.now();
    this.#consumers.set(consumer, now + leaseMs);
    for (const row of this.#rows.values()) if (row.consumer === consumer) row.leaseEndsAt = now + leaseMs;
    return {
      consumers: this.#living().length,
      held: [...this.#rows].filter(([, row]) => row.consumer === consumer).map(stateOf),
      free: [...this.#rows].filter(([, row]) => this.#isFree(row)).map(([partition]) => partition),
    };
  }

  async take(consumer: string, partitions: readonly number[], leaseMs: number): Promise<readonly PartitionState[]> {
    await nextMicrotask();
    return [...this.#rows]
      .filter(([partition, row]) => partitions.includes(partition) && this.#isFree(row))
      .map(([partition, row]) => {
        row.consumer = consumer;
        row.term++;
        row.leaseEndsAt = this.#database.now() + leaseMs;
        return stateOf([partition, row]);
      });
  }

  async release(consumer: string, partitions: readonly number[]): Promise<void> {
    await nextMicrotask();
    for (const [partition, row] of this.#rows) {
      if (partitions.includes(partition) && row.consumer === consumer) row.consumer = null;
    }
  }

  async leave(consumer: string): Promise<void> {
    await this.release(consumer, [...this.#rows.keys()]);
    this.#consumers.delete(consumer);
  }

  async read(partition: number): Promise<PartitionState | null> {
    await nextMicrotask();
    const row = this.#rows.get(partition);
    return row === undefined ? null : stateOf([partition, row]);
  }

  async move(move: CursorMove): Promise<void> {
    await nextMicrotask();
    moveCursor(this.#database, move);
  }

  async restart(move: CursorMove, history: string): Promise<void> {
    await nextMicrotask();
    moveCursor(this.#database, move);
    (this.#rows.get(move.partition) as BufferPartition).history = history;
  }

  get #rows(): Map<number, BufferPartition> {
    return this.#database.bufferPartitions;
  }

  #add(partitions: number): void {
    for (let partition = 0; partition < partitions; partition++) {
      if (this.#rows.has(partition)) continue;
      this.#rows.set(partition, { term: 0, cursor: BEGINNING, history: null, consumer: null, leaseEndsAt: 0 });
    }
  }

  #isFree({ consumer, leaseEndsAt }: BufferPartition): boolean {
    return consumer === null || leaseEndsAt < this.#database.now();
  }

  #living(): string[] {
    return [...this.#consumers].filter(([, endsAt]) => endsAt >= this.#database.now()).map(([name]) => name);
  }
}

function stateOf([partition, { term, cursor, history }]: readonly [number, BufferPartition]): PartitionState {
  return Object.freeze({ partition, term, cursor, history });
}

interface Stream {
  readonly history: string;
  entries: BufferEntry[];
  last: EntryId;
  work: { after: EntryId; tries: number; open: number; reader: string | null } | null;
  /** The latest in which it was read. */
  term: number;
  buried: EntryId | null;
  /** How many partitions there are; null where nobody has said. */
  layout: number | null;
  dead: { readonly letter: Buried; readonly entry: BufferEntry }[];
}

/** Streams whose ids come from the clock that they are given. */
export class MemoryBufferStreams implements BufferStreams {
  readonly #now: () => number;
  readonly #streams = new Map<number, Stream>();
  /** What entries count for. */
  readonly #channels = new WeakMap<BufferEntry, ChannelKey>();
  #histories = 0;
  /** Every call rejects meanwhile. */
  isAway = false;
  unsafe: readonly string[] = [];
  connection: number | null = 1;
  #connections = 1;
  readonly #onConnected = new Set<() => void>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Forgets everything, as a server without a file does when it ends. */
  flush(): void {
    this.#streams.clear();
  }

  /** Forgets what came after an entry, as a server does whose file lacks its end. */
  goBack(partition: number, last: EntryId): void {
    const stream = this.#stream(partition);
    stream.entries = stream.entries.filter(({ id }) => compareEntries(id, last) <= 0);
    stream.last = last;
  }

  /** As others write, without bounds and whatever it is. */
  write(partition: number, fields: Partial<NewEntry>): EntryId {
    return this.#add(this.#stream(partition), fields);
  }

  async append(
    partition: number,
    entries: readonly NewEntry[],
    bound: PartitionBound,
    partitions?: number,
  ): Promise<readonly EntryId[]> {
    await this.#served();
    const stream = this.#stream(partition);
    if (partitions !== undefined && stream.layout !== null && stream.layout !== partitions) {
      throw new OtherLayoutError('there is another number of partitions');
    }
    const taken = entries.slice(0, Math.max(0, bound.entries - stream.entries.length));
    return taken.map((entry) => this.#add(stream, entry));
  }

  async find(partition: number, id: EntryId, maxMessageBytes: number): Promise<FoundEntry | null> {
    await this.#served();
    const { entries, dead } = this.#stream(partition);
    const buried = dead.find(({ letter }) => letter.entry === id);
    const entry = buried?.entry ?? entries.find((one) => one.id === id);
    if (entry === undefined) return null;
    const message = entry.message !== null && entry.message.length > maxMessageBytes ? null : entry.message;
    return { entry: { ...entry, message }, buriedFor: buried?.letter.reason ?? null };
  }

  async layOut(streams: number, partitions: number, change: boolean): Promise<boolean> {
    await this.#served();
    for (let partition = 0; partition < streams; partition++) {
      const stream = this.#stream(partition);
      if (stream.layout === partitions) continue;
      if (stream.layout !== null && !change) return false;
      if (change && stream.entries.length + stream.dead.length > 0) return false;
      stream.layout = partitions;
    }
    return true;
  }

  async read(partition: number, wish: ReadWish): Promise<BufferRead> {
    await this.#served();
    const stream = this.#stream(partition);
    if (wish.history !== null && wish.history !== stream.history) {
      return { kind: 'another_history', history: stream.history };
    }
    const { after, upTo, reader } = wish;
    const { history } = stream;
    if (wish.history !== null) {
      if (reader !== null && !reader.isSure && reader.term < stream.term) return { kind: 'overtaken', history };
      if (compareEntries(stream.last, upTo ?? after) < 0) return { kind: 'went_back', history };
    }
    if (reader !== null) stream.term = reader.term;
    stream.entries = stream.entries.filter(({ id }) => compareEntries(id, after) > 0);
    const { work } = stream;
    const isItsOwn = reader !== null && work?.reader === reader.consumer;
    const tries = work?.after === after ? work.tries + (isItsOwn ? 0 : work.open) : 0;
    const most = Math.max(1, Math.floor(wish.maxEntries / 8 ** tries));
    const entries = stream.entries.filter(({ id }) => upTo === null || compareEntries(id, upTo) <= 0).slice(0, most);
    if (entries.length > 0) stream.work = { after, tries, open: 1, reader: reader?.consumer ?? null };
    return {
      kind: 'read',
      history,
      entries,
      length: stream.entries.length,
      tries,
      buried: stream.buried,
    };
  }

  async prepared(partition: number, after: EntryId): Promise<void> {
    await this.#served();
    const { work } = this.#stream(partition);
    if (work?.after === after) work.open = 0;
  }

  async failed(partition: number, after: EntryId): Promise<void> {
    await this.#served();
    const { work } = this.#stream(partition);
    if (work?.after === after) Object.assign(work, { open: 0, tries: work.tries + 1 });
  }

  async bury(partition: number, id: EntryId, reason: string): Promise<void> {
    await this.#served();
    const stream = this.#stream(partition);
    const { entries, dead } = stream;
    const entry = entries.find((one) => one.id === id);
    if (entry === undefined || dead.some(({ letter }) => letter.entry === id)) return;
    const letter = { id: `${this.#now()}-${dead.length + 1}`, entry: id, reason, bytes: entry.bytes ?? 0 };
    dead.push({ letter, entry });
    stream.buried = id;
  }

  async depths(partitions: number): Promise<readonly PartitionDepth[]> {
    await this.#served();
    return Array.from({ length: partitions }, (_, partition) => {
      const { entries, dead } = this.#stream(partition);
      const oldest = entries[0]?.id ?? null;
      return { partition, length: entries.length, oldest, buried: dead.length, channels: this.#countsOf(entries) };
    });
  }

  async listBuried(partition: number, after: EntryId, limit: number): Promise<readonly Buried[]> {
    await this.#served();
    const letters = this.#stream(partition).dead.map(({ letter }) => letter);
    return letters.filter(({ id }) => compareEntries(id, after) > 0).slice(0, limit);
  }

  async replayBuried(partition: number, ids: readonly EntryId[]): Promise<number> {
    await this.#served();
    const stream = this.#stream(partition);
    const taken = this.#unbury(stream, ids);
    for (const entry of taken) {
      const { message, messageId, requestId } = entry;
      const channel = this.#channels.get(entry);
      this.#add(stream, {
        ...(channel === undefined ? {} : { channel }),
        ...(message === null ? {} : { message }),
        ...(messageId === null ? {} : { messageId }),
        requestId,
      });
    }
    return taken.length;
  }

  async discardBuried(partition: number, ids: readonly EntryId[]): Promise<number> {
    await this.#served();
    return this.#unbury(this.#stream(partition), ids).length;
  }

  async safety(): Promise<StreamsSafety> {
    await this.#served();
    return { unsafe: this.unsafe, unknown: [], appendfsync: 'always' };
  }

  onConnected(listener: () => void): () => void {
    this.#onConnected.add(listener);
    return () => this.#onConnected.delete(listener);
  }

  /** Another connection begins; the one before it has ended. */
  reconnect(): void {
    this.connection = ++this.#connections;
    for (const listener of this.#onConnected) listener();
  }

  #countsOf(entries: readonly BufferEntry[]): ChannelDepth[] {
    const counts = new Map<string, ChannelDepth>();
    for (const entry of entries) {
      const key = this.#channels.get(entry);
      if (key === undefined) continue;
      const name = compositeKey(key.tenant, key.channel);
      counts.set(name, { ...key, messages: (counts.get(name)?.messages ?? 0) + 1 });
    }
    return [...counts.values()];
  }

  #unbury(stream: Stream, ids: readonly EntryId[]): BufferEntry[] {
    const taken = stream.dead.filter(({ letter }) => ids.includes(letter.id)).map(({ entry }) => entry);
    stream.dead = stream.dead.filter(({ letter }) => !ids.includes(letter.id));
    return taken;
  }

  #add(stream: Stream, { message, messageId, requestId, channel }: Partial<NewEntry>): EntryId {
    const [ms, number] = stream.last.split('-').map(Number) as [number, number];
    const now = Math.floor(this.#now());
    stream.last = now > ms ? `${now}-0` : `${ms}-${number + 1}`;
    const entry: BufferEntry = {
      id: stream.last,
      message: message?.slice() ?? null,
      bytes: message?.length ?? null,
      messageId: messageId ?? null,
      requestId: requestId ?? null,
    };
    if (channel !== undefined) this.#channels.set(entry, channel);
    stream.entries.push(entry);
    return stream.last;
  }

  #stream(partition: number): Stream {
    const known = this.#streams.get(partition);
    if (known !== undefined) return known;
    const history = `history ${++this.#histories}`;
    const stream: Stream = {
      history,
      entries: [],
      last: BEGINNING,
      work: null,
      term: 0,
      buried: null,
      layout: null,
      dead: [],
    };
    this.#streams.set(partition, stream);
    return stream;
  }

  async #served(): Promise<void> {
    await nextMicrotask();
    if (this.isAway) throw new Error('the streams are away');
  }
}

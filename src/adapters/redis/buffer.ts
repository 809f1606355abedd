/** The buffer's streams in Redis, one per partition. Every step that must not be parted is one script. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  type BufferEntry,
  type BufferRead,
  type BufferStreams,
  type Buried,
  type EntryId,
  type FoundEntry,
  type NewEntry,
  OtherLayoutError,
  type PartitionBound,
  type PartitionDepth,
  type ReadWish,
  type StreamsSafety,
} from '../../engine/buffer-ports.ts';
import type { ChannelKey } from '../../engine/ports.ts';
import { defineService, type Service } from '../../engine/service.ts';
import { RedisConnection, type RedisDependencies, type RedisOptions } from './connection.ts';
import { RedisError } from './trouble.ts';

function load(name: string): string {
  return readFileSync(new URL(`${name}.lua`, import.meta.url), 'utf8');
}

const APPEND = load('append_to_buffer');
const READ = load('read_buffer');
const NOTE = load('note_buffer_work');
const BURY = load('bury_entry');
const END_BURIED = load('end_buried');
const LIST_BURIED = load('list_buried');
const GLANCE = load('glance_at_buffer');
const FIND = load('find_in_buffer');
const LAY_OUT = load('lay_out_buffer_stream');

type Script = (key: string, args: readonly (string | number | Uint8Array)[]) => Promise<unknown>;
type Bytes = Buffer | null;
type ReadReply = readonly [
  history: Buffer,
  length: number,
  tries: number,
  buried: Buffer,
  entries: readonly EntryReply[],
];
type FoundReply = readonly [reason: Buffer, message: Bytes, size: number, messageId: Bytes, requestId: Bytes];
type GlanceReply = readonly [length: number, oldest: Buffer, buried: number, counts: readonly Buffer[]];
type EntryReply = readonly [id: Buffer, message: Bytes, size: number, messageId: Bytes, requestId: Bytes];

/** Policies under which Redis rather refuses than forget; streams have no time to live. */
const KEEPING_POLICIES: readonly string[] = [
  'noeviction',
  'volatile-lru',
  'volatile-lfu',
  'volatile-random',
  'volatile-ttl',
];

/** With anything but `always` it answers, now and then, before it has written to its file. */
const writesLate = (appendfsync: string | null): boolean => appendfsync !== null && appendfsync !== 'always';

/**
 * The stream of partition 3 is `<prefix>buffer:{3}`; its other keys begin with that, and so are in one slot of a cluster.
 * @param newHistory names what a stream holds from its first entry to its loss; the same is never given twice
 */
export class RedisBufferStreams implements BufferStreams {
  readonly #redis: RedisConnection;
  readonly #newHistory: () => string;
  readonly #append: Script;
  readonly #read: Script;
  readonly #note: Script;
  readonly #bury: Script;
  readonly #endBuried: Script;
  readonly #listBuried: Script;
  readonly #glance: Script;
  readonly #find: Script;
  readonly #layOut: Script;

  constructor(redis: RedisConnection, newHistory: () => string = randomUUID) {
    this.#redis = redis;
    this.#newHistory = newHistory;
    this.#append = redis.binaryScript('roomlineAppendToBuffer', APPEND);
    this.#read = redis.binaryScript('roomlineReadBuffer', READ);
    this.#note = redis.binaryScript('roomlineNoteBufferWork', NOTE);
    this.#bury = redis.binaryScript('roomlineBuryEntry', BURY);
    this.#endBuried = redis.binaryScript('roomlineEndBuried', END_BURIED);
    this.#listBuried = redis.binaryScript('roomlineListBuried', LIST_BURIED);
    this.#layOut = redis.binaryScript('roomlineLayOutBufferStream', LAY_OUT);
    this.#glance = redis.binaryScript('roomlineGlanceAtBuffer', GLANCE);
    this.#find = redis.binaryScript('roomlineFindInBuffer', FIND);
  }

  async append(
    partition: number,
    entries: readonly NewEntry[],
    bound: PartitionBound,
    partitions?: number,
  ): Promise<readonly EntryId[]> {
    const args: (string | number | Uint8Array)[] = [this.#newHistory(), bound.entries, bound.bytes, partitions ?? ''];
    for (const { message, messageId, requestId, channel } of entries) {
      args.push(message, messageId, requestId ?? '', channel === undefined ? '' : nameOf(channel));
    }
    const taken = (await this.#append(keyOf(partition), args)) as number | readonly Buffer[];
    if (typeof taken === 'number') throw new OtherLayoutError('there is another number of partitions');
    return taken.map(String);
  }

  async find(partition: number, id: EntryId, maxMessageBytes: number): Promise<FoundEntry | null> {
    const reply = (await this.#find(keyOf(partition), [id, maxMessageBytes])) as readonly [] | FoundReply;
    if (reply.length === 0) return null;
    const [reason, message, size, messageId, requestId] = reply;
    return {
      entry: entryOf([Buffer.from(id), message, size, messageId, requestId]),
      buriedFor: reason.length === 0 ? null : String(reason),
    };
  }

  async read(partition: number, wish: ReadWish): Promise<BufferRead> {
    const { reader, history, after, upTo, maxEntries, maxBytes, maxMessageBytes } = wish;
    const reply = (await this.#read(keyOf(partition), [
      this.#newHistory(),
      history ?? '',
      after,
      following(after),
      upTo ?? '+',
      maxEntries,
      maxBytes,
      maxMessageBytes,
      reader?.consumer ?? '',
      reader?.term ?? 0,
      reader?.isSure ? 1 : 0,
    ])) as readonly [Buffer] | readonly [Buffer, Buffer] | ReadReply;
    if (reply.length === 1) return { kind: 'another_history', history: String(reply[0]) };
    if (reply.length === 2) {
      return { kind: String(reply[1]) as 'went_back' | 'overtaken', history: String(reply[0]) };
    }
    const [itsHistory, length, tries, buried, entries] = reply;
    return {
      kind: 'read',
      history: String(itsHistory),
      length,
      tries,
      buried: buried.length === 0 ? null : String(buried),
      entries: entries.map(entryOf),
    };
  }

  async prepared(partition: number, after: EntryId): Promise<void> {
    await this.#note(keyOf(partition), [after, 0]);
  }

  async failed(partition: number, after: EntryId): Promise<void> {
    await this.#note(keyOf(partition), [after, 1]);
  }

  async bury(partition: number, entry: EntryId, reason: string): Promise<void> {
    await this.#bury(keyOf(partition), [entry, reason]);
  }

  depths(partitions: number): Promise<readonly PartitionDepth[]> {
    const all = Array.from({ length: partitions }, async (_, partition): Promise<PartitionDepth> => {
      const [length, oldest, buried, counts] = (await this.#glance(keyOf(partition), [])) as GlanceReply;
      const channels = counts.flatMap((name, index) => {
        const key = index % 2 === 0 ? keyNamed(String(name)) : null;
        return key === null ? [] : { ...key, messages: Number(String(counts[index + 1])) };
      });
      return { partition, length, oldest: oldest.length === 0 ? null : String(oldest), buried, channels };
    });
    return Promise.all(all);
  }

  async layOut(streams: number, partitions: number, change: boolean): Promise<boolean> {
    for (let partition = 0; partition < streams; partition++) {
      const noted = await this.#layOut(keyOf(partition), [partitions, change ? 'change' : 'note']);
      if (noted !== 1) return false;
    }
    return true;
  }

  async listBuried(partition: number, after: EntryId, limit: number): Promise<readonly Buried[]> {
    const letters = (await this.#listBuried(keyOf(partition), [after, limit])) as [Buffer, Buffer, Buffer, number][];
    return letters.map(([id, entry, reason, bytes]) => ({
      id: String(id),
      entry: String(entry),
      reason: String(reason),
      bytes,
    }));
  }

  async replayBuried(partition: number, ids: readonly EntryId[]): Promise<number> {
    return (await this.#endBuried(keyOf(partition), ['replay', ...ids])) as number;
  }

  async discardBuried(partition: number, ids: readonly EntryId[]): Promise<number> {
    return (await this.#endBuried(keyOf(partition), ['discard', ...ids])) as number;
  }

  get connection(): number | null {
    return this.#redis.connection;
  }

  onConnected(listener: () => void): () => void {
    return this.#redis.onReady(listener);
  }

  async safety(): Promise<StreamsSafety> {
    const told = (await Promise.all([this.#infoOf('persistence'), this.#infoOf('memory')])).join('\n');
    const saidOf = (name: string): string | undefined => new RegExp(`^${name}:(\\S*)`, 'm').exec(told)?.[1];
    const appends = saidOf('aof_enabled');
    const policy = saidOf('maxmemory_policy');
    const appendfsync = await this.#redis.setting('appendfsync');
    return {
      unsafe: [
        ...(appends === '0' ? ['appendonly no'] : writesLate(appendfsync) ? [`appendfsync ${appendfsync}`] : []),
        ...(policy === undefined || KEEPING_POLICIES.includes(policy) ? [] : [`maxmemory-policy ${policy}`]),
      ],
      unknown: [
        ...(appends === undefined ? ['appendonly'] : []),
        ...(appendfsync === null ? ['appendfsync'] : []),
        ...(policy === undefined ? ['maxmemory-policy'] : []),
      ],
      appendfsync,
    };
  }

  /** Empty where it does not let itself be asked: some accounts, and some services, do not allow it. */
  async #infoOf(section: string): Promise<string> {
    try {
      return await this.#redis.info(section);
    } catch (error) {
      if (error instanceof RedisError && error.kind === 'refused') return '';
      throw error;
    }
  }
}

export interface RedisBuffer {
  readonly streams: BufferStreams;
  /** Its start does not wait for the connection. */
  readonly service: Service;
}

/** A connection of its own: what the buffer takes and gives holds up nobody's signals. */
export function createRedisBuffer(options: RedisOptions, dependencies: RedisDependencies): RedisBuffer {
  const connection = new RedisConnection(options, { ...dependencies, dependency: 'buffer' });
  return {
    streams: new RedisBufferStreams(connection),
    service: defineService('buffer streams', (scope) => {
      scope.onStop(() => connection.close());
      connection.open();
    }),
  };
}

function keyOf(partition: number): string {
  return `buffer:{${partition}}`;
}

/** Of a channel, as its count and its entries have it. */
function nameOf({ tenant, channel }: ChannelKey): string {
  return JSON.stringify([tenant, channel]);
}

/** Null where it is no such name: whoever may write to the streams may have written it. */
function keyNamed(name: string): ChannelKey | null {
  try {
    const named: unknown = JSON.parse(name);
    const [tenant, channel]: unknown[] = Array.isArray(named) ? named : [];
    return typeof tenant === 'string' && typeof channel === 'string' ? { tenant, channel } : null;
  } catch {
    return null;
  }
}

/** The least id after this one: what the stream keeps begins there. */
function following(id: EntryId): EntryId {
  const [ms = '0', number = '0'] = id.split('-');
  const next = BigInt(number) + 1n;
  return next < 2n ** 64n ? `${ms}-${next}` : `${BigInt(ms) + 1n}-0`;
}

function entryOf([id, message, size, messageId, requestId]: EntryReply): BufferEntry {
  return {
    id: String(id),
    message,
    bytes: size < 0 ? null : size,
    messageId: messageId === null ? null : messageId.toString('utf8'),
    requestId: requestId === null ? null : requestId.toString('latin1'),
  };
}

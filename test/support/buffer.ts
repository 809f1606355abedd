import { MemoryBufferStreams } from '../../src/adapters/memory/buffer.ts';
import { Buffer as MessageBuffer } from '../../src/engine/buffer.ts';
import { partitionOf } from '../../src/engine/buffer-entry.ts';
import type { ChannelFound } from '../../src/engine/buffer-partition.ts';
import { BufferedPublishing } from '../../src/engine/buffer-publishing.ts';
import { type FindChannel, MESSAGE_LIMITS, type NewMessageDraft, parseMessage } from '../../src/engine/message.ts';
import type { ChannelKey } from '../../src/engine/ports.ts';
import { admitted } from '../../src/http/answers.ts';
import { Bed, type BedOptions, CHANNEL, type Process, RefusedValueError, SHARDS, settled } from './engine.ts';

export const PARTITIONS = 4;
export const LEASE_MS = 10_000;
export const BOUND = { entries: 1_000, bytes: 1_000_000 };

export const findChannel: FindChannel = (tenant, channel) =>
  tenant === CHANNEL.tenant && channel === CHANNEL.channel ? { checkContent: null } : null;

export function draftOf(room: string, messageId: string | null, more: object = {}): NewMessageDraft {
  const message = { channel: CHANNEL.channel, room, content: { id: messageId ?? 'none' }, ...more };
  const raw = new TextEncoder().encode(JSON.stringify(messageId === null ? message : { ...message, messageId }));
  const parsed = parseMessage(raw, MESSAGE_LIMITS, findChannel);
  if ('error' in parsed) throw parsed.error;
  return parsed.ok;
}

export const partition = (room: string): number => partitionOf({ ...CHANNEL, room }, PARTITIONS);
/** Rooms of one partition. */
export const roomsOf = (wanted: number, count: number): string[] =>
  Array.from({ length: 1_000 }, (_, i) => `room-${i}`)
    .filter((room) => partition(room) === wanted)
    .slice(0, count);

/** What a process has beside its engine. */
export class Buffered {
  readonly process: Process;
  readonly buffer: MessageBuffer;
  readonly publishing: BufferedPublishing;

  constructor(
    world: World,
    process: Process,
    name: string,
    wishes: { maxTries?: number; maxRows?: number; partitions?: number } = {},
  ) {
    this.process = process;
    const { instruments, clock, engine, failures } = process;
    this.buffer = new MessageBuffer({
      streams: world.streams,
      cursors: world.bed.bufferCursors,
      accept: (messages, move) => engine.intake.acceptBuffered(messages, move),
      deadLetters: world.bed.stores.deadLetters,
      rules: {
        findChannel: (tenant, channel) => findChannel(tenant, world.channels.get(channel) ?? channel),
        admit: (draft, fallbackId) =>
          admitted(draft, { shards: SHARDS, now: clock.now(), source: 'buffer', fallbackId }),
      },
      seekChannel: async (key) => world.seekChannel(key),
      isPermanent: (error) => error instanceof RefusedValueError,
      mayStore: () => true,
      partitions: wishes.partitions ?? PARTITIONS,
      consumes: true,
      allowsUnsafe: false,
      maxRows: wishes.maxRows ?? 100,
      maxTries: wishes.maxTries ?? 5,
      leaseMs: LEASE_MS,
      consumer: name,
      clock,
      endOfTurn: setImmediate,
      instruments,
      onFailure: (error) => failures.push(error),
    });
    let ids = 0;
    this.publishing = new BufferedPublishing({
      streams: world.streams,
      partitions: PARTITIONS,
      bound: BOUND,
      maxWaiting: 10_000,
      refusal: () => this.buffer.refusal(),
      newMessageId: () => `http:${name}-${++ids}`,
      instruments,
    });
  }

  events(event: string): Readonly<Record<string, unknown>>[] {
    return this.process.logged.filter((line) => line.event === event).map(({ fields }) => fields);
  }
}

export class World {
  readonly bed: Bed;
  readonly streams: MemoryBufferStreams;
  /** How far the streams' clock is behind. */
  streamsBehindMs = 0;
  /** Further names of the one channel. */
  readonly channels = new Map<string, string>();
  seekChannel: (key: ChannelKey) => ChannelFound = () => 'absent';

  constructor(options: BedOptions = {}) {
    this.bed = new Bed(options);
    this.streams = new MemoryBufferStreams(() => this.bed.time.now - this.streamsBehindMs);
  }

  async boot(
    name: string,
    wishes: { maxTries?: number; maxRows?: number; partitions?: number } = {},
  ): Promise<Buffered> {
    const one = new Buffered(this, await this.bed.boot(), name, wishes);
    await one.buffer.service.start();
    await settled();
    return one;
  }

  /** Message ids of a room in the order of their sequences. */
  async idsOf(room: string): Promise<string[]> {
    const listed = await this.bed.stores.history.listRoom(await this.bed.row(room), null, 10_000);
    return listed.map(({ messageId }) => messageId).reverse();
  }

  async letters(): Promise<string[]> {
    return (await this.bed.stores.deadLetters.list(null, 100)).map(({ reason }) => reason).sort();
  }

  async isEmpty(): Promise<boolean> {
    return (await this.streams.depths(PARTITIONS)).every(({ length }) => length === 0);
  }

  /** Time goes on until nothing waits in the streams. */
  async drain(limitMs = 60_000): Promise<void> {
    for (let waited = 0; !(await this.isEmpty()); waited += 50) {
      if (waited > limitMs) throw new Error(`the buffer is not empty after ${limitMs} ms`);
      await this.bed.time.advance(50);
    }
  }
}

export const countdown = (count: number, prefix = 'm'): string[] =>
  Array.from({ length: count }, (_, i) => `${prefix}-${i + 1}`);

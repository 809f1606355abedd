/**
 * Media of messages that wait, uploaded before their turn. Nothing but a cache: no decision about a room knows of it, a
 * restart or a take-over begins anew, and what is not ready when its turn comes goes as the links that it has.
 *
 * An upload counts for the very body and channel that it was made for, and for nothing else.
 */
import { createHash } from 'node:crypto';
import PQueue from 'p-queue';
import { headSequence, type Room, type RoomAddress } from '../room/room.ts';
import type { PreparationResult } from '../telemetry.ts';
import type { Bodies } from './bodies.ts';
import type { Channels } from './channels.ts';
import type { Instruments } from './instruments.ts';
import { requestIdIn, splitBody } from './message.ts';
import { channelName } from './policy.ts';
import type { ChannelKey, Clock, PlatformChannel, Prepared, PrepareResult, Preparer } from './ports.ts';

export interface PreparingDependencies {
  readonly clock: Clock;
  readonly platform: (key: ChannelKey) => PlatformChannel | null;
  readonly channels: Channels;
  readonly bodies: Bodies;
  readonly instruments: Instruments;
  readonly onStoreFailure: (error: unknown) => void;
}

/** How many messages behind the head are prepared. */
export const PREPARE_AHEAD = 2;
/** Uploads per message; the message goes without one after that. */
export const PREPARE_ATTEMPTS = 2;
export const PREPARE_RETRY_MS = 1_000;

export interface PreparingBounds {
  /** Messages whose uploads are kept; those used least lately make room. */
  readonly maxReady: number;
  /** Messages that may wait for an upload or be in one; the others are looked at again later. */
  readonly maxOpen: number;
}

const BOUNDS: PreparingBounds = { maxReady: 10_000, maxOpen: 1_000 };

/** One message of a room in memory; it stays until the message settles, so that nothing is uploaded twice. */
interface Entry {
  readonly address: RoomAddress;
  readonly key: Room['key'];
  readonly sequence: number;
  readonly abort: AbortController;
  /** `over`: it goes as it is. */
  state: 'open' | 'ready' | 'over';
  /** It links to something. */
  planned: boolean;
  used: boolean;
  digest: string;
  /** Of the request that brought the message, once its body is there; null where none did. */
  requestId: string | null;
  prepared: Prepared | null;
  usableUntil: number;
}

export class Preparations {
  readonly #to: PreparingDependencies;
  readonly #bounds: PreparingBounds;
  readonly #rooms = new Map<number, Map<number, Entry>>();
  /** The ready ones, least lately used first. */
  readonly #ready = new Set<Entry>();
  readonly #queues = new Map<string, PQueue>();
  readonly #working = new Set<Promise<void>>();
  #open = 0;
  #closed = false;

  constructor(dependencies: PreparingDependencies, bounds: PreparingBounds = BOUNDS) {
    this.#to = dependencies;
    this.#bounds = bounds;
  }

  /** Messages that are prepared or being prepared. */
  get size(): number {
    return this.#ready.size + this.#open;
  }

  /**
   * Begins what the next messages of the room need, and ends what they no longer do.
   * @param headWaits nothing of the head is under way: it is prepared, too
   */
  consider(room: Room, headWaits: boolean): void {
    const preparer = this.#to.platform(room.key)?.prepare;
    if (preparer === undefined || this.#closed) return;
    this.#dropSettled(room);
    const stopped = this.#to.channels.get(room.key)?.condition.state === 'stopped';
    // What waits for an operator may wait for long.
    if (stopped || room.paused || room.phase === 'held') return;
    const now = this.#to.clock.now();
    const head = headSequence(room);
    for (const { sequence, cancelledBy, expiresAt } of room.envelopes) {
      if (sequence > head + PREPARE_AHEAD) return;
      if (cancelledBy !== null) this.#end(this.#rooms.get(room.id)?.get(sequence));
      else if ((sequence > head || headWaits) && (expiresAt ?? now + 1) > now) this.#begin(room, sequence, preparer);
    }
  }

  /** What was uploaded for this body, whose turn has come; null: it goes as it is, and an upload under way ends. */
  take(room: Room, sequence: number, body: Uint8Array): Prepared | null {
    const entry = this.#rooms.get(room.id)?.get(sequence);
    if (entry === undefined) return null;
    const { state, prepared } = entry;
    const usable = state === 'ready' && entry.digest === digestOf(body) && this.#to.clock.now() < entry.usableUntil;
    // A copy that the platform took and then reported as failed may have failed of what was uploaded.
    const failedWithIt = room.attempts.slice(0, -1).some(({ result }) => result === 'accepted');
    if (!usable || failedWithIt || prepared === null) {
      this.#end(entry, state === 'open' ? 'late' : 'dropped');
      return null;
    }
    this.#ready.delete(entry);
    this.#ready.add(entry);
    if (!entry.used) this.#count('used', room.key);
    entry.used = true;
    return prepared;
  }

  /** The platform refused it: it has expired there, or never was what it should have been. */
  refused(address: RoomAddress, sequence: number): void {
    this.#end(this.#rooms.get(address.id)?.get(sequence), 'refused');
  }

  /** The room leaves memory, or is not ours any more. */
  forget(id: number): void {
    for (const entry of this.#rooms.get(id)?.values() ?? []) this.#end(entry);
    this.#rooms.delete(id);
  }

  /** Begins nothing further; resolves when uploads under way have ended. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const id of [...this.#rooms.keys()]) this.forget(id);
    while (this.#working.size > 0) await Promise.all(this.#working);
  }

  #dropSettled(room: Room): void {
    const entries = this.#rooms.get(room.id);
    if (entries === undefined) return;
    for (const entry of entries.values()) {
      if (entry.sequence > room.settled) continue;
      this.#end(entry);
      entries.delete(entry.sequence);
    }
    if (entries.size === 0) this.#rooms.delete(room.id);
  }

  #begin(room: Room, sequence: number, preparer: Preparer): void {
    const entries = this.#rooms.get(room.id) ?? new Map<number, Entry>();
    if (entries.has(sequence) || this.#open >= this.#bounds.maxOpen) return;
    const entry: Entry = {
      address: { shard: room.shard, id: room.id },
      key: room.key,
      sequence,
      abort: new AbortController(),
      state: 'open',
      planned: false,
      used: false,
      digest: '',
      requestId: null,
      prepared: null,
      usableUntil: 0,
    };
    this.#rooms.set(room.id, entries.set(sequence, entry));
    this.#open++;
    const work = this.#prepare(entry, preparer).finally(() => this.#working.delete(work));
    this.#working.add(work);
  }

  async #prepare(entry: Entry, preparer: Preparer): Promise<void> {
    const { signal } = entry.abort;
    let body: Uint8Array | null;
    try {
      body = await this.#to.bodies.read(entry.address, entry.sequence);
    } catch (error) {
      this.#to.onStoreFailure(error);
      // Its room is looked at again when the store is back.
      this.#end(entry);
      const entries = this.#rooms.get(entry.address.id);
      if (entries?.get(entry.sequence) === entry) entries.delete(entry.sequence);
      return;
    }
    const work = body === null || signal.aborted ? null : preparer.plan(splitBody(body).body);
    if (body === null || work === null) {
      this.#end(entry);
      return;
    }
    entry.planned = true;
    entry.requestId = requestIdIn(body);
    entry.digest = digestOf(body);
    const result = await this.#queueOf(entry.key, preparer).add(() => this.#tryRepeatedly(work, signal));
    if (entry.state === 'open') this.#ended(entry, result);
  }

  async #tryRepeatedly(
    work: (signal: AbortSignal) => Promise<PrepareResult>,
    signal: AbortSignal,
  ): Promise<PrepareResult> {
    for (let attempt = 1; ; attempt++) {
      if (signal.aborted) return { kind: 'failed', code: 'aborted', retryable: false };
      const result = await work(signal);
      if (result.kind === 'prepared' || !result.retryable || attempt === PREPARE_ATTEMPTS) return result;
      await this.#pause(PREPARE_RETRY_MS, signal);
    }
  }

  #ended(entry: Entry, result: PrepareResult): void {
    if (result.kind === 'failed') {
      this.#end(entry, 'failed');
      const { log, hash } = this.#to.instruments;
      const { tenant, channel, room } = entry.key;
      log.event('preparation.failed', {
        tenant,
        channel,
        room: hash(room),
        sequence: entry.sequence,
        reason: result.code,
        requestId: entry.requestId ?? undefined,
      });
      return;
    }
    this.#open--;
    entry.state = 'ready';
    entry.prepared = result.prepared;
    entry.usableUntil = this.#to.clock.now() + result.usableForMs;
    this.#ready.add(entry);
    this.#count('prepared', entry.key);
    for (const oldest of this.#ready) {
      if (this.#ready.size <= this.#bounds.maxReady) break;
      this.#end(oldest);
    }
  }

  /** The entry stays, so that the message is not prepared again. */
  #end(entry: Entry | undefined, result: PreparationResult = 'dropped'): void {
    if (entry === undefined || entry.state === 'over') return;
    if (entry.state === 'open') this.#open--;
    else this.#ready.delete(entry);
    entry.state = 'over';
    entry.prepared = null;
    entry.abort.abort();
    if (entry.planned && !(entry.used && result === 'dropped')) this.#count(result, entry.key);
  }

  #queueOf(key: ChannelKey, { maxConcurrent }: Preparer): PQueue {
    const name = channelName(key);
    const queue = this.#queues.get(name) ?? new PQueue({ concurrency: maxConcurrent });
    queue.concurrency = maxConcurrent;
    this.#queues.set(name, queue);
    return queue;
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#to.clock.after(ms, resolve);
      const stop = (): void => {
        cancel();
        resolve();
      };
      signal.addEventListener('abort', stop, { once: true });
    });
  }

  #count(result: PreparationResult, key: ChannelKey): void {
    this.#to.instruments.metrics.preparations.inc({ result, channel: channelName(key) });
  }
}

function digestOf(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('base64');
}

/**
 * Signals between processes over Redis' publish and subscribe. A shard has a channel of its own that its holder
 * subscribes to, so that publishers need not know who that is; one more reaches all processes. What is published in one
 * turn of the event loop, or while the previous flush is under way, goes out in one step.
 */
import { readFileSync } from 'node:fs';
import type { Instruments } from '../../engine/instruments.ts';
import type { Chance, Clock, Signal, Signals } from '../../engine/ports.ts';
import type { RedisConnection, RedisOptions } from './connection.ts';
import {
  type CommonSignal,
  decodeCommon,
  decodeRooms,
  encodeCommon,
  encodeRooms,
  keyOf,
  type RoomSignal,
} from './signal-codec.ts';
import { Subscriber } from './subscriber.ts';

export interface SignalsDependencies {
  readonly instruments: Instruments;
  readonly clock: Pick<Clock, 'monotonic' | 'after'>;
  readonly chance: Chance;
}

const PUBLISH = readFileSync(new URL('publish.lua', import.meta.url), 'utf8');
const ALL = 'all';

/** Signals that may wait for the next flush. */
const MAX_QUEUED = 20_000;
/** Messages of one flush. */
const MAX_FLUSH = 1_000;
const HEARTBEAT_EVERY_MS = 250;
/** Signals are live while a heartbeat that was sent within this time has come back. */
const LIVE_FOR_MS = 1_000;
/** A subscription that says it serves and hears nothing of us for so long is made anew. */
const DEAF_FOR_MS = 5_000;

type DropReason = 'away' | 'full' | 'failed' | 'unreadable';

export class RedisSignals implements Signals {
  readonly #redis: RedisConnection;
  readonly #run: (key: string, args: readonly (string | number)[]) => Promise<unknown>;
  readonly #subscriber: Subscriber;
  readonly #to: SignalsDependencies;
  /** Names this process to itself, on Redis only. */
  readonly #sender: string;
  readonly #listeners = new Set<(signal: Signal) => void>();
  readonly #shards = new Map<string, number>();
  /** Channels of others beside the signals. */
  readonly #topics = new Map<string, (text: string) => void>();
  #rooms = new Map<number, Map<number, RoomSignal>>();
  #common = new Map<string, CommonSignal>();
  #queued = 0;
  #flushing = false;
  #beat = 0;
  /** When each heartbeat on its way was sent. */
  readonly #beats = new Map<number, number>();
  /** When the newest heartbeat was sent that came back; when the subscription was last known to hear. */
  #heard = Number.NEGATIVE_INFINITY;
  #hearingSince: number | null = null;
  #wasLive = false;
  #lapses = 0;
  /** Signals were dropped, and nobody has been told. */
  #owes = false;
  #cancelHeartbeat: (() => void) | null = null;
  #trouble = 'not_connected';
  #closed = false;

  constructor(redis: RedisConnection, options: RedisOptions, dependencies: SignalsDependencies) {
    this.#redis = redis;
    this.#to = dependencies;
    const { instruments, clock, chance } = dependencies;
    this.#sender = Array.from({ length: 4 }, () => Math.floor(chance() * 2 ** 30).toString(36)).join('');
    this.#run = redis.script('roomlinePublish', PUBLISH);
    this.#subscriber = new Subscriber({
      redis: options,
      chance,
      clock,
      onMessage: (channel, message) => this.#onMessage(channel, message),
      onTrouble: ({ kind, code }) => {
        this.#trouble = code;
        instruments.metrics.dependencyErrors.inc({ dependency: 'redis', kind });
      },
      onLapse: () => this.#onLapse(),
    });
    this.#subscriber.want([ALL, this.#own]);
    instruments.metrics.signalsLive.set(0);
  }

  get live(): boolean {
    return this.#subscriber.complete && this.#audible;
  }

  get lapses(): number {
    return this.#lapses;
  }

  open(): void {
    this.#subscriber.open();
    this.#heartbeat();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelHeartbeat?.();
    await this.#subscriber.close();
  }

  publish(signal: Signal): void {
    if (this.#closed) return;
    if (!this.#redis.ready) this.#drop('away', 1);
    else if (this.#queued >= MAX_QUEUED) this.#drop('full', 1);
    else {
      this.#enqueue(signal);
      if (!this.#flushing) void this.#flush();
    }
  }

  follow(shards: readonly number[]): void {
    const channels = shards.map(channelOf);
    for (const [index, channel] of channels.entries()) this.#shards.set(channel, shards[index] as number);
    this.#subscriber.want(channels);
  }

  unfollow(shards: readonly number[]): void {
    const channels = shards.map(channelOf);
    for (const channel of channels) this.#shards.delete(channel);
    this.#subscriber.leave(channels);
  }

  hears(shards: readonly number[]): boolean {
    return this.#audible && this.#subscriber.has(shards.map(channelOf));
  }

  listen(listener: (signal: Signal) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Calls back with every text on this channel, which carries no signals. The result ends that. */
  hear(channel: string, onText: (text: string) => void): () => void {
    this.#topics.set(channel, onText);
    this.#subscriber.want([channel]);
    return () => {
      this.#topics.delete(channel);
      if (!this.#closed) this.#subscriber.leave([channel]);
    };
  }

  /** What was published a moment ago came back. */
  get #audible(): boolean {
    if (!this.#redis.ready || !this.#subscriber.ready) return false;
    return this.#to.clock.monotonic() - this.#heard <= LIVE_FOR_MS;
  }

  get #own(): string {
    return `process:{${this.#sender}}`;
  }

  // -------------------------------------------------------------------------------------------------------- publishing

  #enqueue(signal: Signal): void {
    if (signal.kind !== 'room') {
      const key = keyOf(signal);
      if (!this.#common.has(key)) this.#queued++;
      this.#common.set(key, signal);
      return;
    }
    let rooms = this.#rooms.get(signal.shard);
    if (rooms === undefined) {
      rooms = new Map();
      this.#rooms.set(signal.shard, rooms);
    }
    const before = rooms.get(signal.id);
    if (before === undefined) this.#queued++;
    rooms.set(signal.id, before === undefined ? signal : merged(before, signal));
  }

  /** Sends what is queued, batch after batch. The first one waits for the end of this turn of the event loop. */
  async #flush(): Promise<void> {
    this.#flushing = true;
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#queued > 0) {
      const { messages, signals } = this.#take();
      try {
        await this.#run('', messages);
        for (const { kind } of signals) this.#to.instruments.metrics.signalsPublished.inc({ kind });
      } catch {
        // The connection has told why.
        this.#drop('failed', signals.length);
      }
    }
    this.#flushing = false;
  }

  #take(): { readonly messages: string[]; readonly signals: Signal[] } {
    const messages: string[] = [];
    const signals: Signal[] = [];
    if (this.#common.size > 0) {
      messages.push(ALL, encodeCommon(this.#sender, this.#common.values()));
      signals.push(...this.#common.values());
      this.#common = new Map();
    }
    for (const [shard, rooms] of this.#rooms) {
      if (messages.length >= 2 * MAX_FLUSH) break;
      messages.push(channelOf(shard), encodeRooms(rooms.values()));
      for (const room of rooms.values()) signals.push(room);
      this.#rooms.delete(shard);
    }
    this.#queued -= signals.length;
    return { messages, signals };
  }

  #drop(reason: DropReason, count: number): void {
    this.#to.instruments.metrics.signalsDropped.inc({ reason }, count);
    if (reason !== 'unreadable') this.#owes = true;
  }

  // --------------------------------------------------------------------------------------------------------- receiving

  #onMessage(channel: string, message: string): void {
    if (channel === this.#own) {
      this.#onHeartbeat(message);
      return;
    }
    if (channel === ALL) {
      const told = decodeCommon(message);
      if (told === null) this.#drop('unreadable', 1);
      else if (told.sender !== this.#sender) for (const signal of told.signals) this.#tell(signal);
      return;
    }
    const onText = this.#topics.get(channel);
    if (onText !== undefined) {
      onText(message);
      return;
    }
    const shard = this.#shards.get(channel);
    // Left a moment ago.
    if (shard === undefined) return;
    const rooms = decodeRooms(shard, message);
    if (rooms === null) this.#drop('unreadable', 1);
    else for (const signal of rooms) this.#tell(signal);
  }

  #tell(signal: Signal): void {
    this.#to.instruments.metrics.signalsReceived.inc({ kind: signal.kind });
    for (const listener of [...this.#listeners]) listener(signal);
  }

  // --------------------------------------------------------------------------------------------------------- liveness

  /** Redis may be reached and deliver nothing: only a message that came back proves that messages arrive. */
  #heartbeat(): void {
    if (this.#closed) return;
    const now = this.#to.clock.monotonic();
    if (!this.#redis.ready || !this.#subscriber.ready) {
      this.#hearingSince = null;
      this.#beats.clear();
    } else {
      this.#hearingSince ??= now;
      if (now - Math.max(this.#heard, this.#hearingSince) > DEAF_FOR_MS) {
        this.#trouble = 'deaf';
        this.#hearingSince = now;
        this.#subscriber.reconnect();
      }
      const beat = ++this.#beat;
      this.#beats.set(beat, now);
      // The connection has told why, where it fails.
      this.#run('', [this.#own, String(beat)]).catch(() => this.#beats.delete(beat));
    }
    this.#look();
    if (this.#owes && this.live) {
      this.#owes = false;
      this.publish({ kind: 'missed' });
    }
    this.#cancelHeartbeat = this.#to.clock.after(HEARTBEAT_EVERY_MS, () => this.#heartbeat());
  }

  #onHeartbeat(message: string): void {
    const sentAt = this.#beats.get(Number(message));
    if (sentAt === undefined) {
      this.#drop('unreadable', 1);
      return;
    }
    for (const beat of this.#beats.keys()) if (beat <= Number(message)) this.#beats.delete(beat);
    this.#heard = Math.max(this.#heard, sentAt);
    this.#look();
  }

  #onLapse(): void {
    this.#lapses++;
    this.#heard = Number.NEGATIVE_INFINITY;
    this.#beats.clear();
    if (!this.#closed) this.#look();
  }

  /** Tells once when signals begin or cease to be heard. */
  #look(): void {
    const live = this.#audible;
    if (live === this.#wasLive) return;
    this.#wasLive = live;
    if (!live) this.#lapses++;
    const { log, metrics, telemetry } = this.#to.instruments;
    metrics.signalsLive.set(live ? 1 : 0);
    if (live) log.event('signals.live', {});
    else log.event('signals.lost', { reason: this.#redis.ready ? this.#trouble : 'not_connected' });
    telemetry.emit('signals.changed', { live });
    this.#trouble = 'silent';
  }
}

function channelOf(shard: number): string {
  return `shard:{${shard}}`;
}

/** Both in one: the newest of each. */
function merged(a: RoomSignal, b: RoomSignal): RoomSignal {
  return {
    ...b,
    version: Math.max(a.version, b.version),
    tail: Math.max(a.tail, b.tail),
    ackedAt: a.ackedAt ?? b.ackedAt,
  };
}

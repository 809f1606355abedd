/**
 * The live feed from process to process over Redis' publish and subscribe. Interests come in with the signals. The feed
 * itself has a connection of its own, made only while somebody listens here, so that no burst of it delays a signal.
 */
import { readFileSync } from 'node:fs';
import type { LiveBus, LiveTopic } from '../../engine/live-ports.ts';
import type { RedisConnection, RedisOptions } from './connection.ts';
import type { RedisSignals, SignalsDependencies } from './signals.ts';
import { Subscriber } from './subscriber.ts';

const PUBLISH = readFileSync(new URL('publish.lua', import.meta.url), 'utf8');
/** Texts that Redis has not taken yet; what comes then goes nowhere. */
const MAX_OPEN = 8;

export class RedisLive implements LiveBus {
  readonly #redis: RedisConnection;
  readonly #signals: Pick<RedisSignals, 'live' | 'hear'>;
  readonly #options: RedisOptions;
  readonly #to: SignalsDependencies;
  readonly #run: (key: string, args: readonly (string | number)[]) => Promise<unknown>;
  readonly #open = new Set<Promise<unknown>>();
  #feed: Subscriber | null = null;
  readonly #closing = new Set<Promise<void>>();

  constructor(
    redis: RedisConnection,
    signals: Pick<RedisSignals, 'live' | 'hear'>,
    options: RedisOptions,
    dependencies: SignalsDependencies,
  ) {
    this.#redis = redis;
    this.#signals = signals;
    this.#options = options;
    this.#to = dependencies;
    this.#run = redis.script('roomlinePublish', PUBLISH);
  }

  tell(topic: LiveTopic, text: string): boolean {
    if (!this.#redis.ready || this.#open.size >= MAX_OPEN) return false;
    // The connection has told why it failed, and who listens finds out by the number of the next text.
    const told = this.#run('', [channelOf(topic), text])
      .catch(() => undefined)
      .finally(() => this.#open.delete(told));
    this.#open.add(told);
    return true;
  }

  listen(topic: LiveTopic, onText: (text: string) => void, onLapse: () => void = () => undefined): () => void {
    if (topic === 'interest') return this.#signals.hear(channelOf(topic), onText);
    const { clock, chance, instruments } = this.#to;
    let hearing = false;
    const feed = new Subscriber({
      redis: this.#options,
      chance,
      clock,
      onMessage: (_channel, text) => {
        hearing = true;
        onText(text);
      },
      onTrouble: ({ kind }) => instruments.metrics.dependencyErrors.inc({ dependency: 'redis', kind }),
      onLapse: () => {
        // Once for each outage, and not when it is we who end it.
        if (hearing && this.#feed === feed) onLapse();
        hearing = false;
      },
    });
    feed.want([channelOf(topic)]);
    feed.open();
    this.#feed = feed;
    return () => {
      if (this.#feed === feed) this.#feed = null;
      const closing = feed.close().finally(() => this.#closing.delete(closing));
      this.#closing.add(closing);
    };
  }

  hears(topic: LiveTopic): boolean {
    return topic === 'interest' ? this.#signals.live : this.#feed?.complete === true;
  }

  /** Resolves when what was listened to is closed. */
  async close(): Promise<void> {
    await Promise.all([...this.#open, ...this.#closing]);
  }
}

function channelOf(topic: LiveTopic): string {
  return `live:${topic}`;
}

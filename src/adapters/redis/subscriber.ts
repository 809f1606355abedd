/**
 * The second connection to Redis, which only listens. After every reconnect it subscribes again to all that is wanted, in
 * bounded chunks, so that no command of a large fleet holds Redis up.
 */
import type { Redis as Client } from 'ioredis';
import type { Chance, Clock } from '../../engine/ports.ts';
import { createClient, type RedisOptions } from './connection.ts';
import { commandTrouble, connectionTrouble, type RedisError } from './trouble.ts';

export interface SubscriberOptions {
  readonly redis: RedisOptions;
  readonly chance: Chance;
  readonly clock: Pick<Clock, 'after'>;
  /** Channels are told without their prefix. */
  readonly onMessage: (channel: string, message: string) => void;
  readonly onTrouble: (error: RedisError) => void;
  /** The connection broke: from then on messages are missed. */
  readonly onLapse: () => void;
}

/** Channels in one command. */
const CHUNK = 500;
/** After Redis refused a subscription. */
const REFUSED_RETRY_MS = 1_000;

export class Subscriber {
  readonly #options: SubscriberOptions;
  readonly #client: Client;
  readonly #wanted = new Set<string>();
  /** What differs between what is wanted and what this connection has. */
  readonly #missing = new Set<string>();
  readonly #surplus = new Set<string>();
  /** What this connection is about to have. */
  readonly #coming = new Set<string>();
  /** What was wanted before this connection was there, as far as it does not have it again. */
  readonly #lost = new Set<string>();
  #syncing = false;
  #cancelRetry: (() => void) | null = null;
  #closed = false;

  constructor(options: SubscriberOptions) {
    this.#options = options;
    const { redis, chance, onMessage, onTrouble, onLapse } = options;
    this.#client = createClient(redis, chance);
    this.#client.on('error', (error) => onTrouble(connectionTrouble(error)));
    this.#client.on('message', (channel: string, message: string) => {
      onMessage(channel.slice(redis.keyPrefix.length), message);
    });
    this.#client.on('close', () => {
      this.#begin();
      onLapse();
    });
    this.#client.on('ready', () => void this.#sync());
  }

  /** What was wanted when it began is subscribed to, on a connection that serves as far as it knows. */
  get complete(): boolean {
    return this.ready && this.#lost.size === 0;
  }

  /** These are subscribed to, on such a connection. */
  has(channels: readonly string[]): boolean {
    return (
      this.ready &&
      channels.every(
        (channel) => this.#wanted.has(channel) && !this.#missing.has(channel) && !this.#coming.has(channel),
      )
    );
  }

  get ready(): boolean {
    return this.#client.status === 'ready';
  }

  open(): void {
    // The outcome is told by events.
    this.#client.connect().catch(() => undefined);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelRetry?.();
    const open = this.#client.status !== 'reconnecting' && this.#client.status !== 'end';
    const ended = new Promise<void>((resolve) => void this.#client.once('end', resolve));
    this.#client.disconnect();
    if (open) await ended;
  }

  /** Makes the connection anew: nothing comes on this one. */
  reconnect(): void {
    if (!this.#closed && this.ready) this.#client.disconnect(true);
  }

  want(channels: Iterable<string>): void {
    for (const channel of channels) {
      if (this.#wanted.has(channel)) continue;
      this.#wanted.add(channel);
      if (!this.#surplus.delete(channel)) this.#missing.add(channel);
      if (!this.ready) this.#lost.add(channel);
    }
    void this.#sync();
  }

  leave(channels: Iterable<string>): void {
    for (const channel of channels) {
      if (!this.#wanted.delete(channel)) continue;
      this.#lost.delete(channel);
      if (!this.#missing.delete(channel)) this.#surplus.add(channel);
    }
    void this.#sync();
  }

  /** A connection that has just begun has no subscriptions. */
  #begin(): void {
    this.#surplus.clear();
    for (const channel of this.#wanted) {
      this.#missing.add(channel);
      this.#lost.add(channel);
    }
  }

  async #sync(): Promise<void> {
    if (this.#syncing) return;
    this.#syncing = true;
    try {
      while (this.ready) {
        if (this.#missing.size > 0) await this.#send('subscribe', this.#missing);
        else if (this.#surplus.size > 0) await this.#send('unsubscribe', this.#surplus);
        else return;
      }
    } catch (error) {
      this.#options.onTrouble(commandTrouble(error));
      this.#retry();
    } finally {
      this.#syncing = false;
    }
  }

  async #send(command: 'subscribe' | 'unsubscribe', due: Set<string>): Promise<void> {
    const chunk: string[] = [];
    for (const channel of due) if (chunk.push(channel) === CHUNK) break;
    for (const channel of chunk) due.delete(channel);
    if (command === 'subscribe') for (const channel of chunk) this.#coming.add(channel);
    try {
      await this.#client[command](...chunk.map((channel) => `${this.#options.redis.keyPrefix}${channel}`));
      for (const channel of chunk) this.#lost.delete(channel);
    } catch (error) {
      // Where the connection broke, all of it is due again.
      if (command === 'subscribe') for (const channel of chunk) if (this.#wanted.has(channel)) due.add(channel);
      throw error;
    } finally {
      for (const channel of chunk) this.#coming.delete(channel);
    }
  }

  #retry(): void {
    if (this.#closed) return;
    this.#cancelRetry?.();
    this.#cancelRetry = this.#options.clock.after(REFUSED_RETRY_MS, () => void this.#sync());
  }
}

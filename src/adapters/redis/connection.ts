/**
 * The connection to Redis. It comes and goes by itself: nobody waits for it, what is asked while it is away fails at
 * once, and it is tried again for ever.
 */
import { isIP } from 'node:net';
import { Redis as Client } from 'ioredis';
import type { Instruments } from '../../engine/instruments.ts';
import type { Chance, Clock } from '../../engine/ports.ts';
import { Availability } from './availability.ts';
import { commandTrouble, connectionTrouble, RedisError } from './trouble.ts';

export interface RedisOptions {
  /** redis://user:password@host:port/database, or rediss:// for TLS. */
  readonly url: string;
  /** Every key begins with it. */
  readonly keyPrefix: string;
  readonly connectTimeoutMs: number;
  readonly commandTimeoutMs: number;
}

export interface RedisDependencies {
  /** What logs and metrics call it; `redis` where it is not given. */
  readonly dependency?: string;
  readonly instruments: Instruments;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly chance: Chance;
}

const DEFAULT_PORT = 6379;
const RECONNECT_FIRST_MS = 50;
const RECONNECT_LAST_MS = 2_000;
/** A connection on which nothing came for so many command timeouts, though something was asked, is made anew. */
const SILENT_TIMEOUTS = 4;

export class RedisConnection {
  readonly keyPrefix: string;
  readonly #client: Client;
  readonly #availability: Availability;
  /** Connections that have ended. */
  #closed = 0;
  readonly #onReady = new Set<() => void>();
  #closing = false;

  constructor(options: RedisOptions, { instruments, clock, chance, dependency }: RedisDependencies) {
    this.keyPrefix = options.keyPrefix;
    this.#availability = new Availability(instruments, clock, dependency);
    this.#client = createClient(options, chance);
    this.#client.on('error', (error) => this.#failed(connectionTrouble(error)));
    this.#client.on('close', () => {
      this.#closed++;
      if (this.#availability.reason === null) this.#failed(new RedisError('connection', 'closed'));
    });
    this.#client.on('ready', () => {
      this.#availability.connected();
      for (const listener of this.#onReady) listener();
    });
  }

  /** Begins to connect. */
  open(): void {
    // The outcome is told by events, as that of every later attempt.
    this.#client.connect().catch(() => undefined);
  }

  /** Resolves when the connection is closed. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    // Between two attempts there is nothing whose end would be told.
    const open = this.#client.status !== 'reconnecting' && this.#client.status !== 'end';
    const ended = new Promise<void>((resolve) => void this.#client.once('end', resolve));
    this.#client.disconnect();
    if (open) await ended;
  }

  /** A command that runs `lua` as one step, for one key each time. The server need not know the script yet. */
  script(name: string, lua: string): (key: string, args: readonly (string | number)[]) => Promise<unknown> {
    this.#client.defineCommand(name, { lua, numberOfKeys: 1 });
    const command = (this.#client as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>)[name];
    return (key, args) => this.#run(async () => command?.call(this.#client, `${this.keyPrefix}${key}`, ...args));
  }

  /** The same for scripts that take bytes and answer with them: texts of the answer are buffers. */
  binaryScript(
    name: string,
    lua: string,
  ): (key: string, args: readonly (string | number | Uint8Array)[]) => Promise<unknown> {
    this.#client.defineCommand(name, { lua, numberOfKeys: 1 });
    const command = (this.#client as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>)[
      `${name}Buffer`
    ];
    return (key, args) => this.#run(async () => command?.call(this.#client, `${this.keyPrefix}${key}`, ...args));
  }

  /** What the server tells of itself, as `name:value` lines. */
  info(section: string): Promise<string> {
    return this.#run(() => this.#client.info(section));
  }

  /** A setting of the server; null where it does not let itself be asked. */
  setting(name: string): Promise<string | null> {
    return this.#run(async () => {
      try {
        const [, value] = (await this.#client.config('GET', name)) as string[];
        return value ?? null;
      } catch (error) {
        if (commandTrouble(error).kind === 'refused') return null;
        throw error;
      }
    });
  }

  /** Another one with every connection; null while there is none. */
  get connection(): number | null {
    return this.ready ? this.#closed : null;
  }

  /** Tells of every connection once it serves. @returns ends that */
  onReady(listener: () => void): () => void {
    this.#onReady.add(listener);
    return () => this.#onReady.delete(listener);
  }

  /** It is connected, as far as it knows. */
  get ready(): boolean {
    return this.#client.status === 'ready';
  }

  /** @throws RedisError */
  async #run<T>(command: () => Promise<T>): Promise<T> {
    try {
      if (this.#client.status !== 'ready') throw new RedisError('away', this.#availability.reason ?? 'not_connected');
      const result = await command();
      this.#availability.served();
      return result;
    } catch (error) {
      const trouble = error instanceof RedisError ? error : commandTrouble(error);
      this.#failed(trouble);
      throw trouble;
    }
  }

  #failed(error: RedisError): void {
    if (!this.#closing) this.#availability.failed(error);
  }
}

/** A client that is tried again for ever, keeps nothing back while it is away, and connects when it is told to. */
export function createClient(options: Omit<RedisOptions, 'keyPrefix'>, chance: Chance): Client {
  return new Client({
    ...addressOf(options.url),
    lazyConnect: true,
    connectTimeout: options.connectTimeoutMs,
    commandTimeout: options.commandTimeoutMs,
    socketTimeout: SILENT_TIMEOUTS * options.commandTimeoutMs,
    disconnectTimeout: options.commandTimeoutMs,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => reconnectDelayMs(times, chance),
    // After a failover the old address may lead to what is a replica now.
    reconnectOnError: (error) => error.message.includes('READONLY'),
  });
}

/** Written out, because the client would take any of its own settings from the query of a URL. */
function addressOf(text: string) {
  const url = new URL(text);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return {
    host,
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
    db: Number(url.pathname.slice(1)),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(url.protocol === 'rediss:' ? { tls: isIP(host) === 0 ? { servername: host } : {} } : {}),
  };
}

/** Doubles up to its bound; half of it is chance, so that a fleet does not come back in one moment. */
export function reconnectDelayMs(times: number, chance: Chance): number {
  const longest = Math.min(RECONNECT_LAST_MS, RECONNECT_FIRST_MS * 2 ** Math.min(times - 1, 16));
  return Math.ceil(longest * (0.5 + chance() / 2));
}

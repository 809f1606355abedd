/**
 * The real HTTP server, the real engine and the real generic adapter in this process, on stores of the caller's choice.
 * The platform takes every message and never acks, so that nothing moves between two requests unless a request moves it.
 */
import { createHmac } from 'node:crypto';
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { DeadLetterLane } from '../../src/adapters/pubsub/dead-letters.ts';
import { MessageHandler } from '../../src/adapters/pubsub/handler.ts';
import { createSystemClock } from '../../src/adapters/system-clock.ts';
import { createEngine, type Engine } from '../../src/engine/engine.ts';
import type { Instruments } from '../../src/engine/instruments.ts';
import { MESSAGE_LIMITS, parseMessage } from '../../src/engine/message.ts';
import { channelName } from '../../src/engine/policy.ts';
import type { ChannelKey, PlatformChannel, Stores } from '../../src/engine/ports.ts';
import { createReferences, type References } from '../../src/engine/reference.ts';
import { admitted, createAnswers } from '../../src/http/answers.ts';
import { createKey } from '../../src/http/keys.ts';
import { createHttpServer, type HttpServer, type HttpServerOptions } from '../../src/http/server.ts';
import { createPlatformChannel } from '../../src/platforms/registry.ts';
import { createLog, createMetrics, recipientHasher, Telemetry } from '../../src/telemetry.ts';
import { channelOf } from '../support/engine.ts';
import { eventually } from '../support/events.ts';
import { ALL_ROLES } from '../support/fleet.ts';
import { RoomRecords } from './records.ts';
import { WatchedStores } from './watched-stores.ts';

/** The wall clock of the receiver: signatures are as old as a case says. */
export const NOW_MS = Date.UTC(2026, 0, 1);

/** Stands in every text, recipient, room and secret that a case plants: a log never shows it. */
export const CANARY = 'kanarienvogel';

export const SECRETS = {
  main: `${CANARY}-the newest secret of main`,
  old: `${CANARY}-the secret before that`,
  second: `${CANARY}-the secret of the second channel`,
  acme: `${CANARY}-the secret of another tenant`,
} as const;

/** `twin` shares the secrets of `main`; at `rotated` the old one has been removed. */
export const CHANNELS: readonly { readonly key: ChannelKey; readonly secrets: readonly string[] }[] = [
  { key: { tenant: 'default', channel: 'main' }, secrets: [SECRETS.main, SECRETS.old] },
  { key: { tenant: 'default', channel: 'twin' }, secrets: [SECRETS.main, SECRETS.old] },
  { key: { tenant: 'default', channel: 'rotated' }, secrets: [SECRETS.main] },
  { key: { tenant: 'default', channel: 'second' }, secrets: [SECRETS.second] },
  { key: { tenant: 'acme', channel: 'main' }, secrets: [SECRETS.acme] },
];

export const KEYS = { publish: createKey(), read: createKey(), operate: createKey() };

const HTTP: HttpServerOptions = {
  host: '127.0.0.1',
  port: 0,
  bodyLimitBytes: 1_048_576,
  batchBodyLimitBytes: 16_777_216,
  webhookBodyLimitBytes: 1_048_576,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
  connectionsCheckingIntervalMs: 5_000,
  keepAliveTimeoutMs: 75_000,
  maxConnections: 10_000,
  maxRequestsPerSocket: 0,
  roles: ALL_ROLES,
  keys: (['publish', 'read', 'operate'] as const).map((scope) => ({
    name: scope,
    hash: KEYS[scope].hash,
    scopes: [scope],
  })),
};

export interface RigOptions {
  readonly stores: Stores;
  readonly shards: number;
  readonly isPermanent?: (error: unknown) => boolean;
  readonly http?: Partial<HttpServerOptions>;
}

export interface Ask {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Uint8Array | null;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly ms: number;
}

/** One message of the queue, and how it was answered. */
export interface Delivery {
  readonly data: Uint8Array;
  readonly attributes: Readonly<Record<string, string>>;
  readonly orderingKey: string;
}

export class Rig {
  readonly watched: WatchedStores;
  readonly engine: Engine;
  readonly references: References;
  readonly records: RoomRecords;
  readonly failures: unknown[] = [];
  readonly logged: string[] = [];
  readonly server: HttpServer;
  readonly shards: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 });
  readonly #handler: MessageHandler;
  readonly #letters: DeadLetterLane;
  readonly #stopping = new AbortController();
  readonly #onUnhandled = (error: unknown): void => void this.failures.push(error);
  #sent = 0;
  #openSends = 0;
  #queued = 0;

  constructor(options: RigOptions) {
    const clock = createSystemClock();
    const { shards } = options;
    this.shards = shards;
    this.watched = new WatchedStores(options.stores);
    const { stores } = this.watched;
    this.references = createReferences(`${CANARY}-reference secret`);
    const destination = { write: (line: string) => void this.logged.push(line) };
    const instruments: Instruments = {
      log: createLog({ level: 'debug', destination }),
      metrics: createMetrics({ version: 'test' }),
      telemetry: new Telemetry(),
      hash: recipientHasher(`${CANARY}-hash key`),
    };
    const platforms = new Map(CHANNELS.map(({ key, secrets }) => [channelName(key), this.#platform(secrets)]));
    const platform = (key: ChannelKey): PlatformChannel | null => platforms.get(channelName(key)) ?? null;
    this.engine = createEngine(
      {
        name: 'fuzz',
        roles: ALL_ROLES,
        weight: 1,
        pollEveryMs: 60_000,
        shards,
        lanes: 2,
        maxBatchRows: 200,
        maxWaiting: 20_000,
        maxWaitingBytes: 134_217_728,
        lingerMs: 0,
        acceptanceLingerMs: 0,
        bodyCacheBytes: 8_000_000,
        leaseMs: 600_000,
        renewEveryMs: 60_000,
        sweepEveryMs: 60_000,
        sweepWithoutSignalsMs: 250,
      },
      {
        stores,
        clock,
        chance: Math.random,
        endOfTurn: setImmediate,
        references: this.references,
        channels: CHANNELS.map(({ key }) =>
          channelOf({
            key,
            platform: 'generic',
            echoesReference: 'never',
            policy: { ackTimeoutMs: 3_600_000, minGapMs: 0, roomLimit: { everyMs: 0, burst: 1 } },
          }),
        ),
        platform,
        sharedRates: null,
        signals: null,
        instruments,
        newWorkerId: () => crypto.randomUUID(),
        isPermanent: options.isPermanent ?? (() => false),
        onFailure: (error) => this.failures.push(error),
      },
    );
    const { engine, references } = this;
    const answers = createAnswers({
      engine,
      stores,
      references,
      clock,
      shards,
      platform,
      wallClockMs: () => NOW_MS,
    });
    this.records = new RoomRecords(options.stores, shards);
    this.server = createHttpServer(
      { ...HTTP, ...options.http },
      {
        ...answers,
        readiness: async () => [{ name: 'stores', ok: true, detail: 'serve' }],
        metricsText: async () => ({
          contentType: instruments.metrics.contentType,
          text: await instruments.metrics.render(),
        }),
        wallClockMs: () => NOW_MS,
        log: instruments.log,
        metrics: instruments.metrics,
      },
    );
    this.#letters = new DeadLetterLane({ store: stores.deadLetters, clock, instruments, mayStore: () => true });
    this.#handler = new MessageHandler({
      parse(payload, fallbackId, now) {
        const parsed = parseMessage(payload, MESSAGE_LIMITS, answers.findChannel);
        return 'error' in parsed ? parsed.error : admitted(parsed.ok, { shards, now, source: 'pubsub', fallbackId });
      },
      accept: (message) => engine.intake.accept(message),
      clock,
      instruments,
      letters: this.#letters,
      signal: this.#stopping.signal,
    });
  }

  async start(): Promise<this> {
    process.on('unhandledRejection', this.#onUnhandled);
    await this.engine.service.start();
    await this.server.service.start();
    await eventually('all shards are held', () => this.engine.ownership.shards.size === this.shards);
    return this;
  }

  async stop(): Promise<void> {
    this.#agent.destroy();
    this.#stopping.abort();
    await this.server.service.stop();
    await this.engine.service.stop();
    this.#letters.close();
    process.off('unhandledRejection', this.#onUnhandled);
  }

  /** The adapter's own verifying and reading; its sends never leave the process. */
  #platform(secrets: readonly string[]): PlatformChannel {
    const secret = (text: string) => ({ reveal: () => text });
    const real = createPlatformChannel(
      'generic',
      {
        baseUrl: 'http://127.0.0.1:9',
        accessToken: secret(`${CANARY}-token`),
        webhookSecrets: secrets.map(secret),
        lookup: false,
        maxConcurrentSends: 8,
        sendTimeoutMs: 5_000,
      },
      { wallClockMs: () => NOW_MS, webhookUrl: null },
    );
    return {
      ...real,
      send: async () => {
        this.#openSends++;
        await Promise.resolve();
        this.#openSends--;
        return { kind: 'accepted', platformId: `gw-${++this.#sent}`, platformAt: NOW_MS, duplicate: false };
      },
    };
  }

  /** Resolves when nothing moves: no call to a store is open, and every message that can be sent is sent. */
  async quiet(): Promise<void> {
    for (let calm = 0; calm < 3; ) {
      await new Promise((resolve) => setImmediate(resolve));
      const busy = this.watched.open + this.#openSends + this.#queued + this.engine.intake.outstanding;
      calm = busy === 0 ? calm + 1 : 0;
    }
  }

  async ask({ method, path, headers, body }: Ask): Promise<Answer> {
    const url = new URL(this.server.url);
    const startedAt = performance.now();
    const client = httpRequest({ host: url.hostname, port: url.port, method, path, headers, agent: this.#agent });
    const answered = Promise.withResolvers<Answer>();
    client.once('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', answered.reject);
      response.once('end', () => {
        const text = Buffer.concat(chunks).toString();
        const ms = performance.now() - startedAt;
        answered.resolve({ status: response.statusCode ?? 0, headers: response.headers, text, ms });
      });
    });
    // A server that refuses a body before it has read it closes the connection while the client still writes.
    client.on('error', (error) => answered.reject(error));
    client.end(body ?? undefined);
    try {
      return await answered.promise;
    } finally {
      client.destroy();
    }
  }

  /** Hands a message over as the queue's client does; resolves with how it was answered. */
  async deliver(delivery: Delivery): Promise<'ack' | 'nack'> {
    const answered = Promise.withResolvers<'ack' | 'nack'>();
    this.#queued++;
    this.#handler.handle({
      ...delivery,
      id: String(++this.#deliveries),
      data: Buffer.from(delivery.data),
      publishTime: new Date(),
      ack: () => answered.resolve('ack'),
      nack: () => answered.resolve('nack'),
    } as unknown as Parameters<MessageHandler['handle']>[0]);
    try {
      return await answered.promise;
    } finally {
      this.#queued--;
    }
  }
  #deliveries = 0;
}

/** The headers of a call that is signed as the channel's secret demands. */
export function signed(
  body: string | Uint8Array,
  { secret = SECRETS.main, id = 'call-1', atS = NOW_MS / 1_000 }: { secret?: string; id?: string; atS?: number } = {},
): { 'webhook-id': string; 'webhook-timestamp': string; 'webhook-signature': string } {
  const digest = createHmac('sha256', secret).update(`${id}.${atS}.`).update(body).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': String(atS), 'webhook-signature': `v1,${digest}` };
}

export const bearer = (scope: keyof typeof KEYS) => ({ authorization: `Bearer ${KEYS[scope].key}` });
export const JSON_PUBLISH = { ...bearer('publish'), 'content-type': 'application/json' };

import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { defineService, type Service, type StartScope } from '../../src/engine/service.ts';
import { Broker } from './broker.ts';
import { unavailable } from './errors.ts';
import { type FaultSettings, Faults } from './faults.ts';
import { loadServices } from './proto.ts';
import { seededRandom } from './random.ts';
import { createServices } from './service.ts';
import type { SubscriptionStats } from './subscription.ts';

export interface PubSubServerOptions {
  /** Default 127.0.0.1. */
  host?: string;
  /** Default 0: any free one. */
  port?: number;
  /** Journal of topics, subscriptions and unacked messages; without one, everything ends with the server. */
  file?: string;
  /** Ask the disk before a publish is answered: needed to survive the machine, not the process. Default false. */
  fsync?: boolean;
  /** Seed of the injected chance. Default 1. */
  seed?: number;
  faults?: Partial<FaultSettings>;
  /** Milliseconds since the epoch; default Date.now. */
  now?: () => number;
  /** Smallest ack deadline a stream or subscription may ask for; the service's is the default, 10. */
  minAckDeadlineSeconds?: number;
  /** The journal is rewritten when it is this big and has doubled since; default 64 MiB. */
  rewriteAtBytes?: number;
  /** Hears of errors that are the server's own fault; the default throws them. */
  onError?: (error: unknown) => void;
}

/** What can be seen and done to a running server from outside Pub/Sub's own API. */
export interface PubSubControl {
  faults(): Readonly<FaultSettings>;
  /** Changes the named faults. @throws RangeError */
  setFaults(change: Partial<FaultSettings>): void;
  /** Ends all open streams and waiting pulls with UNAVAILABLE. @returns how many. */
  loseStreams(): number;
  /**
   * Redelivers the last `count` delivered messages of a key, as far as they are still known: while one of the key is
   * unacked, the acked ones after it are. @returns how many. @throws PubSubError NOT_FOUND
   */
  redeliver(subscription: string, orderingKey: string, count: number): number;
  stats(): SubscriptionStats[];
}

/**
 * `start` reads the journal and listens; it fails when the journal is broken or the port is taken. `stop` ends streams
 * with UNAVAILABLE, lets calls finish for up to a second and closes the journal.
 */
export interface PubSubServer extends Service {
  /** @throws Error before `start`. */
  readonly port: number;
  /** host:port, for the client. */
  readonly address: string;
  readonly control: PubSubControl;
}

const TICK_MS = 50;
const GRACE_MS = 1_000;
const MAX_REQUEST_BYTES = 16 * 1024 * 1024;

export function createPubSubServer(options: PubSubServerOptions = {}): PubSubServer {
  return new EmbeddedPubSub(options);
}

class EmbeddedPubSub implements PubSubServer {
  readonly name = 'embedded Pub/Sub';
  readonly control: PubSubControl;
  readonly #options: PubSubServerOptions;
  readonly #service: Service;
  readonly #faults: Faults;
  readonly #timers = new Set<NodeJS.Timeout>();
  #running: { broker: Broker; port: number } | null = null;

  constructor(options: PubSubServerOptions) {
    this.#options = options;
    this.#service = defineService(this.name, (scope) => this.#acquire(scope));
    this.#faults = new Faults(seededRandom(options.seed ?? 1), options.faults);
    this.control = {
      faults: () => this.#faults.settings,
      setFaults: (change) => {
        this.#faults.set(change);
        if (this.#running && this.#faults.settings.refusePulls) this.control.loseStreams();
      },
      loseStreams: () => this.#endStreams('Injected fault: stream lost.'),
      redeliver: (subscription, orderingKey, count) =>
        this.#started.broker.subscription(subscription).redeliverKey(orderingKey, count),
      stats: () => this.#started.broker.stats(),
    };
  }

  start(): Promise<void> {
    return this.#service.start();
  }

  stop(): Promise<void> {
    return this.#service.stop();
  }

  get port(): number {
    return this.#started.port;
  }

  get address(): string {
    return `${this.#options.host ?? '127.0.0.1'}:${this.port}`;
  }

  async #acquire({ onStop }: StartScope): Promise<void> {
    const { file, now = Date.now, host = '127.0.0.1', port = 0 } = this.#options;
    const broker = await Broker.open({
      now,
      faults: this.#faults,
      incarnation: randomBytes(6).toString('hex'),
      soon: (run) => void setImmediate(run),
      after: (run, delayMs) => this.#after(run, delayMs),
      ...(file === undefined ? {} : { file }),
      fsync: this.#options.fsync ?? false,
      minAckDeadlineSeconds: this.#options.minAckDeadlineSeconds ?? 10,
      rewriteAtBytes: this.#options.rewriteAtBytes ?? 64 * 1024 * 1024,
    });
    onStop(() => broker.close());
    const ticker = setInterval(() => broker.tick(), TICK_MS);
    onStop(() => {
      clearInterval(ticker);
      for (const timer of this.#timers) clearTimeout(timer);
    });

    const server = new Server({
      'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
      'grpc.max_send_message_length': -1,
    });
    const definitions = loadServices();
    const services = createServices(broker, this.#faults, this.#options.onError ?? rethrow);
    server.addService(definitions.publisher, services.publisher);
    server.addService(definitions.subscriber, services.subscriber);
    onStop(() => shutDown(server));
    const bind = promisify(server.bindAsync.bind(server));
    this.#running = { broker, port: await bind(`${host}:${port}`, ServerCredentials.createInsecure()) };
    onStop(() => {
      this.#endStreams('The server is shutting down.');
      this.#running = null;
    });
  }

  get #started(): { broker: Broker; port: number } {
    if (!this.#running) throw new Error('The Pub/Sub server is not running.');
    return this.#running;
  }

  #endStreams(reason: string): number {
    let ended = 0;
    for (const subscription of this.#started.broker.subscriptions()) {
      ended += subscription.endConsumers(unavailable(reason));
    }
    return ended;
  }

  #after(run: () => void, delayMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, delayMs);
    this.#timers.add(timer);
  }
}

/** Lets calls finish for a while, then ends them. */
async function shutDown(server: Server): Promise<void> {
  const grace = new AbortController();
  const finished = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  await Promise.race([finished, delay(GRACE_MS, undefined, { signal: grace.signal })]);
  grace.abort();
  server.forceShutdown();
}

function rethrow(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

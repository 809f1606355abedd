import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { v1 } from '@google-cloud/pubsub';
import { credentials } from '@grpc/grpc-js';
import type { FaultSettings } from '../pubsub/faults.ts';
import type { SubscriptionStats } from '../pubsub/subscription.ts';
import { Child } from './child.ts';
import { call } from './http.ts';

export interface PubSubOptions {
  readonly directory: string;
  readonly signal?: AbortSignal;
}

export const PROJECT_ID = 'roomline';
export const TOPIC = 'outbound';
export const SUBSCRIPTION = 'roomline-outbound';
const SUBSCRIPTION_NAME = `projects/${PROJECT_ID}/subscriptions/${SUBSCRIPTION}`;
export const TOPIC_NAME = `projects/${PROJECT_ID}/topics/${TOPIC}`;

interface Addresses {
  readonly address: string;
  readonly control: string;
}

type PublisherClient = InstanceType<typeof v1.PublisherClient>;

const MAIN = fileURLToPath(new URL('../pubsub/main.ts', import.meta.url));
/** gRPC status. */
const ALREADY_EXISTS = 6;

/** The embedded Pub/Sub as a process of its own, with the topic and the ordered subscription that Roomline consumes. */
export class PubSubProcess {
  readonly #options: PubSubOptions;
  #child: Child | null = null;
  #addresses: Addresses = { address: '', control: '' };

  private constructor(options: PubSubOptions) {
    this.#options = options;
  }

  static async start(options: PubSubOptions): Promise<PubSubProcess> {
    const pubsub = new PubSubProcess(options);
    await pubsub.start();
    await createOutbound(pubsub.address);
    return pubsub;
  }

  /** host:port of the gRPC API. */
  get address(): string {
    return this.#addresses.address;
  }

  get child(): Child | null {
    return this.#child;
  }

  readonly topicName = TOPIC_NAME;

  /** Starts it again after `stop` or `kill9`, on the same ports; it still has what was not acknowledged. */
  async start(): Promise<void> {
    const { directory, signal } = this.#options;
    const ports =
      this.address === ''
        ? []
        : ['--port', this.address.split(':')[1] ?? '', '--control-port', new URL(this.#addresses.control).port];
    const [child, addresses] = await Child.start<Addresses>({
      name: 'pubsub',
      directory,
      command: [MAIN, '--data', join(directory, 'pubsub.journal'), ...ports],
      ready: (line) => (line.startsWith('{"event":"listening"') ? (JSON.parse(line) as Addresses) : null),
      ...(signal === undefined ? {} : { signal }),
    });
    this.#child = child;
    this.#addresses = addresses;
  }

  async stop(): Promise<void> {
    await this.#child?.stop();
  }

  async kill9(): Promise<void> {
    await this.#child?.kill9();
  }

  /** A client for publishing; to be closed by who asked for it. */
  connect(): PublisherClient {
    return connectPublisher(this.address);
  }

  /** A subscription that holds nothing, in place of the one that there is. */
  async emptySubscription(): Promise<void> {
    const subscriber = new v1.SubscriberClient(clientOptions(this.address));
    try {
      await subscriber.deleteSubscription({ subscription: SUBSCRIPTION_NAME });
    } finally {
      await subscriber.close();
    }
    await createOutbound(this.address);
  }

  /** Messages that Roomline has not acknowledged. */
  async backlog(): Promise<number> {
    const { subscriptions } = await this.stats();
    return subscriptions.reduce((sum, { backlog }) => sum + backlog, 0);
  }

  stats(): Promise<{ cpuMs: number; subscriptions: SubscriptionStats[] }> {
    return call('GET', `${this.#addresses.control}/stats`);
  }

  async setFaults(change: Partial<FaultSettings>): Promise<void> {
    await call('PATCH', `${this.#addresses.control}/faults`, change);
  }

  /** Ends every open stream, as the service does now and then. */
  async loseStreams(): Promise<void> {
    await call('POST', `${this.#addresses.control}/streams/lose`, {});
  }

  /** Repeats the last messages of a room, as the service may. Resolves with how many there were. */
  async redeliver(room: string, count: number): Promise<number> {
    const body = { subscription: SUBSCRIPTION_NAME, orderingKey: room, count };
    return (await call<{ messages: number }>('POST', `${this.#addresses.control}/redeliver`, body)).messages;
  }
}

/** A client for publishing to the server at this address; to be closed by who asked for it. */
export function connectPublisher(address: string): PublisherClient {
  return new v1.PublisherClient(clientOptions(address));
}

/** Makes the topic and the ordered subscription that Roomline consumes, where they are not there yet. */
export async function createOutbound(address: string): Promise<void> {
  const publisher = connectPublisher(address);
  const subscriber = new v1.SubscriberClient(clientOptions(address));
  const name = SUBSCRIPTION_NAME;
  try {
    await publisher.createTopic({ name: TOPIC_NAME }).catch(ignoreExisting);
    await subscriber.createSubscription({ name, topic: TOPIC_NAME, enableMessageOrdering: true }).catch(ignoreExisting);
  } finally {
    await Promise.all([publisher.close(), subscriber.close()]);
  }
}

function clientOptions(address: string) {
  const [servicePath = '', port = ''] = address.split(':');
  return {
    projectId: PROJECT_ID,
    servicePath,
    port: Number(port),
    sslCreds: credentials.createInsecure(),
    // Without it the client asks a metadata server where it is.
    universeDomain: 'googleapis.com',
    'grpc.initial_reconnect_backoff_ms': 50,
    'grpc.max_reconnect_backoff_ms': 1_000,
  };
}

function ignoreExisting(error: unknown): void {
  if ((error as { code?: unknown }).code !== ALREADY_EXISTS) throw error;
}

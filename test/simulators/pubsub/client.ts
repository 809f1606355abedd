import { randomUUID } from 'node:crypto';
import { Duration, type Message, PubSub, type Subscription, type Topic, v1 } from '@google-cloud/pubsub';
import { credentials } from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';

const PROJECT = 'contract';
const RECONNECT = { 'grpc.initial_reconnect_backoff_ms': 50, 'grpc.max_reconnect_backoff_ms': 200 };

/** The official client, its generated clients, and a topic of the test's own; all closed when the test ends. */
export interface Fixture {
  pubsub: PubSub;
  publisher: InstanceType<typeof v1.PublisherClient>;
  subscriber: InstanceType<typeof v1.SubscriberClient>;
  topic: Topic;
  /** Creates a subscription on the topic and returns its full name. */
  subscribe(options?: { ordered?: boolean; deadLetterTopic?: string }): Promise<string>;
  /** Publishes [key, text] pairs, mixed keys in one request, and returns the ids. */
  publish(messages: ReadonlyArray<readonly [key: string, text: string]>): Promise<string[]>;
  /** Opens a streaming consumer. */
  consume(subscriptionName: string, options?: ConsumeOptions): Collector;
}

export interface ConsumeOptions {
  /** What to do with each message; default: ack. */
  handle?: (message: Message, index: number) => void;
  maxMessages?: number;
}

/** The client as it is made for a server at this address: no credentials, and nothing else is contacted. */
export function connect(address: string): Pick<Fixture, 'pubsub' | 'publisher' | 'subscriber'> {
  const [servicePath = '', port = ''] = address.split(':');
  const options = { projectId: PROJECT, universeDomain: 'googleapis.com', ...RECONNECT };
  const generated = { ...options, servicePath, port: Number(port), sslCreds: credentials.createInsecure() };
  const clients = {
    pubsub: new PubSub({ ...options, apiEndpoint: address, emulatorMode: true }),
    publisher: new v1.PublisherClient(generated),
    subscriber: new v1.SubscriberClient(generated),
  };
  onTestFinished(async () => {
    await Promise.all([clients.pubsub.close(), clients.publisher.close(), clients.subscriber.close()]);
  });
  return clients;
}

export async function setup(address: string): Promise<Fixture> {
  const clients = connect(address);
  const { pubsub, publisher, subscriber } = clients;
  const [topic] = await pubsub.createTopic(`topic-${randomUUID()}`);
  return {
    ...clients,
    topic,
    async subscribe({ ordered = true, deadLetterTopic } = {}) {
      const [created] = await subscriber.createSubscription({
        name: `projects/${PROJECT}/subscriptions/subscription-${randomUUID()}`,
        topic: topic.name,
        enableMessageOrdering: ordered,
        ...(deadLetterTopic ? { deadLetterPolicy: { deadLetterTopic, maxDeliveryAttempts: 5 } } : {}),
      });
      return created.name ?? '';
    },
    async publish(messages) {
      const [{ messageIds }] = await publisher.publish({
        topic: topic.name,
        messages: messages.map(([orderingKey, text]) => ({ orderingKey, data: Buffer.from(text) })),
      });
      return messageIds ?? [];
    },
    consume: (subscriptionName, options) => new Collector(pubsub, subscriptionName, options),
  };
}

/** A streaming consumer that keeps what it received and can be waited for. */
export class Collector {
  readonly received: Message[] = [];
  readonly subscription: Subscription;
  readonly #waiting = new Set<() => void>();
  #error: Error | null = null;

  constructor(pubsub: PubSub, name: string, { handle = (message) => message.ack(), maxMessages }: ConsumeOptions = {}) {
    this.subscription = pubsub.subscription(name, {
      batching: { maxMilliseconds: 5 },
      // Without it, closing tries for an hour to give messages back to a server that is gone.
      closeOptions: { timeout: Duration.from({ seconds: 2 }) },
      streamingOptions: {
        maxStreams: 1,
        retryMinBackoff: Duration.from({ milliseconds: 20 }),
        retryMaxBackoff: Duration.from({ milliseconds: 100 }),
      },
      ...(maxMessages === undefined ? {} : { flowControl: { maxMessages, allowExcessMessages: false } }),
    });
    this.subscription.on('message', (message: Message) => {
      this.received.push(message);
      handle(message, this.received.length - 1);
      this.#notify();
    });
    this.subscription.on('error', (error: Error) => {
      this.#error = error;
      this.#notify();
    });
    onTestFinished(() => this.close());
  }

  /** The texts received so far, of one key if given. */
  texts(key?: string): string[] {
    return this.received
      .filter(({ orderingKey }) => key === undefined || orderingKey === key)
      .map(({ data }) => data.toString());
  }

  /** Waits until the condition holds; it is looked at after each message. Fails with the stream's error. */
  async until(condition: () => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        if (this.#error) reject(this.#error);
        else if (condition()) resolve();
        else return;
        this.#waiting.delete(look);
      };
      this.#waiting.add(look);
      look();
    });
  }

  count(messages: number): Promise<void> {
    return this.until(() => this.received.length >= messages);
  }

  /** Gives back what was not acked. */
  close(): Promise<void> {
    return this.subscription.close();
  }

  #notify(): void {
    for (const look of [...this.#waiting]) look();
  }
}

/** The bodies of pulled messages. */
export const texts = (messages: ReadonlyArray<{ message?: { data?: unknown } | null }> | null | undefined): string[] =>
  (messages ?? []).map(({ message }) => String(message?.data));

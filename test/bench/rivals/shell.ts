/**
 * What every rival shares, so that only its queue differs: messages from Pub/Sub, acknowledged once they are stored; one
 * HTTP request each to the platform; webhooks, whose signature is checked; and the wait for the ack.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Duration, type Message, PubSub } from '@google-cloud/pubsub';
import fastify from 'fastify';
import { Pool } from 'undici';
import { createVerifier } from '../../../src/platforms/standard-webhooks.ts';
import type { ContestantConfig } from '../contestant.ts';

/** What a job carries. */
export type Outbound = {
  readonly room: string;
  /** Ours, the same for every copy. */
  readonly reference: string;
  /** JSON as text: `jsonb` would change the order of its fields. */
  readonly content: string;
};

export interface Platform {
  /** Resolves when it has accepted the message. @throws Error where it does not */
  send(message: Outbound): Promise<void>;
  /** Sends it and waits for its ack, or until the ack timeout. @throws as `send` does */
  deliver(message: Outbound): Promise<void>;
}

export interface Rival {
  /** Resolves when the messages, in this order, are stored. */
  store(messages: readonly Outbound[]): Promise<void>;
  close(): Promise<void>;
}

interface Published {
  readonly room: string;
  readonly content: object;
}

/** Messages of one call of `store`. */
const MOST_STORED_AT_ONCE = 500;

export interface Surroundings extends ContestantConfig {
  readonly platform: Platform;
  /** Jobs in hand at once: one from before it is sent until its ack has come. */
  readonly slots: number;
  /** Which form of the rival, where there are several. */
  readonly form: string | undefined;
}

export async function runRival(start: (surroundings: Surroundings) => Promise<Rival>): Promise<void> {
  const [configFile = '', slots, form] = process.argv.slice(2);
  const config = JSON.parse(readFileSync(configFile, 'utf8')) as ContestantConfig;
  const { ackTimeoutMs, platformUrl, maxConcurrentSends, accessToken, webhookSecret } = config;

  const pool = new Pool(platformUrl, { connections: maxConcurrentSends, pipelining: 1 });
  const unacked = new Map<string, () => void>();
  const authorization = `Bearer ${accessToken}`;

  const platform: Platform = {
    async send({ room, reference, content }) {
      const { statusCode, body } = await pool.request({
        method: 'POST',
        path: '/v1/messages',
        headers: {
          authorization,
          'content-type': 'application/json',
          'idempotency-key': reference,
          'roomline-attempt': '1',
          'roomline-worker': 'rival',
          'roomline-generation': '1',
        },
        body: `{"reference":"${reference}","to":${JSON.stringify(room)},"content":${content}}`,
      });
      await body.dump();
      if (statusCode !== 200) throw new Error(`the platform answered ${statusCode}`);
    },

    async deliver(message) {
      // It can come before the answer.
      const ack = Promise.withResolvers<void>();
      unacked.set(message.reference, ack.resolve);
      let timer: NodeJS.Timeout | undefined;
      try {
        await platform.send(message);
        timer = setTimeout(ack.resolve, ackTimeoutMs);
        await ack.promise;
      } finally {
        clearTimeout(timer);
        unacked.delete(message.reference);
      }
    },
  };

  const rival = await start({ ...config, platform, slots: Number(slots), form });

  const verify = createVerifier([webhookSecret]);
  const app = fastify();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.post('/webhooks', async (request, reply) => {
    const raw = request.body as Buffer;
    if (verify(request.headers, raw, Date.now()).kind !== 'verified') return reply.code(401).send();
    const { statuses } = JSON.parse(raw.toString()) as { statuses: { reference: string; status: string }[] };
    for (const { reference, status } of statuses) if (status === 'delivered') unacked.get(reference)?.();
    return { received: statuses.length };
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });

  const { client, subscription } = subscribe(config, (messages) => rival.store(messages));

  process.once('SIGTERM', async () => {
    await subscription.close();
    await client.close();
    await rival.close();
    await Promise.all([app.close(), pool.destroy()]);
  });
  process.stdout.write(`${JSON.stringify({ url: `${url}/webhooks` })}\n`);
}

/** Stores what has come in batches, one after the other, so that the order of each room is kept. */
function subscribe(config: ContestantConfig, store: (messages: readonly Outbound[]) => Promise<void>) {
  const client = new PubSub({
    projectId: config.projectId,
    apiEndpoint: config.pubsubEndpoint,
    emulatorMode: true,
    universeDomain: 'googleapis.com',
  });
  const subscription = client.subscription(config.subscription, {
    flowControl: { maxMessages: config.maxOutstandingMessages, allowExcessMessages: false },
    streamingOptions: { maxStreams: 1 },
    batching: { maxMilliseconds: 10 },
    closeOptions: { timeout: Duration.from({ seconds: 0 }) },
  });
  const unique = randomBytes(6).toString('hex');
  const waiting: Message[] = [];
  let received = 0;
  let storing = false;

  async function storeAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, MOST_STORED_AT_ONCE);
      await store(
        batch.map((message) => {
          const { room, content } = JSON.parse(message.data.toString()) as Published;
          return { room, reference: `${unique}-${++received}`, content: JSON.stringify(content) };
        }),
      );
      for (const message of batch) message.ack();
    }
    storing = false;
  }

  // A step that fails ends the process by its unhandled rejection: what it leaves is no figure.
  subscription.on('message', (message: Message) => {
    waiting.push(message);
    if (storing) return;
    storing = true;
    setImmediate(() => void storeAll());
  });
  return { client, subscription };
}

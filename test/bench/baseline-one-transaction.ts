/**
 * What Roomline is compared with: the straightforward engine, one transaction for each step. A message is inserted when
 * it comes from Pub/Sub, claimed before it is sent, marked as accepted with the platform's answer, and settled when its
 * ack comes: four statements in four transactions, over a pool of connections. It keeps the same order, one message of a
 * room in flight, acknowledges and answers 200 after the commit, and checks signatures. It does less: no ack timeout, no
 * retry, no recovery, no dedupe beyond a unique key, no fence, no history.
 *
 * `node test/bench/baseline-one-transaction.ts CONFIG.json` prints one line, `{"url": …}`, when it is ready.
 */
import { readFileSync } from 'node:fs';
import { Duration, type Message, PubSub } from '@google-cloud/pubsub';
import fastify from 'fastify';
import pg from 'pg';
import { Pool } from 'undici';
import { createVerifier } from '../../src/platforms/standard-webhooks.ts';
import type { ContestantConfig } from './contestant.ts';

const CONNECTIONS = 32;
const SCHEMA = `
  CREATE TABLE messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room text NOT NULL,
    message_id text NOT NULL,
    body text NOT NULL,
    state text NOT NULL DEFAULT 'waiting',
    attempt integer NOT NULL DEFAULT 0,
    platform_id text,
    settled_at timestamptz,
    UNIQUE (room, message_id)
  )`;
const STEPS = {
  insert: {
    name: 'insert',
    text: 'INSERT INTO messages (room, message_id, body) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id',
  },
  claim: {
    name: 'claim',
    text: `UPDATE messages SET state = 'sending', attempt = attempt + 1 WHERE id = $1 AND state = 'waiting'`,
  },
  accept: {
    name: 'accept',
    text: `UPDATE messages SET state = 'accepted', platform_id = $2 WHERE id = $1 AND state = 'sending'`,
  },
  settle: {
    name: 'settle',
    text: `UPDATE messages SET state = 'settled', settled_at = now() WHERE id = $1 AND state <> 'settled'`,
  },
} as const;

interface Published {
  readonly room: string;
  readonly messageId: string;
  readonly content: unknown;
}

interface Waiting {
  readonly id: string;
  readonly room: Room;
  readonly content: unknown;
}

interface Room {
  readonly name: string;
  readonly queue: Waiting[];
  inFlight: Waiting | null;
  /** Inserts of one room follow each other. */
  inserted: Promise<void>;
}

const [configFile] = process.argv.slice(2);
if (configFile === undefined) throw new Error('usage: node test/bench/baseline-one-transaction.ts CONFIG.json');
await run(JSON.parse(readFileSync(configFile, 'utf8')) as ContestantConfig);

async function run(config: ContestantConfig): Promise<void> {
  const database = new pg.Pool({ connectionString: config.postgresUrl, max: CONNECTIONS });
  await database.query(SCHEMA);
  const platform = new Pool(config.platformUrl, { connections: config.maxConcurrentSends, pipelining: 1 });
  const rooms = new Map<string, Room>();
  const unsettled = new Map<string, Waiting>();

  async function receive(message: Message): Promise<void> {
    const { room: name, messageId, content } = JSON.parse(message.data.toString()) as Published;
    let room = rooms.get(name);
    if (room === undefined) {
      room = { name, queue: [], inFlight: null, inserted: Promise.resolve() };
      rooms.set(name, room);
    }
    const { rows } = await inTurn(room, () =>
      database.query<{ id: string }>({ ...STEPS.insert, values: [name, messageId, JSON.stringify(content)] }),
    );
    message.ack();
    const [row] = rows;
    if (row === undefined) return;
    room.queue.push({ id: row.id, room, content });
    if (room.inFlight === null) await sendNext(room);
  }

  async function sendNext(room: Room): Promise<void> {
    const next = room.queue.shift() ?? null;
    room.inFlight = next;
    if (next === null) return;
    const { id, content } = next;
    unsettled.set(id, next);
    await database.query({ ...STEPS.claim, values: [id] });
    const { statusCode, body } = await platform.request({
      method: 'POST',
      path: '/v1/messages',
      headers: {
        authorization: `Bearer ${config.accessToken}`,
        'content-type': 'application/json',
        'idempotency-key': id,
        'roomline-attempt': '1',
        'roomline-worker': 'baseline',
        'roomline-generation': '1',
      },
      body: JSON.stringify({ reference: id, to: room.name, content }),
    });
    const answer = (await body.json()) as { id: string };
    if (statusCode !== 200) throw new Error(`the platform answered ${statusCode}`);
    await database.query({ ...STEPS.accept, values: [id, answer.id] });
  }

  async function settle(reference: string): Promise<void> {
    const message = unsettled.get(reference);
    if (message === undefined) return;
    unsettled.delete(reference);
    await database.query({ ...STEPS.settle, values: [reference] });
    void sendNext(message.room);
  }

  const verify = createVerifier([config.webhookSecret]);
  const app = fastify();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.post('/webhooks', async (request, reply) => {
    const raw = request.body as Buffer;
    if (verify(request.headers, raw, Date.now()).kind !== 'verified') return reply.code(401).send();
    const { statuses } = JSON.parse(raw.toString()) as { statuses: { reference: string; status: string }[] };
    const acks = statuses.filter(({ status }) => status === 'delivered');
    await Promise.all(acks.map(({ reference }) => settle(reference)));
    return { received: statuses.length };
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });

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
  // A step that fails ends the process by its unhandled rejection: what it leaves is no figure.
  subscription.on('message', (message: Message) => void receive(message));

  process.once('SIGTERM', async () => {
    await subscription.close();
    await Promise.all([client.close(), app.close(), platform.destroy()]);
    await database.end();
  });
  process.stdout.write(`${JSON.stringify({ url: `${url}/webhooks` })}\n`);
}

function inTurn<T>(room: Room, step: () => Promise<T>): Promise<T> {
  const done = room.inserted.then(step);
  room.inserted = done.then(() => undefined);
  return done;
}

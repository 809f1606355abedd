import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duration, PubSub, v1 } from '@google-cloud/pubsub';
import { credentials } from '@grpc/grpc-js';
import { Command } from 'commander';
import { spawnPubSub } from './spawn.ts';

/** Prints how many messages per second the embedded server takes and gives, and the CPU time it spends on each. */

const number = (text: string): number => Number.parseInt(text, 10);
const options = new Command('bench')
  .option('--messages <n>', 'messages to publish', number, 100_000)
  .option('--keys <n>', 'ordering keys', number, 5_000)
  .option('--bytes <n>', 'bytes of data in a message', number, 300)
  .option('--memory', 'without a journal', false)
  .parse()
  .opts<{ messages: number; keys: number; bytes: number; memory: boolean }>();

const PROJECT = 'bench';
const PER_PUBLISH = 1_000;
const PUBLISHES_IN_FLIGHT = 4;

const folder = await mkdtemp(join(tmpdir(), 'roomline-pubsub-bench-'));
const server = await spawnPubSub(options.memory ? [] : ['--data', join(folder, 'pubsub.journal')]);
const [host = '', port = ''] = server.address.split(':');
const pubsub = new PubSub({
  projectId: PROJECT,
  apiEndpoint: server.address,
  emulatorMode: true,
  universeDomain: 'googleapis.com',
});
const publisher = new v1.PublisherClient({
  projectId: PROJECT,
  servicePath: host,
  port: Number(port),
  sslCreds: credentials.createInsecure(),
  universeDomain: 'googleapis.com',
});

const [topic] = await pubsub.createTopic('bench');
await pubsub.createSubscription(topic, 'bench', { enableMessageOrdering: true });
await measured('publish', () => publishAll(topic.name));
await measured('drain', drainAll);

await publisher.close();
await pubsub.close();
await server.stop();
await rm(folder, { recursive: true });

async function publishAll(topicName: string): Promise<void> {
  const data = Buffer.alloc(options.bytes, 'x');
  let next = 0;
  const publishInTurn = async (): Promise<void> => {
    while (next < options.messages) {
      const length = Math.min(PER_PUBLISH, options.messages - next);
      const messages = Array.from({ length }, (_, at) => ({ data, orderingKey: `room-${(next + at) % options.keys}` }));
      next += length;
      await publisher.publish({ topic: topicName, messages });
    }
  };
  await Promise.all(Array.from({ length: PUBLISHES_IN_FLIGHT }, publishInTurn));
}

async function drainAll(): Promise<void> {
  const subscription = pubsub.subscription('bench', {
    flowControl: { maxMessages: 10_000 },
    batching: { maxMilliseconds: 10 },
    streamingOptions: { maxStreams: 1 },
    closeOptions: { behavior: 'WAIT', timeout: Duration.from({ seconds: 5 }) },
  });
  let left = options.messages;
  await new Promise<void>((resolve, reject) => {
    subscription.on('error', reject);
    subscription.on('message', (message) => {
      message.ack();
      if (--left === 0) resolve();
    });
  });
  await subscription.close();
}

async function measured(name: string, act: () => Promise<void>): Promise<void> {
  const cpuBefore = (await server.stats()).cpuMs;
  const started = performance.now();
  await act();
  const seconds = (performance.now() - started) / 1_000;
  const cpuMs = (await server.stats()).cpuMs - cpuBefore;
  const rate = Math.round(options.messages / seconds);
  console.log(
    `${name}: ${rate} messages/s, ${((cpuMs * 1_000) / options.messages).toFixed(1)} µs of server CPU a message`,
  );
}

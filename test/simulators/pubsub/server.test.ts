import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createPubSubServer, type PubSubServer, type PubSubServerOptions } from '../../../simulators/pubsub/server.ts';
import { eventually } from '../../support/events.ts';
import { stressService } from '../../support/stress.ts';
import { setup, texts } from './client.ts';

async function startServer(options: PubSubServerOptions = {}): Promise<PubSubServer> {
  const server = createPubSubServer(options);
  await server.start();
  onTestFinished(() => server.stop());
  return server;
}

async function newFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'roomline-pubsub-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, 'pubsub.journal');
}

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, at) => `${from + at}`);
const rooms = (from: number, to: number): Array<[string, string]> =>
  numbers(from, to).flatMap((text) => ['a', 'b', 'c'].map((key) => [key, text] as [string, string]));

/** Each text where it came first. */
const firsts = (data: string[]): string[] => [...new Set(data)];

describe('the embedded server', () => {
  it('keeps the contract of services', async () => {
    await stressService(() => createPubSubServer());
  });

  it('goes on where it was after a restart, and the client finds it again by itself', async () => {
    const file = await newFile();
    const first = await startServer({ file });
    const { topic, subscribe, publish, consume } = await setup(first.address);
    const subscription = await subscribe();
    const collector = consume(subscription, {
      handle: (message) => {
        if (message.data.toString() === '1') message.ack();
      },
    });
    await publish(rooms(1, 4));
    await collector.count(12);
    await eventually('the acks have arrived', () => first.control.stats()[0]?.acked === 3);
    const { port } = first;
    await first.stop();

    const duringOutage = topic.publishMessage({ data: Buffer.from('5'), orderingKey: 'a' });
    const second = await startServer({ file, port });
    await duringOutage;
    await collector.until(() => collector.texts('a').includes('5'));
    expect(second.control.stats()).toMatchObject([{ backlog: 10, delivered: 10 }]);
    expect(collector.texts('a').slice(-4)).toEqual(['2', '3', '4', '5']);
    await collector.close();
  });

  it('refuses a port that is taken, and leaves nothing behind', async () => {
    const { port } = await startServer();
    const second = createPubSubServer({ port });
    await expect(second.start()).rejects.toThrow();
    await second.stop();
  });

  it('answers UNIMPLEMENTED to what it does not do', async () => {
    const { address } = await startServer();
    const { pubsub, topic, subscriber, subscribe } = await setup(address);
    const unimplemented = { code: status.UNIMPLEMENTED };
    const subscription = await subscribe();
    await expect(subscriber.seek({ subscription, time: { seconds: 1 } })).rejects.toMatchObject(unimplemented);
    const options = [
      { enableExactlyOnceDelivery: true },
      { filter: 'attributes.a = "1"' },
      { pushConfig: { pushEndpoint: 'https://localhost/' } },
    ];
    for (const option of options) {
      await expect(pubsub.createSubscription(topic, 'other', option)).rejects.toMatchObject(unimplemented);
    }
  });

  it('moves a message that failed too often to the dead letter topic', async () => {
    const { address } = await startServer();
    const main = await setup(address);
    const dead = await setup(address);
    const graveyard = await dead.subscribe();
    const subscription = await main.subscribe({ deadLetterTopic: dead.topic.name });
    await main.publish([['k', 'bad']]);
    const attempts: number[] = [];
    main.consume(subscription, {
      handle: (message) => {
        attempts.push(message.deliveryAttempt);
        message.nack();
      },
    });
    const collector = dead.consume(graveyard);
    await collector.count(1);
    expect(attempts).toEqual([1, 2, 3, 4, 5]);
    expect(collector.received[0]?.attributes).toEqual({ CloudPubSubDeadLetterSourceSubscription: subscription });
    expect(collector.texts()).toEqual(['bad']);
  });

  it('answers a sign of life, and sends no more than the stream allows', async () => {
    const { address } = await startServer();
    const { subscriber, subscribe, publish } = await setup(address);
    const subscription = await subscribe();
    await publish(rooms(1, 2));
    const stream = subscriber.streamingPull();
    onTestFinished(() => {
      stream.on('error', () => {}); // its own cancellation
      stream.cancel();
    });
    const acks: string[] = [];
    const answers: string[][] = [];
    let answered: (() => void) | null = null;
    stream.on('data', ({ receivedMessages, subscriptionProperties }) => {
      if (subscriptionProperties) return;
      acks.push(...receivedMessages.map(({ ackId }: { ackId: string }) => ackId));
      answers.push(texts(receivedMessages));
      answered?.();
    });
    /** The answer to an empty request stands behind everything that was sent before it. */
    const signOfLife = async (request: object): Promise<void> => {
      const seen = answers.length;
      await new Promise<void>((resolve) => {
        answered = () => {
          if (answers.slice(seen).some((messages) => messages.length === 0)) resolve();
        };
        stream.write(request);
      });
    };
    const opening = {
      subscription,
      streamAckDeadlineSeconds: 10,
      maxOutstandingMessages: 4,
      protocolVersion: 1,
    };
    const first = new Promise<void>((resolve) => {
      answered = resolve;
    });
    stream.write(opening);
    await first;
    await signOfLife({});
    expect(answers.flat()).toHaveLength(4);
    await signOfLife({ ackIds: acks.slice(0, 1) });
    await signOfLife({});
    expect(answers.flat()).toHaveLength(5);
  });

  it('aborts a stream that asks for an ack deadline out of bounds', async () => {
    const { address } = await startServer();
    const { subscriber, subscribe } = await setup(address);
    const stream = subscriber.streamingPull();
    const failed = new Promise((resolve) => stream.on('error', resolve));
    stream.write({ subscription: await subscribe(), streamAckDeadlineSeconds: 5 });
    expect(await failed).toMatchObject({ code: status.INVALID_ARGUMENT });
  });
});

describe('injected faults', () => {
  it('lose streams: the client comes back and nothing is lost or out of order', async () => {
    const server = await startServer({ faults: { redeliverOnStreamEnd: true } });
    const { subscribe, publish, consume } = await setup(server.address);
    const collector = consume(await subscribe());
    await publish(rooms(1, 20));
    await collector.count(1);
    expect(server.control.loseStreams()).toBe(1);
    await publish(rooms(21, 40));
    await collector.until(() => new Set(collector.received.map(({ id }) => id)).size === 120);
    for (const key of ['a', 'b', 'c']) expect(firsts(collector.texts(key))).toEqual(numbers(1, 40));
  });

  it('lose streams by chance, with duplicates and delays besides', async () => {
    const server = await startServer({
      seed: 7,
      faults: {
        redeliverOnStreamEnd: true,
        streamLossProbability: 0.2,
        duplicateProbability: 0.1,
        deliveryDelayMaxMs: 5,
      },
    });
    const { subscribe, publish, consume } = await setup(server.address);
    const collector = consume(await subscribe());
    for (let from = 1; from <= 96; from += 5) await publish(rooms(from, from + 4));
    await collector.until(() => new Set(collector.received.map(({ id }) => id)).size === 300);
    for (const key of ['a', 'b', 'c']) expect(firsts(collector.texts(key))).toEqual(numbers(1, 100));
    expect(server.control.stats()[0]?.redelivered).toBeGreaterThan(0);
  });

  it('repeat a part of a key on demand', async () => {
    const server = await startServer();
    const { subscribe, publish, consume } = await setup(server.address);
    const subscription = await subscribe();
    await publish(rooms(1, 5));
    const collector = consume(subscription, { handle: () => {} });
    await collector.count(15);
    expect(server.control.redeliver(subscription, 'b', 3)).toBe(3);
    await collector.count(18);
    expect(collector.received.slice(15).map(({ orderingKey, data }) => `${orderingKey}${data}`)).toEqual([
      'b3',
      'b4',
      'b5',
    ]);
  });

  it('refuse publishes: nothing is stored', async () => {
    const server = await startServer({ faults: { publishRefusalProbability: 1 } });
    const { publisher, topic, subscribe } = await setup(server.address);
    await subscribe();
    const request = { topic: topic.name, messages: [{ data: Buffer.from('x') }] };
    await expect(publisher.publish(request, { retry: null })).rejects.toMatchObject({ code: status.UNAVAILABLE });
    expect(server.control.stats()[0]?.backlog).toBe(0);
    const retried = publisher.publish(request);
    server.control.setFaults({ publishRefusalProbability: 0 });
    await retried;
    expect(server.control.stats()[0]?.backlog).toBe(1);
  });

  it('lose the answer to a publish: it is stored all the same', async () => {
    const server = await startServer({ faults: { publishAnswerLossProbability: 1 } });
    const { publisher, topic, subscribe } = await setup(server.address);
    await subscribe();
    const request = { topic: topic.name, messages: [{ data: Buffer.from('x') }] };
    await expect(publisher.publish(request, { retry: null })).rejects.toMatchObject({ code: status.UNAVAILABLE });
    expect(server.control.stats()[0]?.backlog).toBe(1);
  });

  it('refuse pulls until they are taken back', async () => {
    const server = await startServer();
    const { subscribe, publish, consume, subscriber } = await setup(server.address);
    const subscription = await subscribe();
    const collector = consume(subscription);
    await publish(rooms(1, 1));
    await collector.count(3);
    server.control.setFaults({ refusePulls: true });
    expect(server.control.stats()[0]?.streams).toBe(0);
    const pull = subscriber.pull({ subscription, maxMessages: 1 }, { retry: null });
    await expect(pull).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await publish(rooms(2, 2));
    expect(collector.received).toHaveLength(3);
    server.control.setFaults({ refusePulls: false });
    await collector.count(6);
    expect(collector.texts('a')).toEqual(['1', '2']);
  });
});

import { randomUUID } from 'node:crypto';
import type { Message } from '@google-cloud/pubsub';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPubSubServer } from '../../../simulators/pubsub/server.ts';
import { findPubSubEmulator, isPubSubEmulatorRequired, startPubSubEmulator } from '../../support/pubsub-emulator.ts';
import { type Fixture, setup, texts } from './client.ts';

/** What every Pub/Sub server that Roomline is run against must do, asked through the official client. */
interface Implementation {
  name: string;
  /**
   * The service documents that a redelivered message brings the later ones of its key along, acked or not. The
   * official emulator redelivers a nacked message alone: known, and tolerated here.
   */
  redeliversLaterMessages: boolean;
  start(): Promise<{ address: string; stop: () => Promise<void> }>;
}

const implementations: Implementation[] = [
  {
    name: 'the embedded server',
    redeliversLaterMessages: true,
    async start() {
      const server = createPubSubServer();
      await server.start();
      return { address: server.address, stop: () => server.stop() };
    },
  },
];

const emulator = findPubSubEmulator();
if ('jar' in emulator || isPubSubEmulatorRequired()) {
  implementations.push({
    name: "Google's emulator",
    redeliversLaterMessages: false,
    start() {
      if ('missing' in emulator)
        throw new Error(`Google's Pub/Sub emulator is required here, but ${emulator.missing}.`);
      return startPubSubEmulator(emulator.jar);
    },
  });
} else {
  console.log(`Pub/Sub contract: not run against Google's emulator, because ${emulator.missing}.`);
}

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, at) => `${from + at}`);
const onKey = (key: string, data: string[]): Array<[string, string]> => data.map((text) => [key, text]);

describe.each(implementations)('Pub/Sub contract: $name', ({ start, redeliversLaterMessages }) => {
  let server: Awaited<ReturnType<Implementation['start']>>;
  beforeAll(async () => {
    server = await start();
  }, 40_000);
  afterAll(() => server?.stop());

  const begin = (): Promise<Fixture> => setup(server.address);

  describe('topics and subscriptions', () => {
    it('exist from creation to deletion', async () => {
      const { pubsub, topic, subscribe } = await begin();
      expect(await topic.exists()).toEqual([true]);
      const subscription = pubsub.subscription(await subscribe());
      expect(await subscription.exists()).toEqual([true]);
      const [metadata] = await subscription.getMetadata();
      expect(metadata).toMatchObject({ topic: topic.name, enableMessageOrdering: true, ackDeadlineSeconds: 10 });

      await subscription.delete();
      await topic.delete();
      expect(await subscription.exists()).toEqual([false]);
      expect(await topic.exists()).toEqual([false]);
    });

    it('are listed', async () => {
      const { pubsub, topic } = await begin();
      const [topics] = await pubsub.getTopics();
      expect(topics.map(({ name }) => name)).toContain(topic.name);
    });

    it('cannot be created twice', async () => {
      const { pubsub, topic, subscribe } = await begin();
      const subscription = await subscribe();
      await expect(pubsub.createTopic(topic.name)).rejects.toMatchObject({ code: status.ALREADY_EXISTS });
      await expect(pubsub.createSubscription(topic, subscription)).rejects.toMatchObject({
        code: status.ALREADY_EXISTS,
      });
    });

    it('have names of the documented form', async () => {
      const { pubsub } = await begin();
      for (const name of ['ab', 'google-x', 'has blank', '1st']) {
        await expect(pubsub.createTopic(name)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
      }
    });

    it('are NOT_FOUND when they do not exist', async () => {
      const { pubsub, topic, subscriber } = await begin();
      const missing = pubsub.topic(`missing-${randomUUID()}`);
      const name = `${topic.name.replace('topics', 'subscriptions')}-missing`;
      const notFound = { code: status.NOT_FOUND };
      await expect(missing.getMetadata()).rejects.toMatchObject(notFound);
      await expect(missing.publishMessage({ data: Buffer.from('x') })).rejects.toMatchObject(notFound);
      await expect(missing.createSubscription('any')).rejects.toMatchObject(notFound);
      await expect(subscriber.pull({ subscription: name, maxMessages: 1 })).rejects.toMatchObject(notFound);
      await expect(subscriber.acknowledge({ subscription: name, ackIds: ['a'] })).rejects.toMatchObject(notFound);
    });

    it('end a stream on a missing subscription with NOT_FOUND', async () => {
      const { consume } = await begin();
      await expect(consume(`missing-${randomUUID()}`).count(1)).rejects.toMatchObject({ code: status.NOT_FOUND });
    });

    it('keep a subscription when its topic is deleted', async () => {
      const { topic, subscribe, publish, consume, pubsub } = await begin();
      const subscription = await subscribe();
      await publish(onKey('k', ['kept']));
      await topic.delete();
      const collector = consume(subscription);
      await collector.count(1);
      expect(collector.texts()).toEqual(['kept']);
      const [metadata] = await pubsub.subscription(subscription).getMetadata();
      expect(metadata.topic).toBe('_deleted-topic_');
    });
  });

  describe('publishing', () => {
    it('gives ids that are unique and rise', async () => {
      const { publish } = await begin();
      const ids = [...(await publish(onKey('k', ['1', '2', '3']))), ...(await publish(onKey('k', ['4'])))].map(BigInt);
      expect(new Set(ids).size).toBe(4);
      expect([...ids].sort((a, b) => Number(a - b))).toEqual(ids);
    });

    it('carries data, attributes, key and time', async () => {
      const { topic, subscribe, consume } = await begin();
      const subscription = await subscribe();
      const before = Date.now();
      const data = Buffer.from([0, 255, 10, 128]);
      const attributes = { plain: 'value', empty: '', ключ: '🙂' };
      topic.setPublishOptions({ messageOrdering: true });
      const id = await topic.publishMessage({ data, attributes, orderingKey: 'ключ 🙂' });
      const collector = consume(subscription);
      await collector.count(1);
      const [message] = collector.received as [Message];
      expect(message).toMatchObject({ id, attributes, orderingKey: 'ключ 🙂', deliveryAttempt: 0 });
      expect(message.data.equals(data)).toBe(true);
      expect(message.publishTime.getTime()).toBeGreaterThanOrEqual(before - 1);
      expect(message.publishTime.getTime()).toBeLessThanOrEqual(Date.now() + 1);
    });

    it('takes a message of attributes alone, and refuses an empty one', async () => {
      const { publisher, topic, subscribe, consume } = await begin();
      const subscription = await subscribe();
      await publisher.publish({ topic: topic.name, messages: [{ attributes: { only: 'this' } }] });
      const collector = consume(subscription);
      await collector.count(1);
      expect(collector.received[0]).toMatchObject({ attributes: { only: 'this' } });
      const invalid = { code: status.INVALID_ARGUMENT };
      await expect(publisher.publish({ topic: topic.name, messages: [{}] })).rejects.toMatchObject(invalid);
      await expect(publisher.publish({ topic: topic.name, messages: [] })).rejects.toMatchObject(invalid);
    });

    it('refuses more than 1,000 messages in one request', async () => {
      const { publisher, topic } = await begin();
      const messages = Array.from({ length: 1_001 }, () => ({ data: Buffer.from('x') }));
      await expect(publisher.publish({ topic: topic.name, messages })).rejects.toMatchObject({
        code: status.INVALID_ARGUMENT,
      });
    });

    it('carries a message of 5 MB', async () => {
      const { topic, subscribe, consume } = await begin();
      const subscription = await subscribe();
      const data = Buffer.alloc(5_000_000, 'large ');
      await topic.publishMessage({ data });
      const collector = consume(subscription);
      await collector.count(1);
      expect(collector.received[0]?.data.equals(data)).toBe(true);
    });
  });

  describe('delivery', () => {
    it('keeps the publish order of each key', async () => {
      const { subscribe, publish, consume } = await begin();
      const subscription = await subscribe();
      const keys = numbers(1, 20).map((key) => `room-${key}`);
      const collector = consume(subscription);
      for (let round = 0; round < 5; round++) {
        await publish(numbers(round * 10, round * 10 + 9).flatMap((text) => keys.map((key) => [key, text] as const)));
      }
      await collector.count(20 * 50);
      for (const key of keys) expect(collector.texts(key)).toEqual(numbers(0, 49));
    });

    it('has several unanswered messages of a key out at once', async () => {
      const { subscribe, publish, consume } = await begin();
      const subscription = await subscribe();
      await publish(onKey('k', numbers(1, 10)));
      const collector = consume(subscription, { handle: () => {} });
      await collector.count(10);
      expect(collector.texts()).toEqual(numbers(1, 10));
    });

    it('delivers unordered messages, with and without ordering on the subscription', async () => {
      const { subscribe, publish, consume } = await begin();
      const [ordered, unordered] = [await subscribe(), await subscribe({ ordered: false })];
      await publish(numbers(1, 50).map((text) => ['', text]));
      await publish(onKey('k', numbers(51, 100)));
      for (const subscription of [ordered, unordered]) {
        const collector = consume(subscription);
        await collector.count(100);
        expect(
          collector
            .texts()
            .map(Number)
            .sort((a, b) => a - b),
        ).toEqual(numbers(1, 100).map(Number));
      }
    });

    it('gives each subscription every message published since its creation', async () => {
      const { subscribe, publish, consume } = await begin();
      const early = await subscribe();
      await publish(onKey('k', ['1', '2']));
      const late = await subscribe();
      await publish(onKey('k', ['3', '4']));
      const [first, second] = [consume(early), consume(late)];
      await Promise.all([first.count(4), second.count(2)]);
      expect(first.texts()).toEqual(['1', '2', '3', '4']);
      expect(second.texts()).toEqual(['3', '4']);
    });

    it('does not repeat what was acked', async () => {
      const { subscribe, publish, consume } = await begin();
      const subscription = await subscribe();
      await publish(onKey('k', numbers(1, 20)));
      const first = consume(subscription);
      await first.count(20);
      await first.close();
      const second = consume(subscription);
      await publish(onKey('k', ['next']));
      await second.count(1);
      expect(second.texts()).toEqual(['next']);
    });

    it('keeps within the flow control limit', async () => {
      const { subscribe, publish, consume } = await begin();
      const subscription = await subscribe();
      await publish(numbers(1, 60).map((text) => [`room-${Number(text) % 7}`, text]));
      const held: Message[] = [];
      let most = 0;
      const collector = consume(subscription, {
        maxMessages: 5,
        handle: (message) => {
          most = Math.max(most, held.push(message));
          // Whatever came together with this message is handled before this runs.
          setTimeout(() => held.shift()?.ack(), 1);
        },
      });
      await collector.count(60);
      expect(most).toBe(5);
      expect(new Set(collector.texts()).size).toBe(60);
    });

    it('pulls as many as asked for, in order, and nothing when nothing waits', async () => {
      const { subscriber, subscribe, publish } = await begin();
      const subscription = await subscribe();
      const pull = async (maxMessages: number): Promise<string[]> => {
        const [{ receivedMessages }] = await subscriber.pull({ subscription, maxMessages, returnImmediately: true });
        const ackIds = (receivedMessages ?? []).map(({ ackId }) => ackId ?? '');
        if (ackIds.length > 0) await subscriber.acknowledge({ subscription, ackIds });
        return texts(receivedMessages);
      };
      expect(await pull(10)).toEqual([]);
      await publish(onKey('k', numbers(1, 10)));
      expect(await pull(4)).toEqual(numbers(1, 4));
      expect(await pull(10)).toEqual(numbers(5, 10));
      expect(await pull(10)).toEqual([]);
    });

    it('keeps the order of each key with two consumers, and a key with one of them at a time', async () => {
      const { subscribe, publish, consume } = await begin();
      const subscription = await subscribe();
      const keys = numbers(1, 12).map((key) => `room-${key}`);
      const seen = new Map<string, string[]>();
      const holders = new Map<string, { consumer: number; messages: number }>();
      let shared = 0;
      let handled = 0;
      const consumer = (number: number): ReturnType<typeof consume> =>
        consume(subscription, {
          handle: (message) => {
            const { orderingKey: key = '' } = message;
            seen.set(key, [...(seen.get(key) ?? []), message.data.toString()]);
            const holder = holders.get(key);
            if (holder && holder.consumer !== number && holder.messages > 0) shared++;
            holders.set(key, { consumer: number, messages: holder?.consumer === number ? holder.messages + 1 : 1 });
            handled++;
            setTimeout(() => {
              const now = holders.get(key);
              if (now) now.messages--;
              message.ack();
            }, 2);
          },
        });
      const both = [consumer(1), consumer(2)];
      for (let round = 0; round < 10; round++) {
        await publish(numbers(round * 5, round * 5 + 4).flatMap((text) => keys.map((key) => [key, text] as const)));
      }
      await Promise.race(both.map((collector) => collector.until(() => handled === 12 * 50)));
      for (const key of keys) expect(seen.get(key)).toEqual(numbers(0, 49));
      expect(shared).toBe(0);
    });
  });

  describe('redelivery', () => {
    it('repeats a nacked message', async () => {
      const { subscribe, publish, consume } = await begin();
      const subscription = await subscribe();
      await publish(onKey('k', numbers(1, 9)));
      let nacked = false;
      const collector = consume(subscription, {
        handle: (message) => {
          if (message.data.toString() !== '3' || nacked) return message.ack();
          nacked = true;
          return message.nack();
        },
      });
      const expected = redeliversLaterMessages ? numbers(3, 9) : ['3'];
      await collector.count(9 + expected.length);
      expect(collector.texts()).toEqual([...numbers(1, 9), ...expected]);
      expect(collector.received[2]?.id).toBe(collector.received[9]?.id);
    });

    it('repeats messages that were nacked together in their order', async () => {
      const { subscribe, publish, consume } = await begin();
      const subscription = await subscribe();
      await publish(onKey('k', numbers(1, 7)));
      const collector = consume(subscription, {
        handle: (message, index) => {
          if (index < 2 || index >= 7) message.ack();
          if (index === 6) for (const held of collector.received.slice(2)) held.nack();
        },
      });
      await collector.count(12);
      expect(collector.texts()).toEqual([...numbers(1, 7), ...numbers(3, 7)]);
    });

    it('gives the next consumer what a closed one had not acked, in order', async () => {
      const { subscribe, publish, consume } = await begin();
      const subscription = await subscribe();
      await publish(onKey('k', numbers(1, 5)));
      const first = consume(subscription, {
        handle: (message, index) => {
          if (index === 0) message.ack();
        },
      });
      await first.count(5);
      await first.close();
      const second = consume(subscription);
      await second.count(4);
      expect(second.texts()).toEqual(numbers(2, 5));
    });

    it('repeats in order what was not answered when its ack deadline ended', async () => {
      const { subscriber, subscribe, publish } = await begin();
      const subscription = await subscribe();
      await publish(onKey('k', numbers(1, 4)));
      const [{ receivedMessages: first }] = await subscriber.pull({ subscription, maxMessages: 10 });
      expect(texts(first)).toEqual(numbers(1, 4));
      const ackIds = (first ?? []).map(({ ackId }) => ackId ?? '');
      await subscriber.modifyAckDeadline({ subscription, ackIds, ackDeadlineSeconds: 1 });
      const [{ receivedMessages: second }] = await subscriber.pull({ subscription, maxMessages: 10 });
      expect(texts(second)).toEqual(numbers(1, 4));
    });

    it('holds a key back while a message of it is out to another consumer', async () => {
      const { subscriber, subscribe, publish } = await begin();
      const subscription = await subscribe();
      await publish([...onKey('held', ['1', '2']), ...onKey('free', ['3'])]);
      const pull = async (): Promise<{ data: string[]; ackIds: string[] }> => {
        const [{ receivedMessages }] = await subscriber.pull({ subscription, maxMessages: 1, returnImmediately: true });
        return { data: texts(receivedMessages), ackIds: (receivedMessages ?? []).map(({ ackId }) => ackId ?? '') };
      };
      const first = await pull();
      expect(first.data).toEqual(['1']);
      expect((await pull()).data).toEqual(['3']);
      expect((await pull()).data).toEqual([]);
      await subscriber.acknowledge({ subscription, ackIds: first.ackIds });
      expect((await pull()).data).toEqual(['2']);
    });
  });
});

import { appendFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Broker } from '../../../simulators/pubsub/broker.ts';
import { Consumer } from '../../../simulators/pubsub/consumer.ts';
import { Faults } from '../../../simulators/pubsub/faults.ts';
import { Journal } from '../../../simulators/pubsub/journal.ts';
import type { PubsubMessage, ReceivedMessage } from '../../../simulators/pubsub/wire.ts';

const TOPIC = 'projects/p/topics/topic';
const SUBSCRIPTION = 'projects/p/subscriptions/subscription';

async function newFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'roomline-journal-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, 'sub', 'pubsub.journal');
}

async function recordsOf(file: string): Promise<unknown[]> {
  const records: unknown[] = [];
  for await (const record of Journal.read(file)) records.push(record);
  return records;
}

function openBroker(file: string, rewriteAtBytes = 1 << 30): Promise<Broker> {
  return Broker.open({
    file,
    rewriteAtBytes,
    fsync: true,
    minAckDeadlineSeconds: 10,
    now: () => 1_700_000_000_123,
    faults: new Faults(() => 0.5),
    incarnation: 'run',
    soon: (run) => run(),
    after: (run) => run(),
  });
}

async function withSubscription(file: string, rewriteAtBytes?: number): Promise<Broker> {
  const broker = await openBroker(file, rewriteAtBytes);
  broker.createTopic({ name: TOPIC, labels: { team: 'a' } });
  broker.createSubscription({ name: SUBSCRIPTION, topic: TOPIC, ackDeadlineSeconds: 0, enableMessageOrdering: true });
  return broker;
}

const message = (orderingKey: string, text: string): PubsubMessage => ({
  data: Buffer.from(text),
  attributes: text === 'with' ? { a: 'ü' } : {},
  orderingKey,
  messageId: '',
  publishTime: null,
});

/** Takes everything that waits, without acking it. */
function take(broker: Broker): ReceivedMessage[] {
  const received: ReceivedMessage[] = [];
  const consumer = new Consumer(
    { write: (messages) => received.push(...messages) > 0, end: () => {} },
    { maxMessages: 0, maxBytes: 0, ackDeadlineMs: 10_000 },
  );
  broker.subscription(SUBSCRIPTION).attach(consumer);
  broker.subscription(SUBSCRIPTION).detach(consumer);
  return received;
}

const textsOf = (received: ReceivedMessage[]): string[] => received.map(({ message: { data } }) => data.toString());

describe('the journal', () => {
  it('is committed record by record, in order, and read back', async () => {
    const file = await newFile();
    const journal = Journal.open(file, false);
    const committed: number[] = [];
    for (const n of [1, 2, 3]) journal.append({ n }, () => committed.push(n));
    expect(committed).toEqual([]);
    journal.flush();
    expect(committed).toEqual([1, 2, 3]);
    expect(journal.size).toBe((await stat(file)).size);
    journal.close();
    expect(await recordsOf(file)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  });

  it('has no records without a file', async () => {
    expect(await recordsOf(await newFile())).toEqual([]);
  });

  it('passes over a last line that was cut off', async () => {
    const file = await newFile();
    const journal = Journal.open(file, false);
    journal.append({ n: 1 }, () => {});
    journal.close();
    await appendFile(file, '{"n":2');
    expect(await recordsOf(file)).toEqual([{ n: 1 }]);
  });

  it('refuses a broken line in the middle', async () => {
    const file = await newFile();
    Journal.open(file, false).close();
    await writeFile(file, '{"n":1}\n{"n"\n{"n":3}\n');
    await expect(recordsOf(file)).rejects.toThrow('line 2');
  });
});

describe('a restart', () => {
  it('keeps topics, subscriptions and what is not acked, with its id, time and order', async () => {
    const file = await newFile();
    const first = await withSubscription(file);
    await first.publish(TOPIC, [message('k', '1'), message('k', 'with'), message('k', '3'), message('', 'free')]);
    const before = take(first);
    const ackOf = (text: string): string => before[textsOf(before).indexOf(text)]?.ackId ?? '';
    first.acknowledge(first.subscription(SUBSCRIPTION), [ackOf('1'), ackOf('free')]);
    first.close();

    const second = await openBroker(file);
    expect(second.topic(TOPIC)).toEqual({ name: TOPIC, labels: { team: 'a' } });
    expect(second.subscription(SUBSCRIPTION).resource).toMatchObject({ topic: TOPIC, ackDeadlineSeconds: 10 });
    const again = take(second);
    expect(again.map((received) => received.message)).toEqual(
      before.map((received) => received.message).filter(({ messageId }) => messageId === '2' || messageId === '3'),
    );
    second.close();
  });

  it('never gives an id twice, even when nothing is left', async () => {
    const file = await newFile();
    for (const expected of ['1', '2', '3']) {
      const broker = expected === '1' ? await withSubscription(file) : await openBroker(file);
      expect(await broker.publish(TOPIC, [message('k', 'x')])).toEqual([expected]);
      broker.acknowledge(
        broker.subscription(SUBSCRIPTION),
        take(broker).map(({ ackId }) => ackId),
      );
      broker.close();
    }
  });

  it('forgets what was deleted', async () => {
    const file = await newFile();
    const first = await withSubscription(file);
    first.deleteTopic(TOPIC);
    first.close();
    const second = await openBroker(file);
    expect(() => second.topic(TOPIC)).toThrow('not found');
    expect(second.subscription(SUBSCRIPTION).resource.topic).toBe('_deleted-topic_');
    second.deleteSubscription(SUBSCRIPTION);
    second.close();
    const third = await openBroker(file);
    expect(third.subscriptions()).toEqual([]);
    third.close();
  });

  it('shortens the file to what is still needed', async () => {
    const file = await newFile();
    const first = await withSubscription(file);
    for (let n = 0; n < 50; n++) await first.publish(TOPIC, [message('k', `${n}`)]);
    const received = take(first);
    first.acknowledge(
      first.subscription(SUBSCRIPTION),
      received.slice(0, 48).map(({ ackId }) => ackId),
    );
    first.close();
    (await openBroker(file)).close();
    const lines = (await readFile(file, 'utf8')).trim().split('\n');
    expect(lines).toHaveLength(1 + 1 + 1 + 2); // next sequence, topic, subscription, two messages
  });
});

describe('a journal that grows', () => {
  it('is rewritten while the server runs and loses nothing', async () => {
    const file = await newFile();
    const broker = await withSubscription(file, 2_000);
    for (let n = 0; n < 100; n++) {
      await broker.publish(TOPIC, [message('k', `${n}`)]);
      const received = take(broker);
      if (n < 98) {
        broker.acknowledge(
          broker.subscription(SUBSCRIPTION),
          received.map(({ ackId }) => ackId),
        );
      }
      broker.tick();
    }
    expect((await stat(file)).size).toBeLessThan(4_000);
    broker.close();
    const restarted = await openBroker(file);
    expect(textsOf(take(restarted))).toEqual(['98', '99']);
    restarted.close();
  });

  it('keeps a publish that was waiting to be written when the rewrite began', async () => {
    const file = await newFile();
    const broker = await withSubscription(file, 1);
    const publishing = broker.publish(TOPIC, [message('k', 'waiting')]);
    broker.tick();
    expect(await publishing).toEqual(['1']);
    broker.close();
    const restarted = await openBroker(file);
    expect(textsOf(take(restarted))).toEqual(['waiting']);
    restarted.close();
  });
});

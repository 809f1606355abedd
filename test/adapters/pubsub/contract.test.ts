import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { createPubSubServer } from '../../../simulators/pubsub/server.ts';
import type { NewMessage } from '../../../src/engine/ports.ts';
import { setup } from '../../simulators/pubsub/client.ts';
import { eventually, nextEvent } from '../../support/events.ts';
import { findPubSubEmulator, isPubSubEmulatorRequired, startPubSubEmulator } from '../../support/pubsub-emulator.ts';
import { inOrder, messages, newName, payload, untilFlowing, untilLost, World } from './fixture.ts';

/** What intake must do on every server that Roomline consumes from. */
interface Implementation {
  readonly name: string;
  readonly hasExactlyOnce: boolean;
  start(): Promise<{ address: string; stop: () => Promise<void> }>;
}

const implementations: Implementation[] = [
  {
    name: 'the embedded server',
    hasExactlyOnce: false,
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
    hasExactlyOnce: true,
    start() {
      if ('missing' in emulator) {
        throw new Error(`Google's Pub/Sub emulator is required here, but ${emulator.missing}.`);
      }
      return startPubSubEmulator(emulator.jar);
    },
  });
} else {
  console.log(`Intake from Pub/Sub: not run against Google's emulator, because ${emulator.missing}.`);
}

describe.each(implementations)('intake from $name', ({ start, hasExactlyOnce }) => {
  let server: Awaited<ReturnType<Implementation['start']>>;
  beforeAll(async () => {
    server = await start();
  }, 40_000);
  afterAll(() => server?.stop());

  /** A topic with an ordered subscription. */
  async function begin() {
    const fixture = await setup(server.address);
    const subscription = await fixture.subscribe();
    return { ...fixture, subscription, at: { subscription, endpoint: server.address } };
  }

  it('keeps the order of every room through overlapping handlers and small batches', async () => {
    const { publish, at } = await begin();
    const world = new World({ maxRows: 7 });
    const { queue } = world.process(at);
    await queue.service.start();
    const rooms = Array.from({ length: 10 }, (_, index) => `room-${index}`);
    for (let round = 0; round < 3; round++) {
      await publish(rooms.flatMap((room) => messages(room, round * 10 + 1, round * 10 + 10)));
    }
    await world.untilCommitted(300);
    for (const room of rooms) expect(world.room(room)).toEqual(inOrder(30));
    expect(queue.trouble()).toBeNull();
  });

  it('keeps the order behind a message that is larger than what may be held', async () => {
    const { publish, at } = await begin();
    const world = new World();
    const { queue } = world.process({ ...at, maxOutstandingBytes: 1_024 });
    await publish([['a', payload('a', 'm-1', { content: { text: 'x'.repeat(5_000) } })], ...messages('a', 2, 20)]);
    await queue.service.start();
    await world.untilCommitted(20);
    expect(world.room('a')).toEqual(inOrder(20));
  });

  it('holds no more than allowed, however many hours the store is away', async () => {
    // The client looks after its leases at a random moment within seconds: here after a fiftieth of that.
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.02);
    onTestFinished(() => {
      random.mockRestore();
      vi.useRealTimers();
    });
    const { publish, at } = await begin();
    const gate = Promise.withResolvers<void>();
    const world = new World({ beforeAppend: () => gate.promise });
    const { queue, outstanding, mostOutstanding } = world.process({ ...at, maxOutstandingMessages: 5 });
    await queue.service.start();
    await publish(messages('a', 1, 5));
    await eventually('intake is full', () => outstanding() === 5);
    await publish(messages('a', 6, 25));
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 2 * 3_600_000 });
    const { length } = random.mock.calls;
    await eventually('the leases were looked after', () => random.mock.calls.length >= length + 5);
    expect(mostOutstanding()).toBe(5);
    vi.useRealTimers();
    gate.resolve();
    await world.untilCommitted(25);
    expect(world.room('a')).toEqual(inOrder(25));
  });

  it('says that messages can flow before there are any', async () => {
    const { at } = await begin();
    const world = new World();
    const { queue } = world.process(at);
    expect(queue.trouble()).toBe('not started');
    await queue.service.start();
    expect(queue.trouble()).toMatch(/^connecting: /);
    await untilFlowing(world, queue);
    expect(queue.trouble()).toBeNull();
    await queue.service.stop();
    expect(queue.trouble()).toBe('stopped');
  });

  it('acknowledges nothing that is not committed: a stop meanwhile ends, and it all comes again in order', async () => {
    const { publish, at } = await begin();
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    let appends = 0;
    const world = new World({
      maxRows: 10,
      async beforeAppend() {
        if (++appends < 2) return;
        reached.resolve();
        await gate.promise;
      },
    });
    const first = world.process(at);
    await first.queue.service.start();
    await publish(messages('a', 1, 10));
    await world.untilCommitted(10);
    await publish(messages('a', 11, 30));
    await reached.promise;
    const stoppedAt = performance.now();
    await first.queue.service.stop();
    expect(performance.now() - stoppedAt).toBeLessThan(4_000);
    gate.resolve();
    // The first process goes on to commit what it has; the second is given the same once more.
    await world.untilCommitted(30);
    const second = world.process(at);
    await second.queue.service.start();
    await publish(messages('a', 31, 31));
    await world.untilCommitted(31);
    expect(world.room('a')).toEqual(inOrder(31));
    expect(world.duplicates).toBeGreaterThanOrEqual(20);
  });

  it('holds what a closed intake refuses, until its stop gives it back', async () => {
    const { publish, at } = await begin();
    const world = new World();
    const first = world.process(at);
    await first.intake.close();
    const handed: string[] = [];
    const { telemetry } = world.instruments;
    const accept = async ({ key, ...message }: NewMessage) => {
      handed.push(`${key.room} ${message.messageId}`);
      telemetry.emit('intake.committed', { source: 'pubsub', appended: 0, duplicates: 0 });
      return first.intake.accept({ key, ...message });
    };
    const closed = world.process(at, { accept });
    await closed.queue.service.start();
    // What was given back at once would come again between later ones.
    for (let sent = 1; sent <= 10; sent++) {
      const next = nextEvent(telemetry, 'intake.committed');
      await publish(messages(`room-${sent}`, 1, 1));
      await next;
    }
    await closed.queue.service.stop();
    expect(handed).toEqual(Array.from({ length: 10 }, (_, at) => `room-${at + 1} m-1`));
    expect(await world.deadLetters()).toEqual([]);
    const second = world.process(at);
    await second.queue.service.start();
    await world.untilCommitted(10);
  });

  it('keeps poison with its coded reason, and what follows it in the room goes on', async () => {
    const { publisher, topic, at } = await begin();
    const world = new World();
    const { queue } = world.process(at);
    await queue.service.start();
    const bytes = (...parts: (string | number[])[]): Buffer =>
      Buffer.concat(parts.map((part) => Buffer.from(part as string)));
    const ok = payload('a', 'x');
    const cases: [reason: string, detail: string, data: Buffer, key?: string][] = [
      ['body_malformed_json', '', bytes('{"channel":')],
      ['body_malformed_json', '', bytes('')],
      ['body_malformed_json', '', bytes([0xef, 0xbb, 0xbf], ok)],
      ['body_not_utf8', '', bytes([0xff, 0xfe], ok)],
      ['body_not_utf8', '', bytes('{"room":"', [0xc0, 0xaf], '"}')],
      ['body_too_large', 'at most 1048576 bytes', bytes(ok.padEnd(1_048_577))],
      [
        'body_too_deep',
        'content: at most 32 levels',
        bytes(payload('a', 'x').replace('"hello"', '['.repeat(40) + ']'.repeat(40))),
      ],
      ['field_type', 'body: one JSON object', bytes('[1]')],
      ['field_type', 'body: one JSON object', bytes('null')],
      ['field_type', 'room: a text', bytes(payload('a', 'x', { room: 7 }))],
      ['field_type', 'content: a JSON object', bytes(payload('a', 'x', { content: 'text' }))],
      ['field_type', 'ackTimeoutMs: a number', bytes(payload('a', 'x', { ackTimeoutMs: '5' }))],
      ['field_missing', 'channel: required', bytes(payload('a', 'x', { channel: undefined }))],
      ['field_unknown', 'colour: ', bytes(payload('a', 'x', { colour: 'red' }))],
      ['field_invalid', 'room: 1 to 256 bytes', bytes(payload('', 'x'))],
      ['id_too_long', 'room: at most 256 bytes', bytes(payload('r'.repeat(257), 'x')), 'r'.repeat(257)],
      ['id_invalid', 'room: no control characters', bytes(payload('a\nb', 'x')), 'a\nb'],
      ['channel_unknown', 'channel: the name of a configured channel', bytes(payload('a', 'x', { channel: 'none' }))],
      ['text_nul_or_surrogate', 'room: ', bytes(payload('a\0b', 'x')), 'a\0b'],
      ['text_nul_or_surrogate', 'content: ', bytes(ok.replace('hello', '\\u0000'))],
      ['text_nul_or_surrogate', 'content: ', bytes(ok.replace('hello', '\\ud800'))],
      ['number_not_finite', 'content: ', bytes(ok.replace('"hello"', '1e400'))],
      ['number_not_finite', 'content: ', bytes(ok.replace('"hello"', '9007199254740993'))],
      [
        'payload_too_large',
        'content: at most 262144 bytes',
        bytes(payload('a', 'x', { content: { text: 'x'.repeat(262_144) } })),
      ],
      ['ordering_key_missing', 'orderingKey: the ordering key is the room', bytes(ok), ''],
      ['ordering_key_mismatch', 'orderingKey: the ordering key is the room', bytes(payload('b', 'x'))],
      [
        'message_id_conflict',
        'messageId: an id names one message',
        bytes(payload('a', 'm-1', { content: { other: 1 } })),
      ],
    ];
    const good = (index: number) => ({ orderingKey: 'a', data: bytes(payload('a', `m-${index}`)) });
    const poison = cases.map(([, , data, orderingKey = 'a']) => ({
      orderingKey,
      data,
      // A message without data needs an attribute.
      attributes: { source: 'test' },
    }));
    const mixed = poison.flatMap((each, index) => [each, good(index + 2)]);
    await publisher.publish({ topic: topic.name, messages: [good(1), ...mixed] });

    await world.untilCommitted(cases.length + 1);
    const letters = await world.untilRefused(cases.length);
    expect(world.room('a')).toEqual(inOrder(cases.length + 1));
    // Messages under other keys come in an order of their own.
    const told = letters.map(({ reason, detail }) => `${reason} | ${detail}`).sort();
    const expected = cases.map(([reason, detail]) => `${reason} | ${detail}`).sort();
    expect(told).toEqual(expected.map((text) => expect.stringContaining(text)));
    expect(letters.every(({ kind }) => kind === 'intake')).toBe(true);

    // All of it is acknowledged: the next process is given nothing of it.
    await queue.service.stop();
    const { duplicates } = world;
    const next = world.process(at);
    await next.queue.service.start();
    await publisher.publish({ topic: topic.name, messages: [good(cases.length + 2)] });
    await world.untilCommitted(cases.length + 2);
    expect(world.duplicates).toBe(duplicates);
    expect(await world.deadLetters()).toHaveLength(cases.length);
  });

  it('does not put a body, a room or a key into the log', async () => {
    const { publish, at } = await begin();
    const world = new World();
    const { queue } = world.process(at);
    await queue.service.start();
    await publish([
      ['room-secret', payload('room-other', 'x', { content: { text: 'body-secret' } })],
      ['room-secret', '{"content":"body-secret"'],
    ]);
    await world.untilRefused(2);
    await queue.service.stop();
    expect(world.logged.filter((line) => line.includes('intake.refused'))).toHaveLength(2);
    expect(world.logged.join('')).not.toMatch(/secret|room-other/);
  });

  it("gives a message without an id the queue's, and knows it again", async () => {
    const { publish, at } = await begin();
    const [id = ''] = await publish([['a', payload('a', null)]]);
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const world = new World({
      async beforeAppend() {
        reached.resolve();
        await gate.promise;
      },
    });
    const first = world.process(at);
    await first.queue.service.start();
    await reached.promise;
    await first.queue.service.stop();
    gate.resolve();
    await world.untilCommitted(1);
    expect(world.room('a')).toEqual([[`pubsub:${id}`, 1]]);
    const second = world.process(at);
    const committed = nextEvent(world.instruments.telemetry, 'intake.committed', ({ duplicates }) => duplicates === 1);
    await second.queue.service.start();
    await committed;
    expect(world.room('a')).toEqual([[`pubsub:${id}`, 1]]);
  });

  it('makes topic and subscription where they are missing, from two processes at once', async () => {
    const { pubsub, publisher } = await setup(server.address);
    const names = { topic: newName('topic'), subscription: newName('subscription') };
    const world = new World();
    const both = [1, 2].map(() => world.process({ ...names, endpoint: server.address }).queue);
    await Promise.all(both.map((queue) => queue.service.start()));
    await Promise.all(both.map((queue) => untilFlowing(world, queue)));
    const [metadata] = await pubsub.subscription(names.subscription).getMetadata();
    expect(metadata.enableMessageOrdering).toBe(true);
    const sent = messages('a', 1, 3).map(([orderingKey, text]) => ({ orderingKey, data: Buffer.from(text) }));
    await publisher.publish({ topic: pubsub.topic(names.topic).name, messages: sent });
    await world.untilCommitted(3);
    expect(world.room('a')).toEqual(inOrder(3));
  });

  it('names a missing subscription, and consumes it once it is there', async () => {
    const { publisher, topic } = await setup(server.address);
    const name = newName('subscription');
    const world = new World();
    const { queue } = world.process({ subscription: name, endpoint: server.address });
    const lost = untilLost(world);
    await queue.service.start();
    await lost;
    expect(queue.trouble()).toBe('NOT_FOUND: the subscription does not exist');
    await topic.createSubscription(name, { enableMessageOrdering: true });
    await untilFlowing(world, queue);
    const [[orderingKey, text]] = messages('a', 1, 1) as [[string, string]];
    await publisher.publish({ topic: topic.name, messages: [{ orderingKey, data: Buffer.from(text) }] });
    await world.untilCommitted(1);
  });

  it('names a subscription that is deleted under it, and goes on when it is there again', async () => {
    const { pubsub, topic, publish, subscription, at } = await begin();
    const world = new World();
    const { queue } = world.process(at);
    await queue.service.start();
    await publish(messages('a', 1, 2));
    await world.untilCommitted(2);
    const lost = untilLost(world);
    await pubsub.subscription(subscription).delete();
    await lost;
    expect(queue.trouble()).toBe('NOT_FOUND: the subscription does not exist');
    await topic.createSubscription(subscription, { enableMessageOrdering: true });
    await untilFlowing(world, queue);
    await publish(messages('a', 3, 4));
    await world.untilCommitted(4);
    expect(world.room('a')).toEqual(inOrder(4));
    const events = world.logged.map((line) => JSON.parse(line) as { event: string; code?: string });
    expect(events.filter(({ event }) => event === 'dependency.lost')).toMatchObject([{ code: 'NOT_FOUND' }]);
    expect(events.filter(({ event }) => event === 'dependency.back')).toHaveLength(2);
  });

  it('refuses a subscription that does not keep order, until it is made anew', async () => {
    const { pubsub, topic, publish, subscribe } = await setup(server.address);
    const name = await subscribe({ ordered: false });
    await publish(messages('a', 1, 1));
    const world = new World();
    const { queue } = world.process({ subscription: name, endpoint: server.address });
    const lost = untilLost(world);
    await queue.service.start();
    await lost;
    expect(queue.trouble()).toBe('ordering_disabled: create the subscription anew with message ordering enabled');
    expect(world.committed).toEqual([]);
    await pubsub.subscription(name).delete();
    await topic.createSubscription(name, { enableMessageOrdering: true });
    await untilFlowing(world, queue);
    await publish(messages('a', 2, 2));
    await world.untilCommitted(1);
    expect(world.room('a')).toEqual([['m-2', 1]]);
  });

  if (hasExactlyOnce) {
    it('refuses a subscription with exactly-once delivery', async () => {
      const { topic } = await setup(server.address);
      const name = newName('subscription');
      await topic.createSubscription(name, { enableMessageOrdering: true, enableExactlyOnceDelivery: true });
      const world = new World();
      const { queue } = world.process({ subscription: name, endpoint: server.address });
      const lost = untilLost(world);
      await queue.service.start();
      await lost;
      expect(queue.trouble()).toMatch(/^exactly_once_enabled: /);
    });
  }
});

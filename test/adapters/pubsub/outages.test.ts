/** What intake makes of a queue or a store that fails, on the embedded server. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createPubSubServer, type PubSubServer, type PubSubServerOptions } from '../../../simulators/pubsub/server.ts';
import type { NewMessage } from '../../../src/engine/ports.ts';
import { setup } from '../../simulators/pubsub/client.ts';
import { eventually, nextEvent } from '../../support/events.ts';
import { stressService } from '../../support/stress.ts';
import { inOrder, messages, newName, payload, untilFlowing, untilLost, World, type WorldOptions } from './fixture.ts';

async function startServer(options: PubSubServerOptions = {}): Promise<PubSubServer> {
  const server = createPubSubServer(options);
  await server.start();
  onTestFinished(() => server.stop());
  return server;
}

/** A server with an ordered subscription, and a database. */
async function begin(options: PubSubServerOptions = {}, worldOptions: WorldOptions = {}) {
  const server = await startServer(options);
  const fixture = await setup(server.address);
  const subscription = await fixture.subscribe();
  const world = new World(worldOptions);
  return { server, ...fixture, world, at: { subscription, endpoint: server.address } };
}

async function newJournal(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'roomline-intake-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return join(folder, 'pubsub.journal');
}

/** Listens on a free loopback port until the test ends. */
async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A store that can be away. */
function switchedStore() {
  const store = { away: false };
  const check = (): void => {
    if (store.away) throw new Error('the store is away');
  };
  return { store, options: { beforeAppend: check, beforeLetters: check } };
}

const rooms = (count: number): string[] => Array.from({ length: count }, (_, index) => `room-${index}`);
const acked = (server: PubSubServer): number => server.control.stats()[0]?.acked ?? 0;
const batchFailed = (world: World): number =>
  world.logged.filter((line) => line.includes('intake.batch_failed')).length;
const losses = (world: World): number => world.logged.filter((line) => line.includes('dependency.lost')).length;

describe('the queue', () => {
  it('need not be there at the start', async () => {
    const gone = await startServer();
    const { port, address } = gone;
    await gone.stop();
    const world = new World();
    const names = { topic: newName('topic'), subscription: newName('subscription') };
    const { queue } = world.process({ ...names, endpoint: address });
    const lost = untilLost(world);
    await queue.service.start();
    await lost;
    expect(queue.trouble()).toBe('UNAVAILABLE: Pub/Sub cannot be reached or refuses');

    await startServer({ port });
    await untilFlowing(world, queue);
    const { pubsub, publisher } = await setup(address);
    const sent = messages('a', 1, 3).map(([orderingKey, text]) => ({ orderingKey, data: Buffer.from(text) }));
    await publisher.publish({ topic: pubsub.topic(names.topic).name, messages: sent });
    await world.untilCommitted(3);
    expect(world.room('a')).toEqual(inOrder(3));
  });

  it('may accept connections and never answer: start and stop do not wait for it', async () => {
    const sockets = new Set<object>();
    const silent = createTcpServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {}); // the client's end of it
      socket.resume();
      onTestFinished(() => void socket.destroy());
    });
    const endpoint = await listen(silent);
    onTestFinished(() => void silent.close());
    const world = new World();
    const { queue } = world.process({ subscription: newName('subscription'), endpoint });
    await queue.service.start();
    await once(silent, 'connection');
    expect(queue.trouble()).toBe('connecting: Pub/Sub has not answered yet');
    await untilLost(world);
    expect(queue.trouble()).toBe('DEADLINE_EXCEEDED: Pub/Sub does not answer in time');
    const stoppedAt = performance.now();
    await queue.service.stop();
    expect(performance.now() - stoppedAt).toBeLessThan(1_000);
  });

  it('may lose streams, acks and all order of delivery', async () => {
    const faults = { streamLossProbability: 0.2, redeliverOnStreamEnd: true, duplicateProbability: 0.2 };
    const { server, publish, world, at } = await begin();
    const { queue } = world.process(at);
    await queue.service.start();
    await untilFlowing(world, queue);
    server.control.setFaults(faults);
    for (let round = 0; round < 5; round++) {
      await publish(rooms(10).flatMap((room) => messages(room, round * 10 + 1, round * 10 + 10)));
      server.control.redeliver(at.subscription, 'room-3', 5);
    }
    await world.untilCommitted(500);
    server.control.setFaults({ streamLossProbability: 0 });
    await eventually('everything is acked', () => server.control.stats()[0]?.backlog === 0);
    for (const room of rooms(10)) expect(world.room(room)).toEqual(inOrder(50));
    expect(world.duplicates).toBeGreaterThan(0);
    expect(await world.deadLetters()).toEqual([]);
    // Each stream was there again at once: that is no trouble.
    expect(losses(world)).toBe(0);
  });

  it('is named while it refuses streams, although it answers everything else', async () => {
    const { server, publish, world, at } = await begin();
    const { queue } = world.process(at);
    await queue.service.start();
    await untilFlowing(world, queue);
    const lost = untilLost(world);
    server.control.setFaults({ refusePulls: true });
    await lost;
    expect(queue.trouble()).toBe('UNAVAILABLE: the stream of messages ended and does not open again');
    await publish(messages('a', 1, 3));
    server.control.setFaults({ refusePulls: false });
    await untilFlowing(world, queue);
    await world.untilCommitted(3);
    expect(losses(world)).toBe(1);
  });

  it('may restart', async () => {
    const file = await newJournal();
    const { server, publish, world, at } = await begin({ file });
    const { port } = server;
    const { queue } = world.process(at);
    await queue.service.start();
    await publish(messages('a', 1, 10));
    await world.untilCommitted(10);
    const lost = untilLost(world);
    await server.stop();
    await lost;
    expect(queue.trouble()).toMatch(/^UNAVAILABLE: /);
    await startServer({ file, port });
    await untilFlowing(world, queue);
    const again = await setup(at.endpoint);
    await publish(messages('a', 11, 20));
    await world.untilCommitted(20);
    expect(world.room('a')).toEqual(inOrder(20));
    expect(again.topic.name).not.toBe('');
  });

  it('may be gone at the stop, with messages and acks on their way', async () => {
    const gate = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const { server, publish, world, at } = await begin(
      {},
      {
        maxRows: 10,
        async beforeAppend() {
          reached.resolve();
          await gate.promise;
        },
      },
    );
    const { queue } = world.process(at);
    await queue.service.start();
    await publish(messages('a', 1, 20));
    await reached.promise;
    await server.stop();
    const stoppedAt = performance.now();
    const stopping = queue.service.stop();
    gate.resolve();
    await stopping;
    expect(performance.now() - stoppedAt).toBeLessThan(4_000);
    expect(queue.trouble()).toBe('stopped');
  });

  it('is all that is contacted: no metadata server is asked', async () => {
    let asked = 0;
    const metadata = createServer((_request, response) => {
      asked++;
      response.writeHead(200, { 'metadata-flavor': 'Google' }).end('0');
    });
    const address = await listen(metadata);
    onTestFinished(() => void metadata.close());
    const names = ['GCE_METADATA_HOST', 'GCE_METADATA_IP'] as const;
    const before = names.map((name) => [name, process.env[name]] as const);
    onTestFinished(() => {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    });
    for (const name of names) process.env[name] = address;
    const { publish, world, at } = await begin();
    const { queue } = world.process(at);
    await queue.service.start();
    await publish(messages('a', 1, 1));
    await world.untilCommitted(1);
    await queue.service.stop();
    expect(asked).toBe(0);
  });
});

describe('the store', () => {
  it('may be away: nothing is acked, no more is held than allowed, and then all is accepted in order', async () => {
    const { store, options } = switchedStore();
    const { server, publish, world, at } = await begin({}, options);
    store.away = true;
    let most = 0;
    const maxOutstandingMessages = 50;
    const { queue, outstanding, intake } = world.process({ ...at, maxOutstandingMessages });
    const accept = (message: NewMessage) => {
      const accepted = intake.accept(message);
      most = Math.max(most, intake.outstanding);
      return accepted;
    };
    await queue.service.stop();
    const observed = world.process({ ...at, maxOutstandingMessages }, { accept });
    await observed.queue.service.start();
    await publish(rooms(10).flatMap((room) => messages(room, 1, 30)));
    await eventually('intake is full', () => outstanding() >= maxOutstandingMessages);
    // What is sent again on a new stream counts towards the same limit.
    server.control.setFaults({ redeliverOnStreamEnd: true });
    server.control.loseStreams();
    const failures = batchFailed(world);
    await eventually('the store was tried again', () => batchFailed(world) >= failures + 5);
    expect(acked(server)).toBe(0);
    expect(world.committed).toEqual([]);
    expect(observed.queue.trouble()).toSatisfy(
      (trouble) => trouble === null || String(trouble).startsWith('UNAVAILABLE'),
    );

    store.away = false;
    await world.untilCommitted(300);
    await eventually('everything is acked', () => server.control.stats()[0]?.backlog === 0);
    for (const room of rooms(10)) expect(world.room(room)).toEqual(inOrder(30));
    expect(most).toBe(maxOutstandingMessages);
  });

  it('may be away while the subscription is deleted and made anew: no second load comes on top', async () => {
    const { store, options } = switchedStore();
    const { pubsub, topic, publish, world, at } = await begin({}, options);
    store.away = true;
    const { queue, outstanding } = world.process({ ...at, maxOutstandingMessages: 20 });
    await queue.service.start();
    await publish(messages('a', 1, 40));
    await eventually('intake is full', () => outstanding() === 20);
    await pubsub.subscription(at.subscription).delete();
    await topic.createSubscription(at.subscription, { enableMessageOrdering: true });
    await publish(messages('b', 1, 40));
    // The client gives up on what it holds, and the session ends.
    await untilLost(world);
    await eventually('the session has ended', () => queue.trouble()?.startsWith('NOT_FOUND'));
    expect(outstanding()).toBe(20);
    store.away = false;
    await world.untilCommitted(60);
    await untilFlowing(world, queue);
    expect(world.room('a')).toEqual(inOrder(20));
    expect(world.room('b')).toEqual(inOrder(40));
  });

  it('may be away for dead letters: they are written once, and acked then', async () => {
    const { store, options } = switchedStore();
    const { server, publish, world, at } = await begin({}, options);
    store.away = true;
    const first = world.process(at);
    await first.queue.service.start();
    await publish([
      ['a', 'no JSON'],
      ['a', 'nor this'],
    ]);
    await eventually('the dead letters were tried', () => batchFailed(world) >= 1);
    await first.queue.service.stop();
    expect(acked(server)).toBe(0);
    const second = world.process(at);
    await second.queue.service.start();
    const { telemetry } = world.instruments;
    const refused = [1, 2].map(() => nextEvent(telemetry, 'intake.refused'));
    store.away = false;
    await Promise.all(refused);
    await eventually('both are acked', () => acked(server) === 2);
    expect(await world.deadLetters()).toHaveLength(2);
  });

  it('may refuse one message for good: that one becomes a dead letter, the others of its batch go on', async () => {
    const { publish, world, at } = await begin(
      {},
      {
        isPermanent: () => true,
        beforeAppend(batch) {
          if (batch.some(({ messageId }) => messageId === 'poison')) throw new Error('a value that no column takes');
        },
      },
    );
    const { queue } = world.process(at);
    await queue.service.start();
    await publish([...messages('a', 1, 5), ['a', payload('a', 'poison')], ...messages('a', 6, 9)]);
    await world.untilCommitted(9);
    const letters = await world.untilRefused(1);
    expect(letters).toMatchObject([{ reason: 'field_invalid', detail: expect.stringMatching(/^body: storable: /) }]);
    expect(world.room('a')).toEqual(inOrder(9));
  });

  it('may be away at the stop: what intake gives up then is no dead letter', async () => {
    const { store, options } = switchedStore();
    const { publish, world, at } = await begin({}, options);
    store.away = true;
    const first = world.process(at);
    await first.queue.service.start();
    await publish(messages('a', 1, 5));
    await eventually('the messages wait', () => first.outstanding() === 5);
    await first.queue.service.stop();
    const given = eventually('intake has given up', () => first.outstanding() === 0);
    await first.intake.close();
    await given;
    store.away = false;
    const second = world.process(at);
    await second.queue.service.start();
    await world.untilCommitted(5);
    expect(world.room('a')).toEqual(inOrder(5));
    expect(await world.deadLetters()).toEqual([]);
  });
});

describe('the service', () => {
  it('keeps the contract of services', async () => {
    const { server, world, at } = await begin();
    await stressService(() => world.process(at).queue.service, {
      assertReleased: () => void expect(server.control.stats()[0]?.streams).toBe(0),
    });
  });

  it('keeps it without a server, too', async () => {
    const gone = await startServer();
    const endpoint = gone.address;
    await gone.stop();
    const world = new World();
    await stressService(() => world.process({ subscription: 'any-subscription', endpoint }).queue.service);
  });
});

/** What intake makes of a queue that fails, on the embedded server. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { setup } from '../../simulators/pubsub/client.ts';
import { eventually } from '../../support/events.ts';
import { stressService } from '../../support/stress.ts';
import { begin, load, rooms, startServer, timesLogged } from './embedded.ts';
import { inOrder, messages, newName, untilFlowing, untilLost, World } from './fixture.ts';

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
    const silent = createTcpServer((socket) => {
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
      await publish(load(10, round * 10 + 1, round * 10 + 10));
      server.control.redeliver(at.subscription, 'room-3', 5);
    }
    await world.untilCommitted(500);
    server.control.setFaults({ streamLossProbability: 0 });
    await eventually('everything is acked', () => server.control.stats()[0]?.backlog === 0);
    for (const room of rooms(10)) expect(world.room(room)).toEqual(inOrder(50));
    expect(world.duplicates).toBeGreaterThan(0);
    expect(await world.deadLetters()).toEqual([]);
    // Each stream was there again at once: that is no trouble.
    expect(timesLogged(world, 'dependency.lost')).toBe(0);
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
    expect(timesLogged(world, 'dependency.lost')).toBe(1);
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
    await publish(messages('a', 11, 20));
    await world.untilCommitted(20);
    expect(world.room('a')).toEqual(inOrder(20));
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
});

describe('the service', () => {
  it('keeps the contract of services', async () => {
    const { server, world, at } = await begin();
    await stressService(() => world.process(at).queue.service, {
      async assertReleased() {
        // The server hears of it a moment later.
        await eventually('no stream is open', () => server.control.stats()[0]?.streams === 0);
      },
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

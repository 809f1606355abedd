import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type PubSubProcess, spawnPubSub } from '../../../simulators/pubsub/spawn.ts';
import { setup } from './client.ts';

async function start(...args: string[]): Promise<PubSubProcess> {
  const server = await spawnPubSub(args);
  onTestFinished(() => server.kill());
  return server;
}

describe('the embedded server as a process', () => {
  it('keeps every answered publish over a kill -9', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'roomline-pubsub-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const data = join(folder, 'pubsub.journal');
    const first = await start('--data', data);
    const { subscribe, publish, consume } = await setup(first.address);
    const subscription = await subscribe();
    const answered: string[] = [];
    const publishing = (async () => {
      for (let n = 1; ; n++) {
        await publish([['k', `${n}`]]);
        answered.push(`${n}`);
        if (n === 20) void first.kill();
      }
    })();
    const [port = ''] = first.address.split(':').slice(1);
    await new Promise<void>((resolve) => first.child.once('exit', () => resolve()));
    const second = await start('--data', data, '--port', port);
    expect(second.address).toBe(first.address);
    const collector = consume(subscription);
    // The publisher's own retries carry on against the second process.
    await collector.until(() => answered.length >= 40 && collector.texts().includes(`${answered.length}`));
    await collector.close();
    await second.kill();
    publishing.catch(() => {}); // it ends with its client
    const received = [...new Set(collector.texts())].map(Number);
    expect(received).toEqual([...received].sort((a, b) => a - b));
    expect(received.slice(0, 40)).toEqual(Array.from({ length: 40 }, (_, at) => at + 1));
  });

  it('can be looked at and disturbed over HTTP', async () => {
    const server = await start('--seed', '3');
    const { subscribe, publish } = await setup(server.address);
    const subscription = await subscribe();
    await publish([['k', '1']]);
    expect(await server.stats()).toMatchObject({ subscriptions: [{ name: subscription, backlog: 1, delivered: 0 }] });
    await server.setFaults({ deliveryDelayMaxMs: 20 });
    const faults = await (await fetch(`${server.control}/faults`)).json();
    expect(faults).toMatchObject({ deliveryDelayMaxMs: 20, refusePulls: false });

    const post = async (path: string, body: object): Promise<[number, unknown]> => {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(server.control + path, { method: 'POST', headers, body: JSON.stringify(body) });
      return [response.status, await response.json()];
    };
    expect(await post('/streams/lose', {})).toEqual([200, { ended: 0 }]);
    expect(await post('/redeliver', { subscription, orderingKey: 'k', count: 1 })).toEqual([200, { messages: 0 }]);
    expect((await post('/redeliver', { subscription: 'x', orderingKey: 'k', count: 1 }))[0]).toBe(400);
    expect((await post('/redeliver', { subscription }))[0]).toBe(400);
    await expect(server.setFaults({ duplicateProbability: 2 })).rejects.toThrow('400');
    await expect(server.setFaults({ misspelt: 1 } as object)).rejects.toThrow('400');
  });

  it('ends gracefully on SIGTERM', async () => {
    const server = await start();
    await server.stop();
    expect(server.child.exitCode).toBe(0);
  });
});

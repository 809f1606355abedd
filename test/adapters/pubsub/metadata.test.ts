/** In a file of its own, because Google's libraries look for a metadata server once in a process. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished, vi } from 'vitest';
import { begin } from './embedded.ts';
import { messages } from './fixture.ts';

it('asks no metadata server when an endpoint is given', async () => {
  const asked: string[] = [];
  const metadata = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.writeHead(200, { 'metadata-flavor': 'Google' }).end('googleapis.com');
  });
  metadata.listen(0, '127.0.0.1');
  await once(metadata, 'listening');
  onTestFinished(() => void metadata.close());
  const address = `127.0.0.1:${(metadata.address() as AddressInfo).port}`;
  vi.stubEnv('GCE_METADATA_HOST', address);
  vi.stubEnv('GCE_METADATA_IP', address);
  vi.stubEnv('METADATA_SERVER_DETECTION', 'ping-only');
  onTestFinished(() => void vi.unstubAllEnvs());

  const { publish, world, at } = await begin();
  const { queue } = world.process(at);
  await queue.service.start();
  await publish(messages('a', 1, 1));
  await world.untilCommitted(1);
  await queue.service.stop();
  expect(asked).toEqual([]);
});

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { type HeldRequest, Links } from '../../../simulators/chaos/links.ts';

let links: Links | null = null;
let server: Server | null = null;

afterEach(async () => {
  await links?.close();
  const closed = server === null ? null : once(server, 'close');
  server?.close();
  await closed;
});

/** A platform that collects what it is sent, and tells when something has come. */
async function startLinks(): Promise<{ readonly client: Socket; readonly arrived: () => Promise<string> }> {
  let text = '';
  const listening = createServer((socket) => {
    socket.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      listening.emit('piece');
    });
    socket.on('error', () => undefined);
  });
  server = listening;
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const target = () => ({ host: '127.0.0.1', port: (listening.address() as AddressInfo).port });
  links = new Links({ postgres: target, pubsub: target, platform: target, webhooks: target });
  await links.listen();
  const client = connect(links.address('platform'));
  client.on('error', () => undefined);
  await once(client, 'connect');
  const arrived = async (): Promise<string> => {
    if (text === '') await once(listening, 'piece');
    return text;
  };
  return { client, arrived };
}

test('A request is held before its first byte arrives, with all that follows on its connection, until it is let go', async () => {
  const { client, arrived } = await startLinks();
  const held = Promise.withResolvers<HeldRequest>();
  links?.atRequest(held.resolve);
  client.write('POST /messages HTTP/1.1\r\n');
  const request = await held.promise;
  client.write('content-length: 0\r\n\r\n');
  // A second connection is not held: what it sends arrives, and alone.
  const other = connect(links?.address('platform') ?? { port: 0 });
  other.write('POST /others');
  expect(await arrived()).toBe('POST /others');
  const more = server === null ? null : once(server, 'piece');
  request.release();
  await more;
  expect(await arrived()).toContain('POST /messages HTTP/1.1\r\n');
  other.destroy();
  client.destroy();
});

test('There is no link to Redis where none was asked for', async () => {
  await startLinks();
  expect(() => links?.get('redis')).toThrow('no link to redis');
  expect(Object.keys(links?.counts() ?? {}).sort()).toEqual(['platform', 'postgres', 'pubsub', 'webhooks']);
});

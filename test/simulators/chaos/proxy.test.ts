import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type ProxyOptions, TcpProxy } from '../../../simulators/chaos/proxy.ts';
import { PASS } from '../../../simulators/chaos/stream.ts';
import { eventually } from '../../support/events.ts';

/** An end of a connection, and all that has come to it. */
class End {
  readonly socket: Socket;
  text = '';
  error: string | null = null;
  ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (piece) => {
      this.text += piece;
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? 'unknown';
    });
    onTestFinished(() => void socket.destroy());
  }

  has(text: string): Promise<unknown> {
    return eventually(`"${text}" has come`, () => this.text === text);
  }

  /** Resolves with the error that the connection ended by, or null. */
  async closed(): Promise<string | null> {
    await eventually('it is closed', () => this.socket.closed || this.ended);
    return this.error;
  }
}

async function start(options: Partial<ProxyOptions> = {}) {
  const servers: End[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => servers.push(new End(socket)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const proxy = new TcpProxy({ target: () => ({ host: '127.0.0.1', port }), ...options });
  await proxy.listen();
  onTestFinished(async () => {
    await proxy.close();
    server.close();
  });
  const open = async (): Promise<{ client: End; server: End }> => {
    const count = servers.length;
    const client = new End(connect({ host: '127.0.0.1', port: proxy.port, allowHalfOpen: true }));
    const other = await eventually('the server is reached', () => servers[count]);
    return { client, server: other };
  };
  return { proxy, server, open };
}

describe('A proxied link', () => {
  it('passes bytes both ways, and the end of each', async () => {
    const { proxy, open } = await start();
    const { client, server } = await open();
    client.socket.end('question');
    await server.has('question');
    await eventually('the end has come', () => server.ended);
    server.socket.end('answer');
    await client.has('answer');
    expect(await client.closed()).toBeNull();
    await eventually('it is forgotten', () => proxy.open === 0);
    expect(proxy.counts).toEqual({ connections: 1, cut: 0, unreachable: 0, delayedBytes: 0, swallowedBytes: 0 });
  });

  it('passes much at once to a slow reader without a byte lost', async () => {
    const { open } = await start();
    const { client, server } = await open();
    const text = 'x'.repeat(5_000_000);
    server.socket.pause();
    client.socket.write(text);
    server.socket.resume();
    await eventually('all has come', () => server.text.length === text.length);
  });

  it('resets both ends when cut', async () => {
    const { proxy, open } = await start();
    const one = await open();
    const two = await open();
    expect(proxy.cut()).toBe(2);
    for (const end of [one.client, one.server, two.client, two.server]) expect(await end.closed()).toBe('ECONNRESET');
    expect(proxy.counts.cut).toBe(2);
    const { client, server } = await open();
    client.socket.write('again');
    await server.has('again');
  });

  it('holds bytes in a black hole, one way or both, and hands them on when it heals', async () => {
    const { proxy, open } = await start();
    const { client, server } = await open();
    proxy.treat({ kind: 'black_hole' }, ['up']);
    client.socket.write('lost?');
    server.socket.write('heard');
    await client.has('heard');
    await eventually('it is swallowed', () => proxy.counts.swallowedBytes === 5);
    const later = await open();
    later.client.socket.end('new');
    await eventually('that, too', () => proxy.counts.swallowedBytes === 8);
    expect([server.text, later.server.text, later.server.ended]).toEqual(['', '', false]);
    proxy.treat(PASS);
    await server.has('lost?');
    await later.server.has('new');
    await eventually('the end has come', () => later.server.ended);
  });

  it('loses what a black hole holds when that ends with a cut', async () => {
    const { proxy, open } = await start();
    const { client, server } = await open();
    proxy.treat({ kind: 'black_hole' });
    client.socket.write('lost');
    await eventually('it is swallowed', () => proxy.counts.swallowedBytes === 4);
    proxy.cut();
    proxy.treat(PASS);
    expect(await server.closed()).toBe('ECONNRESET');
    expect(server.text).toBe('');
  });

  it('delays bytes, in order, and forgets the rest of the delay when it ends', async () => {
    const { proxy, open } = await start();
    const { client, server } = await open();
    proxy.treat({ kind: 'latency', ms: 200 }, ['up']);
    const sentAt = performance.now();
    client.socket.write('a');
    client.socket.write('b');
    await server.has('ab');
    expect(performance.now() - sentAt).toBeGreaterThanOrEqual(195);
    proxy.treat({ kind: 'latency', ms: 60_000 });
    client.socket.write('c');
    await eventually('it is on its way', () => proxy.counts.delayedBytes === 3);
    proxy.treat(PASS);
    client.socket.write('d');
    await server.has('abcd');
  });

  it('lets bytes trickle', async () => {
    const { proxy, open } = await start();
    const { client, server } = await open();
    proxy.treat({ kind: 'trickle', bytesPerSecond: 1_000 });
    const sentAt = performance.now();
    client.socket.write('x'.repeat(300));
    await eventually('some have come', () => server.text.length > 0);
    expect(server.text.length).toBeLessThan(300);
    await server.has('x'.repeat(300));
    expect(performance.now() - sentAt).toBeGreaterThanOrEqual(280);
  });

  it('is cut after so many bytes', async () => {
    const { proxy, open } = await start();
    const { client, server } = await open();
    proxy.treat({ kind: 'cut_after', bytes: 7 }, ['down']);
    server.socket.write('12345');
    await client.has('12345');
    server.socket.write('67890');
    expect(await server.closed()).toBe('ECONNRESET');
    await client.closed();
    expect('1234567'.startsWith(client.text)).toBe(true);
    expect(proxy.counts.cut).toBe(1);
  });

  it('refuses, and listens again on its port', async () => {
    const { proxy, open } = await start();
    const { client } = await open();
    const { port } = proxy;
    await proxy.refuse();
    expect(await client.closed()).toBe('ECONNRESET');
    const refused = new End(connect(port, '127.0.0.1'));
    expect(await refused.closed()).toBe('ECONNREFUSED');
    await proxy.listen();
    expect(proxy.port).toBe(port);
    const again = await open();
    again.client.socket.write('back');
    await again.server.has('back');
  });

  it('resets a client whose server is not there', async () => {
    const { proxy, server } = await start();
    server.close();
    const client = new End(connect(proxy.port, '127.0.0.1'));
    expect(await client.closed()).toBe('ECONNRESET');
    expect(proxy.counts.unreachable).toBe(1);
  });

  it('drops what a client has given up on, where it is told to', async () => {
    const { proxy, open } = await start({ dropsAbandoned: true });
    const { client, server } = await open();
    proxy.treat({ kind: 'latency', ms: 60_000 }, ['up']);
    client.socket.write('too late');
    await eventually('it is on its way', () => proxy.counts.delayedBytes === 8);
    client.socket.destroy();
    expect(await server.closed()).toBe('ECONNRESET');
    expect(server.text).toBe('');
  });

  it('shows a tap what passes, which may keep it', async () => {
    const kept: string[] = [];
    const { open } = await start({
      tap: (connection) => ({
        up: (bytes) => {
          kept.push(bytes.toString());
          setImmediate(() => connection.pass('up', Buffer.from('instead')));
          return null;
        },
        down: (bytes) => bytes,
      }),
    });
    const { client, server } = await open();
    client.socket.write('original');
    await server.has('instead');
    server.socket.write('untouched');
    await client.has('untouched');
    expect(kept).toEqual(['original']);
  });
});

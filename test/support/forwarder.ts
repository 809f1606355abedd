/** An address that leads to one server, and later to another: what a fail-over looks like to a client. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface Forwarder {
  readonly port: number;
  /** New connections go there from now on; those that are open are cut. */
  move(port: number): void;
  close(): Promise<void>;
}

const HOST = '127.0.0.1';

export async function startForwarder(port: number): Promise<Forwarder> {
  let target = port;
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(target, HOST);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(from);
      // Either end may be cut at any time: then the other one goes, too.
      from.on('error', () => undefined);
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  });
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  server.listen(0, HOST);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    move(next) {
      target = next;
      cut();
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      cut();
      await closed;
    },
  };
}

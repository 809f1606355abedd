import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  /** Counts the connections in the order in which they were opened, from 1. */
  readonly connection: number;
}

export type Behaviour = (response: ServerResponse, received: Received) => void;

export interface Gateway {
  readonly baseUrl: string;
  readonly received: Received[];
  readonly connections: number;
  /** What the gateway does from now on. */
  behave(behaviour: Behaviour): void;
  close(): Promise<void>;
}

/** A real HTTP server on a loopback port whose behaviour a test chooses call by call. */
export async function startGateway(behaviour: Behaviour): Promise<Gateway> {
  let current = behaviour;
  const received: Received[] = [];
  const numbers = new Map<Socket, number>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const connection = numbers.get(request.socket) ?? 0;
      const call = { method, url, headers, body: Buffer.concat(chunks), connection };
      received.push(call);
      current(response, call);
    });
  });
  server.on('connection', (socket) => numbers.set(socket, numbers.size + 1));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    baseUrl: `http://127.0.0.1:${port}`,
    received,
    get connections() {
      return numbers.size;
    },
    behave(next) {
      current = next;
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

export function answer(status: number, body: unknown = '', headers: Record<string, string> = {}): Behaviour {
  return (response) => {
    response.writeHead(status, headers);
    response.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
  };
}

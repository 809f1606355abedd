/** A TCP proxy on the loopback address: one link of the system, on which everything can go wrong that does on networks. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { PASS, ProxyStream, type StreamCounts, type Treatment } from './stream.ts';

/** Towards the server, or back to the client. */
export type Direction = 'up' | 'down';

/** Looks at the bytes of one connection on their way, and may keep them, cut the connection, or act elsewhere. */
export interface Tap {
  /** Null keeps the bytes; `pass` or `cut` of the connection decide about them later. */
  up(bytes: Buffer): Buffer | null;
  down(bytes: Buffer): Buffer | null;
}

export interface ProxyOptions {
  /** Looked up for each connection: the server may come back elsewhere. */
  readonly target: () => { readonly host: string; readonly port: number };
  /** What a client has sent and given up on does not arrive; else it does, as on a network that is only slow. */
  readonly dropsAbandoned?: boolean;
  readonly tap?: (connection: ProxyConnection) => Tap;
}

export interface ProxyCounts extends StreamCounts {
  connections: number;
  /** Connections that were reset on purpose. */
  cut: number;
  /** Connections whose server was not there. */
  unreachable: number;
}

export class TcpProxy {
  readonly counts: ProxyCounts = { connections: 0, cut: 0, unreachable: 0, delayedBytes: 0, swallowedBytes: 0 };
  readonly #options: ProxyOptions;
  readonly #connections = new Set<ProxyConnection>();
  #server: Server | null = null;
  #port = 0;
  #treatments: Record<Direction, Treatment> = { up: PASS, down: PASS };

  constructor(options: ProxyOptions) {
    this.#options = options;
  }

  get port(): number {
    return this.#port;
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#connections.size;
  }

  /** Begins to listen, again on the same port after `refuse`. */
  async listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  /** New connections are refused, and the open ones reset. `listen` ends it. */
  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    const closed = server === null ? null : once(server, 'close');
    server?.close();
    this.cut();
    await closed;
  }

  /** Treats the bytes of all connections like this, those of later ones, too. */
  treat(treatment: Treatment, directions: readonly Direction[] = ['up', 'down']): void {
    for (const direction of directions) {
      this.#treatments[direction] = treatment;
      for (const connection of this.#connections) connection.treat(direction, treatment);
    }
  }

  /** Resets all connections at both ends. */
  cut(): number {
    const connections = [...this.#connections];
    for (const connection of connections) connection.cut();
    return connections.length;
  }

  async close(): Promise<void> {
    await this.refuse();
  }

  #accept(client: Socket): void {
    this.counts.connections++;
    const connection = new ProxyConnection(client, connect({ ...this.#options.target(), allowHalfOpen: true }), {
      ...this.#options,
      counts: this.counts,
      onGone: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    for (const direction of ['up', 'down'] as const) connection.treat(direction, this.#treatments[direction]);
  }
}

interface ConnectionOptions extends ProxyOptions {
  readonly counts: ProxyCounts;
  readonly onGone: () => void;
}

export class ProxyConnection {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #counts: ProxyCounts;
  readonly #streams: Readonly<Record<Direction, ProxyStream>>;
  readonly #onGone: () => void;
  #gone = false;

  constructor(client: Socket, server: Socket, options: ConnectionOptions) {
    this.#client = client;
    this.#server = server;
    this.#counts = options.counts;
    this.#onGone = options.onGone;
    const cut = (): void => this.cut();
    this.#streams = {
      up: new ProxyStream(client, server, options.counts, cut),
      down: new ProxyStream(server, client, options.counts, cut),
    };
    server.setNoDelay(true);
    const tap = options.tap?.(this);
    this.#read(client, 'up', tap);
    this.#read(server, 'down', tap);
    client.on('end', () => (options.dropsAbandoned ? this.#reset() : this.#streams.up.end()));
    server.on('end', () => this.#streams.down.end());
    client.on('error', () => this.#clientBroke(options.dropsAbandoned ?? false));
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') this.#counts.unreachable++;
      this.#reset();
    });
    const closed = (): void => {
      if (client.closed && server.closed) this.#end();
    };
    client.on('close', closed);
    server.on('close', closed);
  }

  treat(direction: Direction, treatment: Treatment): void {
    this.#streams[direction].treat(treatment);
  }

  /** Lets bytes through that a tap has kept. */
  pass(direction: Direction, bytes: Buffer): void {
    if (!this.#gone) this.#streams[direction].push(bytes);
  }

  /** Resets both ends; what is on its way is lost. */
  cut(): void {
    if (this.#gone) return;
    this.#counts.cut++;
    this.#reset();
  }

  #read(from: Socket, direction: Direction, tap: Tap | undefined): void {
    from.on('data', (bytes: Buffer) => {
      const rest = tap === undefined ? bytes : tap[direction](bytes);
      if (rest !== null) this.pass(direction, rest);
    });
  }

  /** Its bytes had left before it broke: on a slow network they arrive all the same. */
  #clientBroke(dropped: boolean): void {
    if (dropped) this.#reset();
    else this.#streams.up.end();
  }

  #reset(): void {
    if (this.#gone) return;
    for (const socket of [this.#client, this.#server]) {
      // Node writes what is pending before it resets, and a reset that meets the end of that leaves the socket open for
      // good. Such a one is closed instead.
      if (socket.connecting || socket.writableEnded || socket.writableLength > 0) socket.destroy();
      else socket.resetAndDestroy();
    }
    this.#end();
  }

  #end(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#streams.up.drop();
    this.#streams.down.drop();
    this.#onGone();
  }
}

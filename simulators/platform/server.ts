import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Server as Listener, Socket } from 'node:net';
import { type Connection, Exchange } from './exchange.ts';
import type { Lookup } from './lookup.ts';
import type { Doors, OutagePlan, Outages } from './outages.ts';
import type { Answer } from './profile.ts';
import { Draws, Purpose } from './random.ts';
import type { Sending } from './sending.ts';
import { raise } from './stats.ts';
import { BROKEN_HANDSHAKES, type BrokenHandshake, carrierOf, reset, TlsListener } from './tls.ts';
import type { Uploads } from './uploads.ts';
import type { World } from './world.ts';

/** A connection that the client ends so soon after an answer may have ended before the client read it. */
const DOUBT_MS = 250;

export type RequestHandler = (request: IncomingMessage, response: ServerResponse) => void;

/** Listens on `port` (0: any free one) and resolves with the address. Rejects when the port is taken. */
export const listen = async (server: Listener, host: string, port: number): Promise<AddressInfo> => {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, 2_048, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return server.address() as AddressInfo;
};

/** Ends a server and every connection to it. */
export const shut = async (server: Server): Promise<void> => {
  if (!server.listening) return;
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
};

/** The platform's public port: authentication, routing, connection behaviour, outages. */
export class PlatformServer implements Doors {
  readonly #world: World;
  readonly #sending: Sending;
  readonly #lookup: Lookup;
  readonly #uploads: Uploads;
  readonly #outages: Outages;
  readonly #control: RequestHandler;
  readonly tls: boolean;
  readonly #http: Server;
  /** The same, or the TCP server below TLS. */
  readonly #listener: Listener;
  /** By TCP connection, like all that follows. */
  readonly #connections = new WeakMap<Socket, Connection>();
  readonly #open = new Set<Socket>();
  /** Sockets of requests that fell into a black hole. */
  readonly #swallowed = new Set<Socket>();
  #lastConnection = 0;
  #host = '127.0.0.1';
  #port = 0;

  constructor(
    world: World,
    sending: Sending,
    lookup: Lookup,
    uploads: Uploads,
    outages: Outages,
    control: RequestHandler,
    tls: boolean,
  ) {
    this.#world = world;
    this.#sending = sending;
    this.#lookup = lookup;
    this.#uploads = uploads;
    this.#outages = outages;
    this.#control = control;
    this.tls = tls;
    const handle: RequestHandler = (request, response) => this.#handle(request, response);
    if (tls) {
      const { http, listener } = new TlsListener(handle, {
        connected: (carrier) => this.#handshake(this.#connected(carrier)),
        secured: (socket) => this.#watch(socket),
        broken: (carrier, how) => this.#broken(carrier, how),
      });
      this.#http = http;
      this.#listener = listener;
    } else {
      this.#http = createServer({ noDelay: true }, handle);
      this.#listener = this.#http;
      this.#listener.on('connection', (socket) => {
        this.#connected(socket);
        this.#watch(socket);
      });
    }
    this.applySettings();
  }

  get connections(): number {
    return this.#open.size;
  }

  async start(host: string, port: number): Promise<string> {
    const address = await listen(this.#listener, host, port);
    this.#host = host;
    this.#port = address.port;
    return `${this.tls ? 'https' : 'http'}://${host}:${address.port}`;
  }

  async stop(): Promise<void> {
    if (!this.#listener.listening) return;
    await new Promise<void>((resolve) => {
      this.#listener.close(() => resolve());
      for (const socket of this.#open) socket.destroy();
    });
  }

  applySettings(): void {
    const { http } = this.#world.resolver.settings;
    this.#http.keepAliveTimeout = http.keepAliveMs;
    this.#http.maxRequestsPerSocket = http.maxRequestsPerConnection;
    this.#listener.maxConnections = http.maxConnections;
  }

  /** From now on connections are refused; the open ones are reset. */
  close(): void {
    this.#listener.close();
    this.cut();
  }

  /** Listens again on the same port. */
  open(): void {
    // Nobody else should have taken the port meanwhile; if so, the platform cannot go on, and says so loudly.
    this.#listener.listen(this.#port, this.#host, 2_048);
  }

  /** Resets all open connections. */
  cut(): void {
    for (const socket of this.#open) reset(socket);
  }

  cutSwallowed(): void {
    for (const socket of this.#swallowed) reset(socket);
    this.#swallowed.clear();
  }

  #connected(socket: Socket): Connection {
    const connection: Connection = { no: ++this.#lastConnection, requests: 0, lastAnswered: undefined };
    this.#connections.set(socket, connection);
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#swallowed.delete(socket);
    });
    return connection;
  }

  /** How a new connection's handshake is broken now, if it is. */
  #handshake({ no }: Connection): BrokenHandshake | undefined {
    const outage = this.#outages.ofTls();
    if (outage === undefined || outage.handshake !== undefined) return outage?.handshake;
    const draws = Draws.of(this.#world.seed, `connection ${no}`);
    return BROKEN_HANDSHAKES[draws.integer(Purpose.handshake, 0, BROKEN_HANDSHAKES.length - 1)];
  }

  #broken(carrier: Socket, how: BrokenHandshake): void {
    raise(this.#world.stats.faults, `handshake_${how}`);
    const detail = { conn: this.#connections.get(carrier)?.no, how };
    this.#world.truth.append({ t: 'event', at: this.#world.now(), event: 'handshake_broken', detail });
  }

  /** Of a connection on which requests may come: whether the client ends it too soon after an answer. */
  #watch(socket: Socket): void {
    const connection = this.#connections.get(carrierOf(socket));
    socket.once('close', (hadError) => {
      const last = connection?.lastAnswered;
      const byClient = hadError || socket.readableEnded;
      if (last && byClient && this.#world.now() - last.at < DOUBT_MS) {
        this.#world.truth.append({ t: 'doubt', r: last.r, at: this.#world.now() });
      }
    });
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url: path = '' } = request;
    if (path.startsWith('/control/')) {
      this.#control(request, response);
      return;
    }
    const uploads = this.#world.profile.uploads?.accepts(method, path) ?? false;
    const route = uploads ? 'upload' : this.#world.profile.route(method, path);
    const connection = this.#connections.get(carrierOf(request.socket));
    if (route === undefined || connection === undefined) {
      reply(response, { status: 404, headers: ['content-type', 'text/plain'], body: '' });
      return;
    }
    connection.requests++;
    connection.lastAnswered = undefined;
    const credential = this.#world.profile.credential(request.headers, path);
    const channel = credential === undefined ? undefined : this.#world.resolver.channelOf(credential);
    const outage = this.#outages.hitting(channel);
    if (outage?.kind === 'black_hole') {
      this.#world.stats.requests++;
      raise(this.#world.stats.faults, 'swallowed');
      this.#swallowed.add(carrierOf(request.socket));
    } else if (route === 'lookup') this.#lookUp(request, response, channel, outage);
    else if (route === 'upload') this.#upload(request, response, channel, outage);
    else if (route === 'other') this.#answerOther(request, response, channel, outage);
    else this.#send(request, new Exchange(this.#world, request, response, connection), channel, outage);
  }

  #lookUp(
    request: IncomingMessage,
    response: ServerResponse,
    channel: string | undefined,
    outage: OutagePlan | undefined,
  ): void {
    if (channel === undefined) reply(response, { status: 401, headers: [], body: '' });
    else if (outage?.kind === 'reset') reset(request.socket);
    else if (outage?.kind === 'server_error') reply(response, { status: outage.status ?? 503, headers: [], body: '' });
    else this.#lookup.handle(channel, request.url ?? '', (answer) => reply(response, answer));
  }

  #upload(
    request: IncomingMessage,
    response: ServerResponse,
    channel: string | undefined,
    outage: OutagePlan | undefined,
  ): void {
    if (outage?.kind === 'reset') reset(request.socket);
    else if (outage?.kind === 'server_error') {
      request.resume();
      reply(response, { status: outage.status ?? 503, headers: [], body: '' });
    } else this.#uploads.handle(request, channel, (answer) => reply(response, answer));
  }

  #answerOther(
    request: IncomingMessage,
    response: ServerResponse,
    channel: string | undefined,
    outage: OutagePlan | undefined,
  ): void {
    const { profile, clock, resolver } = this.#world;
    const { method = '', url: path = '', headers } = request;
    const { channels } = resolver.settings;
    request.resume();
    if (outage?.kind === 'reset') {
      reset(request.socket);
      return;
    }
    const answer =
      outage?.kind === 'server_error'
        ? { status: outage.status ?? 503, headers: [], body: '' }
        : profile.other?.({ method, path, headers, channel, channels, wallMs: clock.wallMs() });
    reply(response, answer ?? { status: 404, headers: [], body: '' });
  }

  #send(
    request: IncomingMessage,
    exchange: Exchange,
    channel: string | undefined,
    outage: OutagePlan | undefined,
  ): void {
    if (channel === undefined) {
      request.resume();
      this.#sending.unauthorized(exchange);
    } else if (outage !== undefined && outage.kind !== 'crawl') {
      request.resume();
      const answer = outage.kind === 'server_error' ? outageAnswer(outage) : undefined;
      this.#sending.thrownAway(exchange, channel, `outage_${outage.kind}`, answer, outage.definite ?? false);
    } else {
      const incoming = this.#sending.head(exchange, channel);
      if (incoming === undefined) return;
      const most = this.#world.resolver.channel(channel).request.maxBodyBytes;
      readBody(request, most, (body) => this.#sending.body(incoming, body, request.url ?? ''));
    }
  }
}

const reply = (response: ServerResponse, { status, headers, body }: Answer): void => {
  response.writeHead(status, [...headers, 'content-length', String(Buffer.byteLength(body))]);
  response.end(body);
};

const outageAnswer = ({ status = 503, definite = false }: OutagePlan): Answer => ({
  status,
  headers: ['content-type', 'application/json'],
  body: JSON.stringify({ error: { code: 'unavailable', scope: 'channel', processed: definite ? false : undefined } }),
});

/** The whole body; undefined when it has more than `most` bytes. Not called when the client goes away before its end. */
export const readBody = (request: IncomingMessage, most: number, done: (body: Buffer | undefined) => void): void => {
  const chunks: Buffer[] = [];
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= most) chunks.push(chunk);
  });
  request.once('end', () => {
    if (size > most) done(undefined);
    else done(chunks.length === 1 ? chunks[0] : Buffer.concat(chunks));
  });
};

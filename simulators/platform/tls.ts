import { readFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server as HttpsServer } from 'node:https';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { RequestHandler } from './server.ts';

const fileOf = (name: string): string => fileURLToPath(new URL(`tls/${name}.pem`, import.meta.url));

/** File of the certificate that clients of a platform with TLS have to trust; see `NODE_EXTRA_CA_CERTS` of Node. */
export const CERTIFICATE_FILE = fileOf('trusted-certificate');

/** How a handshake is broken once the client has begun it. */
export const BROKEN_HANDSHAKES = ['reset', 'close', 'alert', 'garbage', 'untrusted'] as const;
export type BrokenHandshake = (typeof BROKEN_HANDSHAKES)[number];

/** A fatal alert, handshake_failure, in a record of TLS 1.2. */
const FATAL_ALERT = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]);
/** What a port answers on which somebody has forgotten to switch TLS on. */
const GARBAGE = 'HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n';

/** By TLS connection: the TCP connection that carries it. */
const carriers = new WeakMap<Socket, Socket>();

/** The TCP connection itself, also where TLS is spoken on it. */
export const carrierOf = (socket: Socket): Socket => carriers.get(socket) ?? socket;

/** Resets a connection (RST); TLS itself knows no reset. */
export const reset = (socket: Socket): void => {
  carrierOf(socket).resetAndDestroy();
};

export interface TlsEvents {
  /** A TCP connection has been made. Says how its handshake shall be broken, if it shall. */
  connected(carrier: Socket): BrokenHandshake | undefined;
  /** A handshake has succeeded: requests may come. */
  secured(socket: Socket): void;
  /** The client has begun its handshake, and it is being broken. */
  broken(carrier: Socket, how: BrokenHandshake): void;
}

/** HTTP over TLS on a TCP listener of our own, so that a handshake can be broken below TLS. */
export class TlsListener {
  readonly listener: Server;
  readonly http: HttpsServer;
  readonly #untrusted: HttpsServer;
  readonly #events: TlsEvents;
  readonly #carriers = new Map<string, Socket>();

  constructor(handle: RequestHandler, events: TlsEvents) {
    this.#events = events;
    this.http = this.#speaking('trusted', handle);
    this.#untrusted = this.#speaking('untrusted', handle);
    this.listener = createTcpServer({ noDelay: true }, (carrier) => this.#connected(carrier));
  }

  #speaking(name: string, handle: RequestHandler): HttpsServer {
    const pair = { cert: readFileSync(fileOf(`${name}-certificate`)), key: readFileSync(fileOf(`${name}-key`)) };
    const server = createHttpServer(pair, handle);
    server.prependListener('secureConnection', (socket) => {
      const carrier = this.#carriers.get(peerOf(socket));
      // Whoever has gone already will ask for nothing.
      if (carrier === undefined) socket.destroy();
      else {
        carriers.set(socket, carrier);
        this.#events.secured(socket);
      }
    });
    return server;
  }

  #connected(carrier: Socket): void {
    const peer = peerOf(carrier);
    this.#carriers.set(peer, carrier);
    carrier.once('close', () => {
      if (this.#carriers.get(peer) === carrier) this.#carriers.delete(peer);
    });
    const how = this.#events.connected(carrier);
    if (how === undefined) this.http.emit('connection', carrier);
    else this.#break(carrier, how);
  }

  #break(carrier: Socket, how: BrokenHandshake): void {
    // A client that is faster and resets the connection itself: it is closed then, which is all that we wanted.
    const gone = () => carrier.destroy();
    carrier.once('error', gone);
    carrier.once('readable', () => {
      const hello: Buffer | null = carrier.read();
      if (hello === null) {
        carrier.destroy();
        return;
      }
      this.#events.broken(carrier, how);
      if (how === 'untrusted') {
        carrier.off('error', gone);
        carrier.unshift(hello);
        this.#untrusted.emit('connection', carrier);
        return;
      }
      if (how === 'reset') carrier.resetAndDestroy();
      else if (how === 'close') carrier.end();
      else carrier.end(how === 'alert' ? FATAL_ALERT : GARBAGE);
      carrier.resume();
    });
  }
}

const peerOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

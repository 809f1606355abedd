import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answer } from './profile.ts';
import { reset } from './tls.ts';
import type { World } from './world.ts';

/** What the platform keeps about one client connection. */
export interface Connection {
  readonly no: number;
  requests: number;
  /** The last request whose answer left the connection open, and when (platform time). */
  lastAnswered: { r: number; at: number } | undefined;
}

/** One send request on the wire: answers it at most once, and records how it ended. */
export class Exchange {
  readonly #world: World;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly connection: Connection;
  /** Number in the ground truth, given with the receipt. */
  #r: number | undefined;
  #ended: 'no' | 'answered' | 'gone' = 'no';
  #onEnd: (() => void) | undefined;

  constructor(world: World, request: IncomingMessage, response: ServerResponse, connection: Connection) {
    this.#world = world;
    this.#request = request;
    this.#response = response;
    this.connection = connection;
    response.once('close', () => this.#gone());
  }

  get headers(): IncomingMessage['headers'] {
    return this.#request.headers;
  }

  get over(): boolean {
    return this.#ended !== 'no';
  }

  /** The receipt with number `r` has been recorded; `onEnd` runs once the request has ended, whichever way. */
  received(r: number, onEnd: () => void): void {
    this.#r = r;
    this.#onEnd = onEnd;
    if (this.#ended === 'gone') this.#record(0, true);
  }

  /** `unknownOutcome`: even a sender that reads this answer cannot know what became of the message. */
  answer({ status, headers, body }: Answer, unknownOutcome: boolean, close: boolean): void {
    if (this.over) return;
    const more = close ? ['connection', 'close'] : [];
    this.#response.writeHead(status, [...headers, ...more, 'content-length', String(Buffer.byteLength(body))]);
    this.#response.end(body);
    this.#ended = 'answered';
    this.#record(status, unknownOutcome);
    const { maxRequestsPerConnection } = this.#world.resolver.settings.http;
    const last = maxRequestsPerConnection > 0 && this.connection.requests >= maxRequestsPerConnection;
    if (this.#r !== undefined && !close && !last && this.#response.shouldKeepAlive) {
      this.connection.lastAnswered = { r: this.#r, at: this.#world.now() };
    }
  }

  /** Resets the connection (RST), with nothing or with the first half of an answer. */
  reset(half?: Answer): void {
    if (this.over) return;
    this.#ended = 'answered';
    const { socket } = this.#request;
    if (half) {
      this.#response.writeHead(half.status, [...half.headers, 'content-length', String(Buffer.byteLength(half.body))]);
      this.#response.write(half.body.slice(0, Math.ceil(half.body.length / 2)), () => reset(socket));
    } else reset(socket);
    this.#record(0, true);
  }

  /** There will be no answer; the connection stays as it is. */
  silent(): void {
    this.#runOnEnd();
  }

  /** The client hung up, or its process died. */
  #gone(): void {
    if (this.over) return;
    this.#ended = 'gone';
    if (this.#r !== undefined) this.#record(0, true);
  }

  #record(status: number, unknownOutcome: boolean): void {
    if (this.#r === undefined) return;
    this.#world.truth.append({ t: 'answer', r: this.#r, at: this.#world.now(), status, unknownOutcome });
    this.#runOnEnd();
    this.#world.checkIdle();
  }

  #runOnEnd(): void {
    const run = this.#onEnd;
    this.#onEnd = undefined;
    run?.();
  }
}

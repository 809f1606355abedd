import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { HttpReader, UnreadableError } from './http-reader.ts';
import type { Truth } from './truth.ts';

export interface SenderOptions {
  readonly urls: readonly string[];
  readonly secret: string;
  readonly batch: { readonly size: number; readonly lingerMs: number };
}

interface Item {
  readonly message: number;
  readonly reference: string;
  readonly at: number;
}

interface Call {
  readonly number: number;
  readonly id: string;
  readonly body: string;
  readonly items: number;
  attempt: number;
}

/** To each address; calls follow each other on a connection without waiting for answers, which come in the same order. */
const CONNECTIONS = 8;
const MOST_OPEN = 256;
/** So many that leave at the same moment take the same connection, in one write. */
const IN_A_ROW = 8;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;
/** A connection that answers nothing for so long is ended. */
const ANSWER_DEADLINE_MS = 30_000;

/** Tells one channel's statuses. What is not answered 2xx is told again, for ever. */
export class WebhookSender {
  readonly #truth: Truth;
  readonly #options: SenderOptions;
  readonly #key: KeyObject;
  readonly #connections: Connection[];
  #waiting: Item[] = [];
  #linger: NodeJS.Timeout | undefined;
  /** Calls that no connection has room for. */
  readonly #ready: Call[] = [];
  /** Items of calls that will be made again. */
  #later = 0;
  #active = 0;
  #turn = 0;
  #ended = false;

  constructor(truth: Truth, options: SenderOptions) {
    this.#truth = truth;
    this.#options = options;
    const { secret } = options;
    const raw = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret);
    this.#key = createSecretKey(raw);
    this.#connections = options.urls.flatMap((url) =>
      Array.from(
        { length: CONNECTIONS },
        () => new Connection(new URL(url), (call, status) => this.#done(call, status)),
      ),
    );
  }

  get waiting(): number {
    return this.#waiting.length + this.#later + this.#ready.reduce((sum, { items }) => sum + items, 0);
  }

  /** Calls under way. */
  get active(): number {
    return this.#active;
  }

  /** To be followed by `flush`. */
  push(item: Item): void {
    this.#waiting.push(item);
    if (this.#waiting.length >= this.#options.batch.size) this.#compose();
  }

  /** Sends what may leave now. */
  flush(): void {
    if (this.#waiting.length > 0) {
      const { lingerMs } = this.#options.batch;
      if (lingerMs === 0) this.#compose();
      else this.#linger ??= setTimeout(() => this.#lingerOver(), lingerMs);
    }
    this.#pump();
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#linger);
    for (const connection of this.#connections) connection.end();
  }

  #lingerOver(): void {
    this.#linger = undefined;
    if (this.#waiting.length > 0) this.#compose();
    this.#pump();
  }

  #compose(): void {
    const items = this.#waiting;
    this.#waiting = [];
    const number = this.#truth.composed(items.map(({ message }) => message));
    const statuses = items.map(({ message, reference, at }) => {
      const id = this.#truth.idOf(message);
      return `{"id":"${id}","reference":"${reference}","status":"delivered","at":${Math.round(at)}}`;
    });
    const body = `{"statuses":[${statuses.join(',')}]}`;
    this.#ready.push({ number, id: `msg_${this.#truth.idOf(number)}`, body, items: items.length, attempt: 0 });
  }

  #pump(): void {
    let next = 0;
    for (; next < this.#ready.length; next++) {
      const call = this.#ready[next] as Call;
      const connection = this.#roomy();
      if (connection === undefined) break;
      call.attempt++;
      this.#active++;
      this.#truth.calling(call.number, call.attempt);
      connection.add(call, this.#signed(call));
    }
    if (next === 0) return;
    this.#ready.splice(0, next);
    for (const connection of this.#connections) connection.flush();
  }

  #roomy(): Connection | undefined {
    const present = this.#connections[this.#turn];
    if (present !== undefined && present.unsent > 0 && present.unsent < IN_A_ROW && present.open < MOST_OPEN) {
      return present;
    }
    for (let tried = 0; tried < this.#connections.length; tried++) {
      this.#turn = (this.#turn + 1) % this.#connections.length;
      const connection = this.#connections[this.#turn];
      if (connection !== undefined && connection.open < MOST_OPEN) return connection;
    }
    return undefined;
  }

  #signed({ id, body }: Call): string {
    const timestamp = Math.floor(this.#truth.wallMs() / 1_000);
    const signature = createHmac('sha256', this.#key).update(`${id}.${timestamp}.${body}`).digest('base64');
    return `webhook-id: ${id}\r\nwebhook-timestamp: ${timestamp}\r\nwebhook-signature: v1,${signature}\r\n\r\n${body}`;
  }

  #done(call: Call, status: number): void {
    if (this.#ended) return;
    this.#active--;
    this.#truth.called(call.number, call.attempt, status);
    if (status < 200 || status > 299) {
      this.#later += call.items;
      const delayMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (call.attempt - 1));
      setTimeout(() => {
        this.#later -= call.items;
        this.#ready.push(call);
        this.#pump();
      }, delayMs);
    }
    if (this.#ready.length > 0) this.#pump();
  }
}

/** One kept-alive connection; opened when it is needed. */
class Connection {
  readonly #url: URL;
  readonly #head: string;
  readonly #done: (call: Call, status: number) => void;
  #socket: Socket | null = null;
  #calls: Call[] = [];
  #out = '';
  #unsent = 0;

  constructor(url: URL, done: (call: Call, status: number) => void) {
    this.#url = url;
    this.#done = done;
    this.#head = `POST ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: application/json\r\ncontent-length: `;
  }

  /** Calls that are not answered. */
  get open(): number {
    return this.#calls.length;
  }

  /** Calls that wait for `flush`. */
  get unsent(): number {
    return this.#unsent;
  }

  /** Bodies hold ASCII only, so that their length is that of the text. To be followed by `flush`. */
  add(call: Call, signed: string): void {
    this.#calls.push(call);
    this.#unsent++;
    this.#out += `${this.#head}${call.body.length}\r\n${signed}`;
  }

  flush(): void {
    if (this.#out === '') return;
    this.#socket ??= this.#connect();
    this.#socket.write(this.#out, 'latin1');
    this.#out = '';
    this.#unsent = 0;
  }

  end(): void {
    this.#socket?.destroy();
  }

  #connect(): Socket {
    const socket = connect(Number(this.#url.port), this.#url.hostname);
    socket.setNoDelay(true);
    const reader = new HttpReader(({ head }) => {
      const call = this.#calls.shift();
      if (call !== undefined) this.#done(call, Number(head.slice(9, 12)));
    });
    socket.on('data', (piece) => {
      try {
        reader.push(piece);
      } catch (error) {
        if (!(error instanceof UnreadableError)) throw error;
        socket.destroy();
      }
    });
    socket.setTimeout(ANSWER_DEADLINE_MS, () => {
      if (this.#calls.length > 0) socket.destroy();
    });
    // What goes wrong shows in 'close', which always follows.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#socket = null;
      this.#out = '';
      this.#unsent = 0;
      const calls = this.#calls;
      this.#calls = [];
      for (const call of calls) this.#done(call, 0);
    });
    return socket;
  }
}

import { createServer, type Server, type Socket } from 'node:net';
import { drawDelayMs } from '../delay.ts';
import { Draws, Purpose } from '../random.ts';
import { type HttpMessage, HttpReader, headerOf, UnreadableError } from './http-reader.ts';
import { changeLean, channelsOf, type Knobs, type LeanPatch, type LeanSettings } from './settings.ts';
import { Decision, type DecisionNumber, Truth } from './truth.ts';
import { WebhookSender } from './webhook-sender.ts';
import { Wheel } from './wheel.ts';

const SEND = 'POST /v1/messages HTTP/1.1\r\n';
const HEALTH = 'GET /v1/health HTTP/1.1\r\n';
const LOOKUP = 'GET /v1/messages?';
const REFERENCE = /^[A-Za-z0-9_-]{1,40}$/;

interface Channel {
  readonly name: string;
  readonly knobs: Knobs;
  readonly sender: WebhookSender | null;
  readonly counts: { accepted: number; shown: number };
}

interface Connection {
  readonly number: number;
  readonly socket: Socket;
  /** Answers that leave when everything that was read has been looked at. */
  out: string;
}

/** An accepted message on its way to its phone. */
interface OnItsWay {
  readonly channel: Channel;
  readonly reference: string;
  readonly told: boolean;
}

interface Sent {
  readonly reference: string;
  readonly to: string;
}

/**
 * The generic HTTP platform of docs/generic-http-platform.md for measuring: it speaks the same protocol as the full fake
 * platform, over sockets that it reads and writes itself, and has the few knobs that a load needs. It forgets references,
 * so that a repeated one is accepted anew, and knows nothing at lookups.
 */
export class LeanPlatform {
  readonly truth: Truth;
  readonly #seed: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #wheel = new Wheel((due) => this.#due(due));
  readonly #onTheirWay = new Map<number, OnItsWay>();
  readonly #byName = new Map<string, Channel>();
  readonly #byToken = new Map<string, Channel>();
  readonly #counts = { requests: 0, accepted: 0, refused: 0, dropped: 0, shown: 0 };
  #settings: LeanSettings = { defaults: {}, channels: {} };
  #connections = 0;

  constructor(seed: string, settings: LeanPatch) {
    this.#seed = seed;
    this.truth = new Truth(seed);
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.change(settings);
  }

  /** Resolves with its address. */
  listen(port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', 4_096, () => {
        const address = this.#server.address();
        resolve(`http://127.0.0.1:${typeof address === 'object' ? address?.port : port}`);
      });
    });
  }

  /** All or nothing; recorded. @throws Error where a knob does not exist */
  change(patch: LeanPatch): void {
    this.#settings = changeLean(this.#settings, patch);
    const channels = channelsOf(this.#settings);
    for (const name of [...this.#byName.keys()]) if (!channels.has(name)) this.#remove(name);
    for (const [name, knobs] of channels) this.#set(name, knobs);
    this.#byToken.clear();
    for (const channel of this.#byName.values()) this.#byToken.set(`Bearer ${channel.knobs.token}`, channel);
    this.truth.event('settings');
  }

  /** What those ask who wait for a load to end, in the words of the full fake platform. */
  stats() {
    const senders = [...this.#byName.values()].flatMap(({ sender }) => sender ?? []);
    return {
      ...this.#counts,
      connections: this.#sockets.size,
      faults: {},
      channels: Object.fromEntries([...this.#byName].map(([name, { counts }]) => [name, counts])),
      webhooksWaiting: senders.reduce((sum, { waiting }) => sum + waiting, 0),
      webhooksActive: senders.reduce((sum, { active }) => sum + active, 0),
    };
  }

  /** Nothing is told any more. */
  async close(): Promise<void> {
    for (const { sender } of this.#byName.values()) sender?.end();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #set(name: string, knobs: Knobs): void {
    const known = this.#byName.get(name);
    const keeps =
      known !== undefined &&
      JSON.stringify([known.knobs.webhook, known.knobs.batch]) === JSON.stringify([knobs.webhook, knobs.batch]);
    if (!keeps) known?.sender?.end();
    const { webhook, batch } = knobs;
    const fresh = () => (webhook === null ? null : new WebhookSender(this.truth, { ...webhook, batch }));
    const sender = keeps ? known.sender : fresh();
    this.#byName.set(name, { name, knobs, sender, counts: known?.counts ?? { accepted: 0, shown: 0 } });
  }

  #remove(name: string): void {
    this.#byName.get(name)?.sender?.end();
    this.#byName.delete(name);
  }

  #accept(socket: Socket): void {
    const connection: Connection = { number: ++this.#connections, socket, out: '' };
    this.#sockets.add(socket);
    const reader = new HttpReader((message) => this.#read(connection, message));
    socket.on('data', (piece) => {
      try {
        reader.push(piece);
      } catch (error) {
        if (!(error instanceof UnreadableError)) throw error;
        connection.out += answer(400, '');
        socket.end();
      }
      if (connection.out === '') return;
      socket.write(connection.out, 'latin1');
      connection.out = '';
    });
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  #read(connection: Connection, message: HttpMessage): void {
    const { head } = message;
    const channel = this.#byToken.get(headerOf(message, 'authorization'));
    const line = `${head.slice(0, head.indexOf('\r\n'))}\r\n`;
    if (line === SEND) this.#send(connection, message, channel);
    else if (channel === undefined) connection.out += answer(401, '');
    else if (line === HEALTH) connection.out += answer(204, '');
    else if (line.startsWith(LOOKUP)) connection.out += answer(404, '{"error":{"code":"unknown_reference"}}');
    else connection.out += answer(404, '');
  }

  #send(connection: Connection, message: HttpMessage, channel: Channel | undefined): void {
    this.#counts.requests++;
    const { truth } = this;
    const at = truth.now();
    const received = (decision: DecisionNumber, fault: string): number =>
      truth.received(
        {
          channel: channel?.name ?? '',
          attempt: Number(headerOf(message, 'roomline-attempt')),
          worker: headerOf(message, 'roomline-worker'),
          generation: Number(headerOf(message, 'roomline-generation')),
          connection: connection.number,
          body: message.body,
          decision,
          fault,
        },
        at,
      );
    const sent = readSent(message);
    if (channel === undefined || sent === null) {
      const status = channel === undefined ? 401 : 400;
      this.#counts.refused++;
      const decision = channel === undefined ? Decision.refused : Decision.invalid;
      this.#answer(connection, received(decision, status === 401 ? 'token' : 'request'), status, '', 0);
      return;
    }
    const { knobs } = channel;
    const draws = Draws.of(this.#seed, sent.reference, Number(headerOf(message, 'roomline-attempt')));
    const { refusal } = knobs;
    if (refusal !== null && draws.chance(Purpose.fault, refusal.share)) {
      this.#refuse(connection, received, refusal.status, refusal.retryAfterMs);
      return;
    }
    this.#counts.accepted++;
    channel.counts.accepted++;
    const number = received(Decision.accepted, '');
    const silent = knobs.silentRooms !== '' && sent.to.startsWith(knobs.silentRooms);
    const told = channel.sender !== null && !silent && !draws.chance(Purpose.loseAll, knobs.lossShare);
    this.#onTheirWay.set(number, { channel, reference: sent.reference, told });
    const answerMs = drawDelayMs(knobs.answerDelayMs, draws, Purpose.responseDelay);
    const body = `{"id":"${truth.idOf(number)}","acceptedAt":${Math.round(truth.wallMs(at))}}`;
    this.#answer(connection, number, 200, body, answerMs);
    const ackMs = answerMs + drawDelayMs(knobs.ackDelayMs, draws, Purpose.deliveredDelay);
    this.#wheel.add(performance.now() + ackMs, number);
  }

  #refuse(
    connection: Connection,
    received: (decision: DecisionNumber, fault: string) => number,
    status: number,
    retryAfterMs: number | null,
  ): void {
    if (status === 0) {
      this.#counts.dropped++;
      const number = received(Decision.dropped, 'reset');
      this.truth.answered(number, 0);
      connection.socket.destroy();
      return;
    }
    this.#counts.refused++;
    const number = received(status < 500 ? Decision.refused : Decision.unknown, `status_${status}`);
    const wait = retryAfterMs === null ? '' : `retry-after: ${Math.ceil(retryAfterMs / 1_000)}\r\n`;
    this.#answer(connection, number, status, '', 0, wait);
  }

  #answer(connection: Connection, request: number, status: number, body: string, delayMs: number, more = ''): void {
    if (delayMs === 0) {
      connection.out += answer(status, body, more);
      this.truth.answered(request, status);
      return;
    }
    setTimeout(() => {
      connection.socket.write(answer(status, body, more), 'latin1');
      this.truth.answered(request, status);
    }, delayMs);
  }

  /** Phones show these messages now. */
  #due(messages: readonly number[]): void {
    const at = this.truth.now();
    const wallMs = this.truth.wallMs(at);
    const senders = new Set<WebhookSender>();
    for (const message of messages) {
      const onItsWay = this.#onTheirWay.get(message);
      if (onItsWay === undefined) continue;
      this.#onTheirWay.delete(message);
      const { channel, reference, told } = onItsWay;
      this.#counts.shown++;
      channel.counts.shown++;
      this.truth.shown(message, !told, at);
      // The sender may be another one by now.
      const sender = this.#byName.get(channel.name)?.sender ?? null;
      if (!told || sender === null) continue;
      sender.push({ message, reference, at: wallMs });
      senders.add(sender);
    }
    for (const sender of senders) sender.flush();
  }
}

/** Null where the request is none of the protocol's. */
function readSent(message: HttpMessage): Sent | null {
  const body = readJson(message.body);
  if (body === null) return null;
  const { reference, to, content } = body;
  if (typeof reference !== 'string' || !REFERENCE.test(reference)) return null;
  if (headerOf(message, 'idempotency-key') !== reference) return null;
  if (typeof to !== 'string' || to === '' || content === undefined || content === null) return null;
  if (!headerOf(message, 'content-type').startsWith('application/json')) return null;
  return { reference, to };
}

function readJson(body: Buffer): Record<string, unknown> | null {
  try {
    const parsed: unknown = JSON.parse(body.toString());
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : null;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

const REASONS: Readonly<Record<number, string>> = { 200: 'OK', 204: 'No Content', 429: 'Too Many Requests' };

function answer(status: number, body: string, more = ''): string {
  const type = body === '' ? '' : 'content-type: application/json\r\n';
  const length = status === 204 ? '' : `content-length: ${body.length}\r\n`;
  return `HTTP/1.1 ${status} ${REASONS[status] ?? 'No'}\r\n${type}${length}${more}\r\n${body}`;
}

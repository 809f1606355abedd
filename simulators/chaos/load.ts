/** An open-loop load: so many messages a second, whatever becomes of them, in rooms drawn at random. */
import { setTimeout as delay } from 'node:timers/promises';
import { contentHash } from '../platform/content-hash.ts';
import { seededRandom } from '../pubsub/random.ts';
import type { LoadMessage, Publisher } from '../rig/publisher.ts';
import type { PublisherLog } from '../rig/publisher-log.ts';

/** Begin every recipient and every text: neither may be found in a log. */
export const RECIPIENT_CANARY = 'recipient-c4nary';
export const TEXT_CANARY = 'text-c4nary';

export interface LoadOptions {
  readonly publisher: Publisher;
  readonly log: PublisherLog;
  readonly channels: readonly string[];
  readonly rooms: number;
  /** Messages a second. */
  readonly rate: number;
  readonly seed: number;
  readonly apiKey: string;
  /** Where HTTP publishers find an engine, tried in turn. */
  readonly urls: () => readonly string[];
}

const TICK_MS = 50;
const LANES = 4;
/** Of so many rooms, one is published over HTTP. */
const HTTP_EVERY = 20;
const HTTP_TIMEOUT_MS = 3_000;
const RETRY_MS = 200;
const RECENT = 20;

export class Load {
  readonly #options: LoadOptions;
  readonly #lanes: Lane[];
  readonly #overHttp = new Map<string, Promise<void>>();
  readonly #sent: Uint32Array;
  #planned = 0;
  #turn = 0;
  readonly #recent: string[] = [];
  readonly #stop = new AbortController();
  readonly #failure = Promise.withResolvers<never>();

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#sent = new Uint32Array(options.rooms);
    this.#failure.promise.catch(() => undefined);
    const fail = (error: unknown): void => this.#fail(error);
    this.#lanes = Array.from({ length: LANES }, () => new Lane(options.publisher, this.#stop.signal, fail));
  }

  /** The rooms of the last messages. */
  get recent(): readonly string[] {
    return this.#recent;
  }

  /** Messages whose time has come, by plan. */
  get planned(): number {
    return this.#planned;
  }

  get accepted(): number {
    return this.#options.log.confirmed;
  }

  room(number: number): string {
    return `${RECIPIENT_CANARY}-${number}`;
  }

  /** Publishes for so long; resolves when the last is due, while earlier ones may still be waiting to be taken. */
  async run(forMs: number, signal: AbortSignal): Promise<void> {
    const { rate, rooms, seed } = this.#options;
    const random = seededRandom(seed);
    const startedAt = performance.now();
    for (let now = 0; now < forMs; now = performance.now() - startedAt) {
      for (const due = Math.floor((Math.min(now, forMs) * rate) / 1_000); this.#planned < due; ) {
        this.#planned++;
        this.#publish(Math.floor(random() * rooms));
      }
      await Promise.race([delay(TICK_MS, null, { signal }), this.#failure.promise]);
    }
  }

  /** Resolves when everything has been taken. @throws what was refused for good */
  async untilTaken(): Promise<void> {
    const all = Promise.all([...this.#lanes.map((lane) => lane.idle()), ...this.#overHttp.values()]);
    await Promise.race([all, this.#failure.promise]);
  }

  /** Nothing more is published, nor tried again. */
  stop(): void {
    this.#stop.abort(new Error('the load was stopped'));
  }

  #fail(error: unknown): void {
    if (!this.#stop.signal.aborted) this.#failure.reject(error);
  }

  #publish(number: number): void {
    const { channels } = this.#options;
    const index = (this.#sent[number] ?? 0) + 1;
    this.#sent[number] = index;
    const channel = channels[number % channels.length] ?? '';
    const key = `chaos/${number}/${index}`;
    const text = `${TEXT_CANARY} ${index}`;
    const room = this.room(number);
    const message = { channel, room, messageId: key, content: { key, run: 'chaos', index, text } };
    if (number % HTTP_EVERY === 0) this.#chain(message);
    else {
      this.#lanes[number % LANES]?.push(message);
      this.#recent.push(room);
      if (this.#recent.length > RECENT) this.#recent.shift();
    }
  }

  /** One request of a room at a time: its order is the publisher's to keep. */
  #chain(message: LoadMessage): void {
    const earlier = this.#overHttp.get(message.room) ?? Promise.resolve();
    this.#overHttp.set(
      message.room,
      earlier.then(() => this.#post(message)).catch((error: unknown) => this.#fail(error)),
    );
  }

  async #post(message: LoadMessage): Promise<void> {
    const { log, apiKey, urls } = this.#options;
    const { channel, room, messageId: key, content } = message;
    const entry = { key, room, channel, run: content.run, hash: contentHash(content) };
    const signal = this.#stop.signal;
    if (signal.aborted) return;
    log.publishing([entry]);
    while (!signal.aborted) {
      const all = urls();
      const answer = await fetch(`${all[this.#turn++ % all.length]}/v1/messages`, {
        method: 'POST',
        headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
        body: JSON.stringify(message),
        signal: AbortSignal.any([signal, AbortSignal.timeout(HTTP_TIMEOUT_MS)]),
      }).catch(() => null);
      await answer?.body?.cancel();
      if (answer?.status === 202) {
        log.confirm([entry]);
        return;
      }
      // What no repetition cures would be a fault of this load.
      if (answer !== null && answer.status >= 400 && answer.status < 500 && answer.status !== 429) {
        throw new Error(`a message was refused with ${answer.status}`);
      }
      await delay(RETRY_MS, null, { signal }).catch(() => undefined);
    }
  }
}

/** Publishes what has gathered while the request before was under way. */
class Lane {
  readonly #publisher: Publisher;
  readonly #signal: AbortSignal;
  readonly #onFailure: (error: unknown) => void;
  #waiting: LoadMessage[] = [];
  #busy: Promise<void> | null = null;

  constructor(publisher: Publisher, signal: AbortSignal, onFailure: (error: unknown) => void) {
    this.#publisher = publisher;
    this.#signal = signal;
    this.#onFailure = onFailure;
  }

  push(message: LoadMessage): void {
    this.#waiting.push(message);
    this.#busy ??= this.#work();
  }

  async idle(): Promise<void> {
    while (this.#busy !== null) await this.#busy;
  }

  async #work(): Promise<void> {
    try {
      // The rest of the turn shares the request.
      await Promise.resolve();
      while (this.#waiting.length > 0) {
        const batch = this.#waiting;
        this.#waiting = [];
        await this.#publisher.publish(batch, { lanes: 1, signal: this.#signal });
      }
    } catch (error) {
      this.#onFailure(error);
    } finally {
      this.#busy = null;
    }
  }
}

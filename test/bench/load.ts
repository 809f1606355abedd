/** What is published, how fast, and through which door. */
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import type { Published } from '../../simulators/oracle/types.ts';
import { contentHash } from '../../simulators/platform/content-hash.ts';
import type { LoadMessage } from '../../simulators/rig/publisher.ts';
import type { Rig } from '../../simulators/rig/rig.ts';

export type Door = 'pubsub' | 'http';

export interface Load {
  /** Unique; keys are `run/room/index` with indexes from 1. */
  readonly run: string;
  /** With which the names of its rooms begin, and no others. */
  readonly roomPrefix: string;
  readonly count: number;
  /** In publish order, the same at every call. */
  readonly messages: () => Iterable<LoadMessage>;
  /** Steady arrival; null: everything as quickly as it is taken. */
  readonly perSecond: number | null;
  /** So many arrive together. */
  readonly burst: number;
}

export interface Shape {
  readonly run: string;
  readonly channel: string;
  readonly rooms: number;
  readonly messages: number;
  /** With which room names begin; by default what names the run. Loads may share rooms. */
  readonly roomPrefix?: string;
  /** So many of a room arrive together before the next room's turn. */
  readonly burst?: number;
  readonly perSecond?: number | null;
}

/** Every room's first messages, then every room's next ones, … */
export function loadOf(shape: Shape): Load {
  const { run, channel, rooms, messages, roomPrefix = `${run}-`, burst = 1, perSecond = null } = shape;
  const digits = String(rooms).length;
  function* all(): Generator<LoadMessage> {
    for (let first = 1; first <= messages; first += burst) {
      for (let number = 1; number <= rooms; number++) {
        const room = `${roomPrefix}${String(number).padStart(digits, '0')}`;
        for (let index = first; index < Math.min(first + burst, messages + 1); index++) {
          const key = `${run}/${room}/${index}`;
          yield { channel, room, messageId: key, content: { key, run, index, text: TEXT } };
        }
      }
    }
  }
  return { run, roomPrefix, count: rooms * messages, messages: all, perSecond, burst };
}

/** Of a usual length, so that bodies are. */
const TEXT = 'Thank you, we have received your order and will write again as soon as it is on its way to you.';

/** For the oracle: nothing that was not confirmed is left when a load is through. */
export function* publishedOf(load: Load): Generator<Published> {
  for (const { messageId: key, room, content } of load.messages()) {
    yield { key, room, run: load.run, hash: contentHash(content) };
  }
}

const MOST_IN_A_REQUEST: Readonly<Record<Door, number>> = { pubsub: 1_000, http: 1_000 };
/** Requests under way where everything comes at once; a room's messages go through the same one. */
const LANES = 2;
/** Between two requests where arrival is steady. */
const TICK_MS = 5;

type Post = (messages: readonly Prepared[]) => Promise<void>;

/** Ready to leave, so that what publishers do to make their messages is not measured. */
interface Prepared {
  readonly index: number;
  readonly room: string;
  readonly data: Buffer;
}

export interface PublishedAt {
  /** Unix time in ms of the request that carried it, by the message's place in the load. */
  readonly times: Float64Array;
  /** The longest that a message had to wait for its turn to leave; 0 where arrival is not steady. */
  readonly mostLateMs: number;
}

export class Publisher {
  readonly #post: Post;
  readonly #most: number;
  readonly close: () => Promise<void>;

  private constructor(door: Door, post: Post, close: () => Promise<void>) {
    this.#post = post;
    this.#most = MOST_IN_A_REQUEST[door];
    this.close = close;
  }

  static open(rig: Rig, door: Door): Publisher {
    return door === 'pubsub' ? throughPubSub(rig) : throughHttp(rig);
  }

  /** @internal */
  static of(door: Door, post: Post, close: () => Promise<void>): Publisher {
    return new Publisher(door, post, close);
  }

  /** Resolves when everything is confirmed. @throws what refused it, or the signal's reason */
  async publish(load: Load, signal: AbortSignal): Promise<PublishedAt> {
    return load.perSecond === null
      ? this.#atOnce(prepared(load), signal)
      : this.#steadily(load, load.perSecond, signal);
  }

  /** What `publish` will publish at once, made before the clock starts. */
  async #atOnce(all: readonly Prepared[], signal: AbortSignal): Promise<PublishedAt> {
    const times = new Float64Array(all.length);
    const lanes: Prepared[][] = Array.from({ length: LANES }, () => []);
    for (const message of all) lanes[laneOf(message.room)]?.push(message);
    await Promise.all(
      lanes.map(async (lane) => {
        for (let from = 0; from < lane.length; from += this.#most) {
          signal.throwIfAborted();
          await this.#send(lane.slice(from, from + this.#most), times);
        }
      }),
    );
    return { times, mostLateMs: 0 };
  }

  async #steadily(load: Load, perSecond: number, signal: AbortSignal): Promise<PublishedAt> {
    const times = new Float64Array(load.count);
    const messages = load.messages()[Symbol.iterator]();
    const begun = performance.now();
    const dueAt = (index: number): number => begun + (Math.floor(index / load.burst) * load.burst * 1_000) / perSecond;
    let mostLateMs = 0;
    for (let next = 0; next < load.count; ) {
      await delay(Math.max(TICK_MS, dueAt(next) - performance.now()), null, { signal });
      const now = performance.now();
      mostLateMs = Math.max(mostLateMs, now - dueAt(next));
      const due: Prepared[] = [];
      while (next < load.count && dueAt(next) <= now && due.length < this.#most) {
        due.push(prepare((messages.next() as IteratorYieldResult<LoadMessage>).value, next++));
      }
      if (due.length > 0) await this.#send(due, times);
    }
    return { times, mostLateMs };
  }

  async #send(messages: readonly Prepared[], times: Float64Array): Promise<void> {
    const at = performance.timeOrigin + performance.now();
    for (const { index } of messages) times[index] = at;
    await this.#post(messages);
  }
}

function throughPubSub(rig: Rig): Publisher {
  const client = rig.pubsub.connect();
  const topic = rig.pubsub.topicName;
  const post: Post = async (messages) => {
    const request = { topic, messages: messages.map(({ room, data }) => ({ data, orderingKey: room })) };
    await client.publish(request, { retry: null });
  };
  return Publisher.of('pubsub', post, () => client.close());
}

const COMMA = Buffer.from(',');
const OPENING = Buffer.from('{"messages":[');
const CLOSING = Buffer.from(']}');

function throughHttp(rig: Rig): Publisher {
  const pool = new Pool(rig.engine.url, { connections: LANES, pipelining: 1 });
  const headers = { authorization: `Bearer ${rig.apiKey}`, 'content-type': 'application/json' };
  const post: Post = async (messages) => {
    const items = messages.flatMap(({ data }, index) => (index === 0 ? [data] : [COMMA, data]));
    const body = Buffer.concat([OPENING, ...items, CLOSING]);
    for (;;) {
      const answer = await pool.request({ method: 'POST', path: '/v1/messages:batch', headers, body });
      const text = await answer.body.text();
      if (answer.statusCode === 503) {
        await delay(Number(answer.headers['retry-after'] ?? 1) * 1_000);
        continue;
      }
      if (answer.statusCode !== 202) throw new Error(`the batch was answered ${answer.statusCode}: ${text}`);
      const { refused } = JSON.parse(text) as { refused: number };
      if (refused > 0) throw new Error(`${refused} messages were refused`);
      return;
    }
  };
  return Publisher.of('http', post, () => pool.close());
}

const preparedLoads = new WeakMap<Load, readonly Prepared[]>();

/** Made once for each load: before the clock starts, if it is asked for then. */
export function prepared(load: Load): readonly Prepared[] {
  const known = preparedLoads.get(load);
  if (known !== undefined) return known;
  let index = 0;
  const made = Array.from(load.messages(), (message) => prepare(message, index++));
  preparedLoads.set(load, made);
  return made;
}

function prepare(message: LoadMessage, index: number): Prepared {
  return { index, room: message.room, data: Buffer.from(JSON.stringify(message)) };
}

function laneOf(room: string): number {
  return Number(room.at(-1)) % LANES;
}

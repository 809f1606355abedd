import { setTimeout as delay } from 'node:timers/promises';
import { contentHash } from '../platform/content-hash.ts';
import type { PublishedMessage, PublisherLog } from './publisher-log.ts';
import type { PubSubProcess } from './pubsub.ts';

/** A message of the load, as Roomline's intake reads it; `messageId` is also the content's `key`. */
export interface LoadMessage {
  readonly channel: string;
  readonly room: string;
  readonly messageId: string;
  readonly content: { readonly key: string; readonly run: string; readonly index: number; readonly text: string };
}

/** How a channel wants a message: whom it goes to (the room itself by default), its content, its publisher's order. */
export interface Formed {
  readonly to?: string;
  readonly order?: number;
  readonly content: object;
}

export type Form = (message: LoadMessage) => Formed;

export interface PublishOptions {
  /** Default: the content as it is. */
  readonly form?: Form;
  /** Requests in flight at once; a room's messages always go through the same one. Default 2. */
  readonly lanes?: number;
  /** Messages in one request, at most 1,000. */
  readonly batch?: number;
  readonly signal?: AbortSignal;
}

const MOST_IN_ONE_REQUEST = 1_000;
const RETRY_MS = 100;
/** gRPC statuses that no repetition cures: invalid argument, not found, permission denied, unimplemented. */
const HOPELESS = new Set([3, 5, 7, 12]);

/** `messages` for each of `rooms`, interleaved: every room's first message, then every room's second one, … */
export function* load(run: string, channel: string, rooms: number, messages: number): Generator<LoadMessage> {
  for (let index = 1; index <= messages; index++) {
    for (let number = 1; number <= rooms; number++) {
      const room = `${run}-${String(number).padStart(String(rooms).length, '0')}`;
      const key = `${run}/${room}/${index}`;
      yield { channel, room, messageId: key, content: { key, run, index, text: `Message ${index}` } };
    }
  }
}

/**
 * Publishes through the generated client: mixed ordering keys in one request, one request per key in flight. A request
 * whose outcome is unknown is repeated; the message ids tell Roomline.
 */
export class Publisher {
  readonly #client: ReturnType<PubSubProcess['connect']>;
  readonly #topic: string;
  readonly #log: PublisherLog;

  constructor(pubsub: Pick<PubSubProcess, 'connect' | 'topicName'>, log: PublisherLog) {
    this.#client = pubsub.connect();
    this.#topic = pubsub.topicName;
    this.#log = log;
  }

  /** Resolves when all are confirmed. @throws the signal's reason when it aborts, or what Pub/Sub refuses for good. */
  async publish(messages: Iterable<LoadMessage>, options: PublishOptions = {}): Promise<void> {
    const { form = asItIs, lanes = 2, batch = MOST_IN_ONE_REQUEST, signal } = options;
    const queues: LoadMessage[][] = Array.from({ length: lanes }, () => []);
    for (const message of messages) queues[laneOf(message.room, lanes)]?.push(message);
    await Promise.all(
      queues.map(async (queue) => {
        for (let from = 0; from < queue.length; from += batch)
          await this.#send(queue.slice(from, from + batch), form, signal);
      }),
    );
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #send(messages: readonly LoadMessage[], form: Form, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const formed = messages.map((message) => ({ message, ...form(message) }));
    const entries = formed.map(({ message, content }) => entryOf(message, content));
    this.#log.publishing(entries);
    const request = {
      topic: this.#topic,
      messages: formed.map(({ message: { channel, room, messageId }, ...rest }) => ({
        data: Buffer.from(JSON.stringify({ channel, room, messageId, ...rest })),
        orderingKey: room,
      })),
    };
    for (;;) {
      try {
        // The client's own repetition would go on beside ours.
        await this.#client.publish(request, { retry: null });
        break;
      } catch (error) {
        if (HOPELESS.has((error as { code?: number }).code ?? 0)) throw error;
        await delay(RETRY_MS, null, signal === undefined ? {} : { signal });
      }
    }
    this.#log.confirm(entries);
  }
}

const asItIs: Form = ({ content }) => ({ content });

function entryOf({ channel, room, messageId, content: { run } }: LoadMessage, content: object): PublishedMessage {
  return { key: messageId, room, channel, run, hash: contentHash(content) };
}

function laneOf(room: string, lanes: number): number {
  let sum = 0;
  for (let index = 0; index < room.length; index++) sum = (sum * 31 + room.charCodeAt(index)) >>> 0;
  return sum % lanes;
}

/** Publishing many messages: split into requests, repeated where that is safe, told of one by one. */
import type { Static } from 'typebox';
import type { Problem } from '../errors.ts';
import type { BatchRequest, MessageRequest } from '../http/requests.ts';
import type { acceptedSchema, batchAcceptedSchema } from '../http/schemas.ts';
import { RoomlineApiError } from './errors.ts';

export type PublishResult = {
  /** Place of the message in what was handed in, from 0. */
  readonly index: number;
  readonly message: MessageRequest;
} & ({ readonly accepted: Static<typeof acceptedSchema> } | { readonly error: RoomlineApiError });

export interface PublisherDependencies {
  readonly send: (batch: BatchRequest) => Promise<Static<typeof batchAcceptedSchema>>;
  readonly pause: (attempt: number, retryAfterMs: number | undefined) => Promise<void>;
  readonly retries: number;
  readonly newId: () => string;
  /** Messages in one request: 5,000 by default, and at most. */
  readonly batchSize?: number | undefined;
}

const MAX_BATCH = 5_000;
/** Of one request, below what a server takes unless it is told otherwise. */
const MAX_BYTES = 15_000_000;
const bytesOf = new TextEncoder();

interface Item {
  readonly index: number;
  readonly message: MessageRequest;
  readonly bytes: number;
}

export class Publisher {
  readonly #to: PublisherDependencies;
  readonly #batchSize: number;

  constructor(dependencies: PublisherDependencies) {
    this.#to = dependencies;
    this.#batchSize = Math.min(MAX_BATCH, dependencies.batchSize ?? MAX_BATCH);
  }

  async *publish(messages: Iterable<MessageRequest> | AsyncIterable<MessageRequest>): AsyncGenerator<PublishResult> {
    let batch: Item[] = [];
    let bytes = 0;
    let index = 0;
    for await (const given of messages) {
      const message = given.messageId === undefined ? { ...given, messageId: this.#to.newId() } : given;
      const item = { index: index++, message, bytes: bytesOf.encode(JSON.stringify(message)).length + 1 };
      if (batch.length === this.#batchSize || (batch.length > 0 && bytes + item.bytes > MAX_BYTES)) {
        yield* await this.#publish(batch);
        batch = [];
        bytes = 0;
      }
      batch.push(item);
      bytes += item.bytes;
    }
    if (batch.length > 0) yield* await this.#publish(batch);
  }

  async #publish(batch: readonly Item[]): Promise<PublishResult[]> {
    const results = new Map<number, PublishResult>();
    for (let open = batch, attempt = 0; open.length > 0; attempt++) {
      const answer = await this.#to.send({ messages: open.map(({ message }) => message) });
      const again: Item[] = [];
      let retryAfterMs: number | undefined;
      // A message that a later one of its room has overtaken would come behind it if it came again.
      const passed = new Set<string>();
      for (const result of answer.results.toReversed()) {
        const item = open[result.index] as Item;
        const room = roomOf(item);
        const { error } = result;
        if (error === undefined) passed.add(room);
        if (error?.retryable === true && attempt < this.#to.retries && !passed.has(room)) {
          again.push(item);
          retryAfterMs = Math.max(retryAfterMs ?? 0, error.retryAfterMs ?? 0);
        } else results.set(item.index, resultOf(item, result));
      }
      open = again.reverse();
      if (open.length > 0) await this.#to.pause(attempt, retryAfterMs);
    }
    return batch.map(({ index }) => results.get(index) as PublishResult);
  }
}

type Answered = Static<typeof batchAcceptedSchema>['results'][number];

function resultOf({ index, message }: Item, { error, index: _place, ...accepted }: Answered): PublishResult {
  if (error !== undefined) {
    return { index, message, error: new RoomlineApiError(error.status, error as Partial<Problem>) };
  }
  return { index, message, accepted: accepted as Static<typeof acceptedSchema> };
}

function roomOf({ message: { tenant, channel, room } }: Item): string {
  return JSON.stringify([tenant ?? null, channel, room]);
}

/**
 * The API as a program calls it. The types are those of the schemas that the server is run by; of the server's code
 * nothing is loaded. Publishing may be repeated without doubling anything, so that it is, where that may help.
 */
import type { Static } from 'typebox';
import type { Problem } from '../errors.ts';
import type {
  drainSchema,
  progressSchema,
  RebalancedView,
  shardListSchema,
  workerListSchema,
} from '../http/fleet-schemas.ts';
import type { chartQuery, lingeringQuery, timelineQuery } from '../http/pipeline.ts';
import type { ChartView, LingeringView, PipelineView, TimelineView } from '../http/pipeline-schemas.ts';
import type { MessageRequest, RebalanceRequest } from '../http/requests.ts';
import type {
  acceptedSchema,
  auditListSchema,
  batchAcceptedSchema,
  channelListSchema,
  ManagedChannel,
  MessageView,
  managedChannelListSchema,
  messageListSchema,
  previewSchema,
  RoomView,
  removedSchema,
} from '../http/schemas.ts';
import type { failureQuery, letterQuery } from '../http/steering.ts';
import type { orderRequestSchema, replayRequestSchema, selectionRequestSchema } from '../http/steering-contract.ts';
import type {
  discardSchema,
  failureListSchema,
  letterDetailSchema,
  letterListSchema,
  messageOrderedSchema,
  replaySchema,
  roomOrderedSchema,
} from '../http/steering-schemas.ts';
import { RoomlineApiError, RoomlineConnectionError } from './errors.ts';
import { Publisher, type PublishResult } from './publisher.ts';

export type { MessageRequest, RebalanceRequest } from '../http/requests.ts';
export type { ManagedChannel, MessageView, RoomView } from '../http/schemas.ts';
export { RoomlineApiError, RoomlineConnectionError } from './errors.ts';
export type { PublishResult } from './publisher.ts';

export type Accepted = Static<typeof acceptedSchema>;
export type BatchAccepted = Static<typeof batchAcceptedSchema>;
export type ChannelList = Static<typeof channelListSchema>;
export type MessageList = Static<typeof messageListSchema>;
export type Order = Static<typeof orderRequestSchema>;
export type MessageOrdered = Static<typeof messageOrderedSchema>;
export type RoomOrdered = Static<typeof roomOrderedSchema>;
export type LetterSelection = Static<typeof selectionRequestSchema>;
export type Replay = Static<typeof replaySchema>;
export type Discard = Static<typeof discardSchema>;
export type Settings = Readonly<Record<string, unknown>>;

export interface ClientOptions {
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly key: string;
  /** How often a call that may be repeated is, 5 by default; the first is not counted. */
  readonly retries?: number;
  /** For one attempt, 30,000 ms by default. */
  readonly timeoutMs?: number;
  readonly fetch?: typeof fetch;
  readonly sleep?: (ms: number) => Promise<void>;
  /** From 0 to below 1. */
  readonly random?: () => number;
  /** Gives ids to messages that have none. */
  readonly newId?: () => string;
}

export interface Call {
  readonly query?: Readonly<Record<string, string | number | boolean | null | undefined>>;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * What a repetition can do: `safe`: nothing that the first did not; `refused`: only what was surely refused is
   * repeated, by 429. `refused` by default, for GET `safe`.
   */
  readonly repeat?: 'safe' | 'refused';
  readonly signal?: AbortSignal;
}

export interface InTenant {
  readonly tenant?: string | undefined;
}

export interface Expecting {
  /** The revision that is expected; `absent`: there must be none yet. */
  readonly expected?: number | 'absent';
}

const FIRST_PAUSE_MS = 200;
const MAX_PAUSE_MS = 30_000;
const PAGE = 200;

export class RoomlineClient {
  readonly #url: string;
  readonly #key: string;
  readonly #retries: number;
  readonly #timeoutMs: number;
  readonly #fetch: typeof fetch;
  readonly #sleep: (ms: number) => Promise<void>;
  readonly #random: () => number;
  readonly #newId: () => string;

  constructor(options: ClientOptions) {
    this.#url = options.url;
    this.#key = options.key;
    this.#retries = options.retries ?? 5;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#fetch = options.fetch ?? fetch;
    this.#sleep = options.sleep ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms)));
    this.#random = options.random ?? Math.random;
    this.#newId = options.newId ?? (() => crypto.randomUUID());
  }

  /**
   * Hands in one message; resolves when it is durable. Without a `messageId` and without an idempotency key it gets a
   * key, so that a repetition after a lost answer adds nothing.
   */
  publish(message: MessageRequest, { idempotencyKey }: { readonly idempotencyKey?: string } = {}): Promise<Accepted> {
    const named = message.messageId !== undefined && idempotencyKey === undefined;
    const headers = named ? {} : { 'idempotency-key': idempotencyKey ?? this.#newId() };
    return this.call('POST', '/v1/messages', { body: message, headers, repeat: 'safe' });
  }

  /**
   * Hands in any number of messages, in requests of up to 5,000 one after the other, and tells of each, in their order.
   * Messages without an id get one. What is refused and may be repeated is, as long as that does not change the order
   * of its room; nothing is thrown for a message, and what fails a request for good is thrown.
   */
  publishAll(
    messages: Iterable<MessageRequest> | AsyncIterable<MessageRequest>,
    options: { readonly batchSize?: number } = {},
  ): AsyncGenerator<PublishResult> {
    const publisher = new Publisher({
      send: (body) => this.call<BatchAccepted>('POST', '/v1/messages:batch', { body, repeat: 'safe' }),
      pause: (attempt, retryAfterMs) => this.#pause(attempt, retryAfterMs),
      retries: this.#retries,
      newId: this.#newId,
      batchSize: options.batchSize,
    });
    return publisher.publish(messages);
  }

  readonly messages = {
    get: (id: string): Promise<MessageView> => this.call('GET', path`/v1/messages/${id}`),
    skip: (id: string, order: Order = {}): Promise<MessageOrdered> => this.#orderMessage(id, 'skip', order),
    retry: (id: string, order: Order = {}): Promise<MessageOrdered> => this.#orderMessage(id, 'retry', order),
    cancel: (id: string, order: Order = {}): Promise<MessageOrdered> => this.#orderMessage(id, 'cancel', order),
  };

  readonly rooms = {
    get: (channel: string, room: string, query: InTenant = {}): Promise<RoomView> =>
      this.call('GET', path`/v1/rooms/${channel}/${room}`, { query: { ...query } }),
    /** Those that have stayed in a phase for longer than others, a page. */
    lingering: (query: Static<typeof lingeringQuery> = {}): Promise<LingeringView> =>
      this.call('GET', '/v1/rooms', { query }),
    timeline: (channel: string, room: string, query: Static<typeof timelineQuery> = {}): Promise<TimelineView> =>
      this.call('GET', path`/v1/rooms/${channel}/${room}/timeline`, { query }),
    pause: (channel: string, room: string, order: Order & InTenant = {}): Promise<RoomOrdered> =>
      this.#orderRoom(channel, room, 'pause', order),
    resume: (channel: string, room: string, order: Order & InTenant = {}): Promise<RoomOrdered> =>
      this.#orderRoom(channel, room, 'resume', order),
    /** One page, newest first. */
    messages: (
      channel: string,
      room: string,
      query: InTenant & { readonly before?: number | undefined; readonly limit?: number | undefined } = {},
    ): Promise<MessageList> => this.call('GET', path`/v1/rooms/${channel}/${room}/messages`, { query: { ...query } }),
    /** All of them, newest first. */
    allMessages: (channel: string, room: string, query: InTenant = {}): AsyncGenerator<MessageView> =>
      this.#allMessages(channel, room, query),
  };

  readonly channels = {
    list: (): Promise<ChannelList> => this.call('GET', '/v1/channels'),
  };

  readonly deadLetters = {
    /** One page. */
    list: (query: Static<typeof letterQuery> = {}): Promise<Static<typeof letterListSchema>> =>
      this.call('GET', '/v1/dead-letters', { query }),
    get: (id: number): Promise<Static<typeof letterDetailSchema>> => this.call('GET', `/v1/dead-letters/${id}`),
    replay: (id: number, order: Static<typeof replayRequestSchema> = {}): Promise<Replay> =>
      this.call('POST', `/v1/dead-letters/${id}/replay`, { body: order }),
    discard: (id: number, order: Order = {}): Promise<Discard> =>
      this.call('POST', `/v1/dead-letters/${id}/discard`, { body: order }),
    replayMany: (selection: LetterSelection): Promise<Replay> =>
      this.call('POST', '/v1/dead-letters:replay', { body: selection }),
    discardMany: (selection: LetterSelection): Promise<Discard> =>
      this.call('POST', '/v1/dead-letters:discard', { body: selection }),
  };

  /** How much is where, from intake to settled. */
  pipeline(): Promise<PipelineView> {
    return this.call('GET', '/v1/pipeline');
  }

  charts(query: Static<typeof chartQuery> = {}): Promise<ChartView> {
    return this.call('GET', '/v1/charts', { query });
  }

  /** Failures grouped by what they have in common. */
  failures(query: Static<typeof failureQuery> = {}): Promise<Static<typeof failureListSchema>> {
    return this.call('GET', '/v1/failures', { query });
  }

  readonly operations = {
    channels: (): Promise<Static<typeof managedChannelListSchema>> => this.call('GET', '/v1/ops/channels'),
    channel: (tenant: string, channel: string): Promise<ManagedChannel> =>
      this.call('GET', path`/v1/ops/channels/${tenant}/${channel}`),
    putChannel: (tenant: string, channel: string, settings: Settings, { expected }: Expecting = {}) =>
      this.call<ManagedChannel>('PUT', path`/v1/ops/channels/${tenant}/${channel}`, {
        body: settings,
        headers: precondition(expected),
      }),
    previewChannel: (tenant: string, channel: string, settings: Settings, { expected }: Expecting = {}) =>
      this.call<Static<typeof previewSchema>>('POST', path`/v1/ops/channels/${tenant}/${channel}`, {
        query: { dryRun: true },
        body: settings,
        headers: precondition(expected),
        repeat: 'safe',
      }),
    removeChannel: (
      tenant: string,
      channel: string,
      { expected, force }: { readonly expected?: number; readonly force?: boolean } = {},
    ) =>
      this.call<Static<typeof removedSchema>>('DELETE', path`/v1/ops/channels/${tenant}/${channel}`, {
        query: { force },
        headers: precondition(expected),
      }),
    audit: (query: { readonly subject?: string; readonly before?: number; readonly limit?: number } = {}) =>
      this.call<Static<typeof auditListSchema>>('GET', '/v1/ops/audit', { query }),
    workers: (): Promise<Static<typeof workerListSchema>> => this.call('GET', '/v1/ops/workers'),
    shards: (
      query: {
        readonly worker?: string | undefined;
        readonly moving?: boolean | undefined;
        readonly after?: number | null;
        readonly limit?: number;
      } = {},
    ): Promise<Static<typeof shardListSchema>> => this.call('GET', '/v1/ops/shards', { query }),
    drain: (worker: string, { force }: { readonly force?: boolean } = {}) =>
      this.call<Static<typeof drainSchema>>('POST', path`/v1/ops/workers/${worker}/drain`, { query: { force } }),
    undrain: (worker: string) => this.call<Static<typeof drainSchema>>('DELETE', path`/v1/ops/workers/${worker}/drain`),
    rebalance: (wishes: RebalanceRequest): Promise<RebalancedView> =>
      this.call('POST', '/v1/ops/shards/rebalance', { body: wishes }),
    progress: (): Promise<Static<typeof progressSchema>> => this.call('GET', '/v1/ops/rebalance'),
  };

  /**
   * One call of any path of the API; its answer's JSON.
   * @throws RoomlineApiError where it is refused, RoomlineConnectionError where there is no answer of Roomline
   */
  async call<T = unknown>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', target: string, call: Call = {}): Promise<T> {
    const repeat = call.repeat ?? (method === 'GET' ? 'safe' : 'refused');
    for (let attempt = 0; ; attempt++) {
      try {
        return (await this.#attempt(method, target, call)) as T;
      } catch (error) {
        if (attempt >= this.#retries || call.signal?.aborted === true || !mayRepeat(error, repeat)) throw error;
        await this.#pause(attempt, error instanceof RoomlineApiError ? error.retryAfterMs : undefined);
      }
    }
  }

  #orderMessage(id: string, order: 'skip' | 'retry' | 'cancel', body: Order): Promise<MessageOrdered> {
    return this.call('POST', `${path`/v1/messages/${id}`}/${order}`, { body });
  }

  #orderRoom(
    channel: string,
    room: string,
    order: 'pause' | 'resume',
    { tenant, ...body }: Order & InTenant,
  ): Promise<RoomOrdered> {
    return this.call('POST', `${path`/v1/rooms/${channel}/${room}`}/${order}`, { query: { tenant }, body });
  }

  async #attempt(method: string, target: string, { query = {}, body, headers = {}, signal }: Call): Promise<unknown> {
    const url = new URL(target, this.#url);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null) url.searchParams.set(name, String(value));
    }
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    const json = body === undefined ? {} : { 'content-type': 'application/json' };
    const send = this.#fetch;
    const response = await send(url, {
      method,
      headers: { authorization: `Bearer ${this.#key}`, ...json, ...headers },
      redirect: 'error',
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((cause: unknown) => {
      throw new RoomlineConnectionError(`No answer from ${this.#url}.`, { cause });
    });
    const answer = await response.json().catch((cause: unknown) => {
      throw new RoomlineConnectionError(`${this.#url} answered ${response.status} without JSON.`, { cause });
    });
    if (response.ok) return answer;
    throw new RoomlineApiError(response.status, answer as Partial<Problem>, retryAfterMs(response.headers));
  }

  /** Doubling, with chance, and never shorter than the server asks. */
  #pause(attempt: number, retryAfterMs = 0): Promise<void> {
    const most = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
    return this.#sleep(retryAfterMs + most * (0.5 + this.#random() / 2));
  }

  async *#allMessages(channel: string, room: string, query: InTenant): AsyncGenerator<MessageView> {
    for (let before: number | undefined; ; ) {
      const page = await this.rooms.messages(channel, room, { ...query, before, limit: PAGE });
      yield* page.messages;
      if (page.before === null) return;
      before = page.before;
    }
  }
}

function mayRepeat(error: unknown, repeat: 'safe' | 'refused'): boolean {
  if (error instanceof RoomlineConnectionError) return repeat === 'safe';
  if (!(error instanceof RoomlineApiError)) return false;
  return error.status === 429 || (repeat === 'safe' && error.retryable);
}

function retryAfterMs(headers: Headers): number | undefined {
  const seconds = headers.get('retry-after');
  return seconds !== null && /^\d{1,6}$/.test(seconds) ? Number(seconds) * 1_000 : undefined;
}

function precondition(expected: number | 'absent' | undefined): Record<string, string> {
  if (expected === undefined) return {};
  return expected === 'absent' ? { 'if-none-match': '*' } : { 'if-match': `"${expected}"` };
}

/** A path whose parts are escaped. */
export function path(literals: TemplateStringsArray, ...parts: readonly string[]): string {
  return String.raw({ raw: literals }, ...parts.map(encodeURIComponent));
}

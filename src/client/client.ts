/**
 * The API as a program calls it. The types are those of the schemas that the server is run by; of the server's code
 * nothing is loaded. Publishing may be repeated without doubling anything, so that it is, where that may help.
 */
import type { Static } from 'typebox';
import type { bufferSchema, buriedListSchema } from '../http/buffer-schemas.ts';
import type { DevelopmentView, PlatformPatch, PlatformView } from '../http/development-schemas.ts';
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
  KeyView,
  ManagedChannel,
  MessageView,
  managedChannelDetailSchema,
  managedChannelListSchema,
  messageListSchema,
  previewSchema,
  RoomMessageView,
  RoomView,
  removedSchema,
} from '../http/schemas.ts';
import type { failureQuery, letterQuery } from '../http/steering.ts';
import type {
  orderRequestSchema,
  replayRequestSchema,
  selectionRequestSchema,
  skipGapRequestSchema,
} from '../http/steering-contract.ts';
import type {
  discardSchema,
  failureListSchema,
  gapSkippedSchema,
  letterDetailSchema,
  letterListSchema,
  messageOrderedSchema,
  replaySchema,
  roomOrderedSchema,
} from '../http/steering-schemas.ts';
import { RoomlineApiError, RoomlineConnectionError, refusalIn } from './errors.ts';
import { type LiveEvent, type LiveFilter, type LiveOptions, readLive } from './live.ts';
import { Publisher, type PublishResult } from './publisher.ts';

export type { LingeringView, PipelineView, TimelineView } from '../http/pipeline-schemas.ts';
export type { MessageRequest, RebalanceRequest } from '../http/requests.ts';
export type { KeyView, ManagedChannel, MessageView, RoomMessageView, RoomView } from '../http/schemas.ts';
export { RoomlineApiError, RoomlineConnectionError } from './errors.ts';
export type {
  LiveClosing,
  LiveDropped,
  LiveEvent,
  LiveEventName,
  LiveFilter,
  LiveOptions,
  LiveReady,
  LiveSettlement,
  LiveState,
  LiveTotals,
} from './live.ts';
export type { PublishResult } from './publisher.ts';

export type Accepted = Static<typeof acceptedSchema>;
export type BatchAccepted = Static<typeof batchAcceptedSchema>;
export type ChannelList = Static<typeof channelListSchema>;
export type MessageList = Static<typeof messageListSchema>;
export type Order = Static<typeof orderRequestSchema>;
export type MessageOrdered = Static<typeof messageOrderedSchema>;
export type RoomOrdered = Static<typeof roomOrderedSchema>;
export type GapSkipped = Static<typeof gapSkippedSchema>;
export type LetterSelection = Static<typeof selectionRequestSchema>;
export type LetterList = Static<typeof letterListSchema>;
export type LetterDetail = Static<typeof letterDetailSchema>;
export type FailureList = Static<typeof failureListSchema>;
export type Replay = Static<typeof replaySchema>;
export type Discard = Static<typeof discardSchema>;
export type BufferView = Static<typeof bufferSchema>;
export type BuriedList = Static<typeof buriedListSchema>;
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
    /** What became of what `publish` answered for. */
    follow: ({ status }: Pick<Accepted, 'status'>): Promise<RoomMessageView> => this.call('GET', status),
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
    /** Those that messages to this recipient were in, and those that have its name, a page. */
    ofRecipient: (
      recipient: string,
      query: Pick<Static<typeof lingeringQuery>, 'tenant' | 'channel' | 'cursor' | 'limit'> = {},
    ): Promise<LingeringView> => this.call('GET', '/v1/rooms', { query: { ...query, recipient } }),
    timeline: (channel: string, room: string, query: Static<typeof timelineQuery> = {}): Promise<TimelineView> =>
      this.call('GET', path`/v1/rooms/${channel}/${room}/timeline`, { query }),
    pause: (channel: string, room: string, order: Order & InTenant = {}): Promise<RoomOrdered> =>
      this.#orderRoom(channel, room, 'pause', order),
    resume: (channel: string, room: string, order: Order & InTenant = {}): Promise<RoomOrdered> =>
      this.#orderRoom(channel, room, 'resume', order),
    skipGap: (
      channel: string,
      room: string,
      { tenant, ...body }: Static<typeof skipGapRequestSchema> & InTenant = {},
    ): Promise<GapSkipped> =>
      this.call('POST', path`/v1/rooms/${channel}/${room}/skip-gap`, { query: { tenant }, body }),
    /** By its publisher's id: also while it is parked; in the buffer with the `entry` of its status link. */
    message: (
      channel: string,
      room: string,
      messageId: string,
      query: InTenant & { readonly entry?: string | undefined } = {},
    ): Promise<RoomMessageView> =>
      this.call('GET', path`/v1/rooms/${channel}/${room}/messages/${messageId}`, { query: { ...query } }),
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
    list: (query: Static<typeof letterQuery> = {}): Promise<LetterList> =>
      this.call('GET', '/v1/dead-letters', { query }),
    get: (id: number): Promise<LetterDetail> => this.call('GET', `/v1/dead-letters/${id}`),
    replay: (id: number, order: Static<typeof replayRequestSchema> = {}): Promise<Replay> =>
      this.call('POST', `/v1/dead-letters/${id}/replay`, { body: order }),
    discard: (id: number, order: Order = {}): Promise<Discard> =>
      this.call('POST', `/v1/dead-letters/${id}/discard`, { body: order }),
    replayMany: (selection: LetterSelection): Promise<Replay> =>
      this.call('POST', '/v1/dead-letters:replay', { body: selection }),
    discardMany: (selection: LetterSelection): Promise<Discard> =>
      this.call('POST', '/v1/dead-letters:discard', { body: selection }),
  };

  /** Refused outside development mode. */
  readonly development = {
    get: (): Promise<DevelopmentView> => this.call('GET', '/v1/development'),
    /** Deletes all rooms and messages. @param database its name: a confirmation */
    reset: (database: string): Promise<{ readonly database: string }> =>
      this.call('POST', '/v1/development/reset', { body: { database } }),
    platform: (): Promise<PlatformView> => this.call('GET', '/v1/development/platform'),
    changePlatform: (patch: PlatformPatch): Promise<PlatformView> =>
      this.call('PATCH', '/v1/development/platform', { body: patch }),
  };

  /**
   * What happens now: totals twice a second, and messages as they settle or fail. Connects anew with a growing pause
   * until the signal aborts or the loop over it ends; `ready` comes first after every connection, and tells what was
   * missed. Who takes the events too slowly is told by `dropped` how many are missing.
   * @throws RoomlineApiError where it is refused for good
   */
  live(filter: LiveFilter = {}, options: LiveOptions = {}): AsyncGenerator<LiveEvent, void, undefined> {
    const connection = {
      url: this.#url,
      key: this.#key,
      fetch: this.#fetch,
      timeoutMs: this.#timeoutMs,
      sleep: this.#sleep,
      pauseMs: (failures: number, retryAfterMs: number) => this.#pauseMs(failures, retryAfterMs),
    };
    return readLive(connection, filter, options);
  }

  /** What the client's own key may do. */
  key(): Promise<KeyView> {
    return this.call('GET', '/v1/key');
  }

  /** How much is where, from intake to settled. */
  pipeline(): Promise<PipelineView> {
    return this.call('GET', '/v1/pipeline');
  }

  charts(query: Static<typeof chartQuery> = {}): Promise<ChartView> {
    return this.call('GET', '/v1/charts', { query });
  }

  /** Failures grouped by what they have in common. */
  failures(query: Static<typeof failureQuery> = {}): Promise<FailureList> {
    return this.call('GET', '/v1/failures', { query });
  }

  readonly operations = {
    channels: (): Promise<Static<typeof managedChannelListSchema>> => this.call('GET', '/v1/ops/channels'),
    channel: (tenant: string, channel: string): Promise<Static<typeof managedChannelDetailSchema>> =>
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
    /** What waits in the buffer. Refused by 404 where nothing is buffered. */
    buffer: (): Promise<BufferView> => this.call('GET', '/v1/ops/buffer'),
    /** Entries that were put aside, a page. */
    buried: (partition: number, query: { readonly after?: string | undefined; readonly limit?: number } = {}) =>
      this.call<BuriedList>('GET', `/v1/ops/buffer/${partition}/dead-letters`, { query }),
    /** Puts them back, or drops them for good. @returns how many of them there were */
    endBuried: (action: 'replay' | 'discard', partition: number, ids: readonly string[]) =>
      this.call<{ readonly count: number }>('POST', `/v1/ops/buffer/${partition}/dead-letters/${action}`, {
        body: { ids },
      }),
  };

  /**
   * One call of any path of the API; its answer's JSON.
   * @throws RoomlineApiError where it is refused, RoomlineConnectionError where there is no answer of Roomline
   */
  async call<T = unknown>(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    target: string,
    call: Call = {},
  ): Promise<T> {
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
    throw refusalIn(response, answer);
  }

  /** Doubling, with chance, and never shorter than the server asks. */
  #pause(attempt: number, retryAfterMs = 0): Promise<void> {
    return this.#sleep(this.#pauseMs(attempt, retryAfterMs));
  }

  #pauseMs(attempt: number, retryAfterMs: number): number {
    const most = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
    return retryAfterMs + most * (0.5 + this.#random() / 2);
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

function precondition(expected: number | 'absent' | undefined): Record<string, string> {
  if (expected === undefined) return {};
  return expected === 'absent' ? { 'if-none-match': '*' } : { 'if-match': `"${expected}"` };
}

/** A path whose parts are escaped. */
export function path(literals: TemplateStringsArray, ...parts: readonly string[]): string {
  return String.raw({ raw: literals }, ...parts.map(encodeURIComponent));
}

/**
 * The live feed as a program reads it: server-sent events over `fetch`, so that the key goes in a header; connected anew
 * for as long as somebody reads.
 */
import { createParser } from 'eventsource-parser';
import type { LiveEvent, LiveFilter } from '../http/live-schemas.ts';
import { RoomlineApiError, RoomlineConnectionError, refusalIn } from './errors.ts';

export type {
  LiveClosing,
  LiveDropped,
  LiveEvent,
  LiveEventName,
  LiveFilter,
  LiveReady,
  LiveSettlement,
  LiveTotals,
} from '../http/live-schemas.ts';

/** `waiting`: the connection was lost, or refused for now; it is made anew after `ms`. */
export type LiveState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'open' }
  | {
      readonly kind: 'waiting';
      readonly ms: number;
      readonly error: RoomlineApiError | RoomlineConnectionError | null;
    };

export interface LiveOptions {
  /** Ends the iteration, without an error. */
  readonly signal?: AbortSignal | undefined;
  /** Told of every change of the connection. */
  readonly onState?: ((state: LiveState) => void) | undefined;
  /** Of an event of an earlier feed: `ready` then says how to catch up. */
  readonly lastEventId?: string | undefined;
}

export interface LiveConnection {
  readonly url: string;
  readonly key: string;
  readonly fetch: typeof fetch;
  /** For the beginning of an answer, in ms. */
  readonly timeoutMs: number;
  /** How long to wait after so many failures in a row, in ms. */
  readonly pauseMs: (failures: number, retryAfterMs: number) => number;
  readonly sleep: (ms: number) => Promise<void>;
}

/** Nothing for so long means that the connection is dead, until `ready` says how often something comes. */
const SILENCE_MS = 30_000;

/** @throws RoomlineApiError where it is refused for good */
export async function* readLive(
  connection: LiveConnection,
  filter: LiveFilter,
  { signal, onState = () => undefined, lastEventId }: LiveOptions,
): AsyncGenerator<LiveEvent, void, undefined> {
  const isOver = (): boolean => signal?.aborted === true;
  let last = lastEventId;
  for (let failures = 0; !isOver(); ) {
    const attempt = new AbortController();
    const end = (): void => attempt.abort();
    signal?.addEventListener('abort', end, { once: true });
    let error: RoomlineApiError | RoomlineConnectionError | null = null;
    let retryAfterMs = 0;
    try {
      onState({ kind: 'connecting' });
      const body = await open(connection, filter, last, attempt);
      for await (const event of eventsIn(body, attempt)) {
        if (event.event === 'ready') {
          failures = 0;
          onState({ kind: 'open' });
        }
        if (event.event === 'closing') retryAfterMs = event.data.retryAfterMs;
        last = event.id;
        yield event;
      }
    } catch (thrown) {
      if (isOver()) return;
      error = failureOf(thrown);
      if (error instanceof RoomlineApiError) {
        if (!error.retryable && error.status !== 429) throw error;
        retryAfterMs = error.retryAfterMs ?? 0;
      }
    } finally {
      signal?.removeEventListener('abort', end);
      attempt.abort();
    }
    if (isOver()) return;
    const ms = connection.pauseMs(failures++, retryAfterMs);
    onState({ kind: 'waiting', ms, error });
    await pause(connection.sleep(ms), signal);
  }
}

async function open(
  { url, key, fetch: send, timeoutMs }: LiveConnection,
  filter: LiveFilter,
  lastEventId: string | undefined,
  attempt: AbortController,
): Promise<ReadableStream<Uint8Array>> {
  const target = new URL('/v1/live', url);
  for (const [name, value] of Object.entries(filter)) target.searchParams.set(name, value);
  const late = setTimeout(() => attempt.abort(), timeoutMs);
  try {
    const response = await send(target, {
      headers: {
        authorization: `Bearer ${key}`,
        accept: 'text/event-stream',
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      },
      cache: 'no-store',
      redirect: 'error',
      signal: attempt.signal,
    });
    if (!response.ok) throw refusalIn(response, await response.json());
    const isFeed = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
    if (isFeed && response.body !== null) return response.body;
    throw new RoomlineConnectionError(`${url} answered ${response.status} without a feed.`);
  } catch (cause) {
    if (cause instanceof RoomlineApiError || cause instanceof RoomlineConnectionError) throw cause;
    throw new RoomlineConnectionError(`No feed from ${url}.`, { cause });
  } finally {
    clearTimeout(late);
  }
}

async function* eventsIn(body: ReadableStream<Uint8Array>, attempt: AbortController): AsyncGenerator<LiveEvent> {
  const found: LiveEvent[] = [];
  let silenceMs = SILENCE_MS;
  const parser = createParser({
    onEvent: ({ event, id = '', data }) => {
      const parsed = { event, id, data: JSON.parse(data) } as LiveEvent;
      if (parsed.event === 'ready') silenceMs = 2 * parsed.data.heartbeatMs;
      found.push(parsed);
    },
  });
  const reader = body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    // Only while something is waited for: who takes the events slowly hears nothing for other reasons.
    const silent = setTimeout(() => attempt.abort(), silenceMs);
    const chunk = await reader.read().finally(() => clearTimeout(silent));
    if (chunk.done) return;
    parser.feed(decoder.decode(chunk.value, { stream: true }));
    yield* found.splice(0);
  }
}

function failureOf(thrown: unknown): RoomlineApiError | RoomlineConnectionError {
  if (thrown instanceof RoomlineApiError || thrown instanceof RoomlineConnectionError) return thrown;
  return new RoomlineConnectionError('The feed broke off.', { cause: thrown });
}

/** Resolves when the sleep is over, or the signal aborts. */
function pause(sleep: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      signal?.removeEventListener('abort', end);
      resolve();
    };
    if (signal?.aborted === true) return end();
    signal?.addEventListener('abort', end, { once: true });
    void sleep.then(end);
  });
}

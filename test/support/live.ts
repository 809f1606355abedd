/** The live feed for tests: processes on one memory database that tell each other, and readers over HTTP. */
import { createParser } from 'eventsource-parser';
import { onTestFinished } from 'vitest';
import { Live } from '../../src/engine/live.ts';
import type { LiveBus, LiveTopic } from '../../src/engine/live-ports.ts';
import { LiveHub, type LiveHubOptions } from '../../src/http/live-hub.ts';
import type { LiveEvent, LiveEventOf } from '../../src/http/live-schemas.ts';
import type { HttpServerOptions } from '../../src/http/server.ts';
import { Backend, bearer, startServer } from '../http/fixture.ts';
import { type Process, SHARDS } from './engine.ts';
import { Stage } from './pipeline.ts';

type Texts = { readonly onText: (text: string) => void; readonly onLapse: () => void };

/** What Redis does between processes, as good or as bad as a test wants it. */
export class LiveWire {
  up = true;
  /** Every text that was told. */
  readonly told: { readonly topic: LiveTopic; readonly text: string }[] = [];
  readonly #ears: Record<LiveTopic, Set<Texts>> = { interest: new Set(), feed: new Set() };

  port(): LiveBus {
    return {
      tell: (topic, text) => {
        if (!this.up) return false;
        this.told.push({ topic, text });
        for (const { onText } of [...this.#ears[topic]]) onText(text);
        return true;
      },
      listen: (topic, onText, onLapse = () => undefined) => {
        const ear = { onText, onLapse };
        this.#ears[topic].add(ear);
        return () => void this.#ears[topic].delete(ear);
      },
      hears: () => this.up,
    };
  }

  lapse(): void {
    for (const { onLapse } of this.#ears.feed) onLapse();
  }

  heard(topic: LiveTopic): number {
    return this.told.filter((one) => one.topic === topic).length;
  }
}

/** One process with a live feed and, where it is served, an HTTP server. */
export async function startLive({
  stage = new Stage(),
  process,
  wire = null,
  name = 'process-1',
  hub: wishes = {},
  server = {},
}: {
  readonly stage?: Stage;
  readonly process?: Process;
  readonly wire?: LiveWire | null;
  readonly name?: string;
  readonly hub?: Partial<LiveHubOptions>;
  readonly server?: Partial<HttpServerOptions>;
} = {}) {
  const booted = process ?? (await stage.bed.boot());
  const reporter = stage.reporter(booted);
  const { engine, references, clock, instruments } = booted;
  const live = new Live({
    bus: wire?.port() ?? null,
    reporter,
    channels: engine.channels,
    references,
    telemetry: instruments.telemetry,
    clock,
    teller: name,
    onFailure: (error) => booted.failures.push(error),
  });
  await live.service.start();
  const { metrics } = instruments;
  const hub = new LiveHub({ live, clock, metrics, shards: SHARDS, maxReaders: 10, maxReadersPerKey: 5, ...wishes });
  const backend = new Backend();
  backend.dependencies.live = hub;
  onTestFinished(() => live.service.stop());
  const started = await startServer(server, backend);
  const open = (path = '/v1/live', headers: Readonly<Record<string, string>> = bearer('read')) =>
    Feed.open(`${started.server.url}${path}`, headers);
  return { stage, bed: stage.bed, process: booted, reporter, live, hub, open, ...started };
}

export type LiveProcess = Awaited<ReturnType<typeof startLive>>;

const DEADLINE_MS = 10_000;

/** A reader: everything that came, in order. */
export class Feed {
  readonly response: Response;
  readonly events: LiveEvent[] = [];
  /** Resolves when nothing more comes: true where the server has ended it, false where the connection broke. */
  readonly ended: Promise<boolean>;
  readonly #abort: AbortController;
  #onEvent: ((event: LiveEvent) => void) | null = null;

  private constructor(response: Response, abort: AbortController) {
    this.response = response;
    this.#abort = abort;
    this.ended = this.#read().then(
      () => true,
      () => false,
    );
  }

  static async open(url: string, headers: Readonly<Record<string, string>>): Promise<Feed> {
    const abort = new AbortController();
    const feed = new Feed(await fetch(url, { headers: { ...headers }, signal: abort.signal }), abort);
    onTestFinished(() => feed.close());
    return feed;
  }

  close(): void {
    this.#abort.abort();
  }

  of<K extends LiveEvent['event']>(kind: K): LiveEventOf<K>['data'][] {
    return this.events.flatMap((event) => (event.event === kind ? [event.data as LiveEventOf<K>['data']] : []));
  }

  /** Resolves with the first event of the kind that satisfies the condition, from those that came before, too. */
  async until<K extends LiveEvent['event']>(
    kind: K,
    condition: (data: LiveEventOf<K>['data']) => boolean = () => true,
  ): Promise<LiveEventOf<K>['data']> {
    return this.of(kind).find(condition) ?? this.next(kind, condition);
  }

  /** The same of what comes from now on. */
  next<K extends LiveEvent['event']>(
    kind: K,
    condition: (data: LiveEventOf<K>['data']) => boolean = () => true,
  ): Promise<LiveEventOf<K>['data']> {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        reject(new Error(`no such ${kind}; there were ${JSON.stringify(this.events.slice(-20))}`));
      }, DEADLINE_MS);
      this.#onEvent = (event) => {
        if (event.event !== kind || !condition(event.data as LiveEventOf<K>['data'])) return;
        clearTimeout(late);
        this.#onEvent = null;
        resolve(event.data as LiveEventOf<K>['data']);
      };
    });
  }

  async #read(): Promise<void> {
    const parser = createParser({
      onEvent: ({ event, id = '', data }) => {
        const parsed = { event, id, data: JSON.parse(data) } as LiveEvent;
        this.events.push(parsed);
        this.#onEvent?.(parsed);
      },
    });
    if (this.response.headers.get('content-type')?.startsWith('text/event-stream') !== true) return;
    const decoder = new TextDecoder();
    for await (const chunk of this.response.body ?? []) parser.feed(decoder.decode(chunk, { stream: true }));
  }
}

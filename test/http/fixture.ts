import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Refused } from '../../src/engine/intake.ts';
import { type NewMessageDraft, splitBody } from '../../src/engine/message.ts';
import type { ChannelKey, IntakeResult } from '../../src/engine/ports.ts';
import type { HttpDependencies, Page, WebhookReceipt } from '../../src/http/dependencies.ts';
import { createKey, type Scope, type StoredKey } from '../../src/http/keys.ts';
import type { MessageView, Readiness, RoomView } from '../../src/http/schemas.ts';
import { createHttpServer, type HttpServerOptions } from '../../src/http/server.ts';
import type { RoomKey } from '../../src/room/room.ts';
import { createMetrics, type Log } from '../../src/telemetry.ts';
import { ALL_ROLES } from '../support/fleet.ts';

export const NOW_MS = Date.UTC(2026, 0, 1);

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What stands behind the server: a small memory of messages by room, and every call that reached it. */
export class Backend {
  readonly published: NewMessageDraft[] = [];
  readonly webhooks: { channel: ChannelKey; headers: object; raw: Buffer }[] = [];
  readonly logged: { event: string; fields: Record<string, unknown> }[] = [];
  readonly rooms = new Map<string, MessageView[]>();
  readonly metrics = createMetrics({ version: 'test' });
  ready: Readiness[] = [{ name: 'postgres', ok: true, detail: 'serves' }];
  /** Replaces what publishing does. */
  onPublish: ((draft: NewMessageDraft) => Promise<IntakeResult>) | null = null;
  onPublishAll: ((drafts: readonly NewMessageDraft[]) => Promise<readonly (IntakeResult | Refused)[]>) | null = null;
  onWebhook: (raw: Buffer, headers: HttpHeaders) => Promise<WebhookReceipt> = async () => ({
    kind: 'stored',
    statuses: 1,
  });
  pages: Page[] = [];

  readonly dependencies: Mutable<HttpDependencies> = {
    now: () => NOW_MS,
    findChannel: (tenant, channel) => (tenant === 'default' && channel === 'support' ? { checkContent: null } : null),
    publish: (draft) => (this.onPublish ?? ((one) => this.#append(one)))(draft),
    publishAll: (drafts) => (this.onPublishAll ?? ((all) => Promise.all(all.map((one) => this.#append(one)))))(drafts),
    findMessage: async (id) => [...this.rooms.values()].flat().find((message) => message.id === id) ?? null,
    findRoom: async (key) => roomView(key, this.rooms.get(nameOf(key))),
    findRoomMessage: async (key, messageId) =>
      this.rooms.get(nameOf(key))?.find((message) => message.messageId === messageId) ?? null,
    listMessages: async (key, page) => {
      this.pages.push(page);
      const all = this.rooms.get(nameOf(key));
      const below = all?.filter((message) => page.before === null || message.sequence < page.before);
      return below === undefined ? null : below.toReversed().slice(0, page.limit);
    },
    channels: () => [
      {
        tenant: 'default',
        channel: 'support',
        account: 'acme',
        platform: 'generic',
        state: 'open',
        reason: null,
        since: null,
        until: null,
        waitingRooms: 0,
        ackTimeoutMs: 5_000,
      },
    ],
    answerHandshake: () => null,
    receiveWebhook: async (channel, { headers, raw }) => {
      this.webhooks.push({ channel, headers, raw: Buffer.from(raw) });
      return this.onWebhook(Buffer.from(raw), headers);
    },
    readiness: async () => this.ready,
    metricsText: async () => ({ contentType: this.metrics.contentType, text: await this.metrics.render() }),
    wallClockMs: () => NOW_MS,
    log: {
      event: (event: string, fields: object) => this.logged.push({ event, fields: { ...fields } }),
      flush: () => {},
      writes: () => true,
    } as Log,
    metrics: this.metrics,
  };

  async #append(draft: NewMessageDraft): Promise<IntakeResult> {
    this.published.push(draft);
    const name = nameOf(draft.key);
    const messages = this.rooms.get(name) ?? [];
    this.rooms.set(name, messages);
    const address = { shard: 1, id: [...this.rooms.keys()].indexOf(name) + 1 };
    const known = messages.find((message) => message.messageId === draft.messageId && draft.messageId !== null);
    const sequence = known?.sequence ?? messages.length + 1;
    const reference = `ref-${address.id}-${sequence}`;
    if (known === undefined) messages.push(messageView(draft, reference, sequence));
    return { kind: 'accepted', address, sequence, reference, duplicate: known !== undefined };
  }
}

export type HttpHeaders = Readonly<Record<string, string | string[] | undefined>>;

const nameOf = (key: RoomKey): string => JSON.stringify([key.tenant, key.channel, key.room]);

function messageView(draft: NewMessageDraft, id: string, sequence: number): MessageView {
  return {
    id,
    ...draft.key,
    sequence,
    messageId: draft.messageId ?? id,
    requestId: splitBody(draft.body).requestId,
    asOf: NOW_MS,
    state: 'waiting',
    outcome: null,
    order: null,
    reason: null,
    code: null,
    level: 'none',
    levelAt: null,
    platformId: null,
    acceptedAt: NOW_MS,
    notBefore: draft.notBefore,
    expiresAt: draft.expiresAt,
    cancelled: false,
    cancelledBy: null,
    settledAt: null,
    possiblyDelivered: false,
    attempts: [],
  };
}

function roomView(key: RoomKey, messages: MessageView[] | undefined): RoomView | null {
  if (messages === undefined) return null;
  const tail = messages.length;
  return {
    ...key,
    asOf: NOW_MS,
    phase: 'ready',
    reason: null,
    explanation: 'message 1 waits for a permit',
    paused: false,
    since: NOW_MS,
    until: null,
    head: 1,
    tail,
    counts: { accepted: tail, settled: 0, waiting: tail, parked: 0 },
  };
}

const keys = {
  publish: createKey(),
  read: createKey(),
  operate: createKey(),
} satisfies Record<Scope, ReturnType<typeof createKey>>;

export function keyOf(scope: Scope): string {
  return keys[scope].key;
}

export function bearer(scope: Scope): { authorization: string } {
  return { authorization: `Bearer ${keyOf(scope)}` };
}

export const PUBLISH = { ...bearer('publish'), 'content-type': 'application/json' };

/** One key for each scope, changed as a test likes. */
export function keyEntries(change: (entry: StoredKey) => StoredKey = (entry) => entry): StoredKey[] {
  return (['publish', 'read', 'operate'] as const).map((scope) =>
    change({ name: scope, hash: keys[scope].hash, scopes: [scope] }),
  );
}

const OPTIONS: HttpServerOptions = {
  host: '127.0.0.1',
  port: 0,
  bodyLimitBytes: 1_048_576,
  batchBodyLimitBytes: 16_777_216,
  webhookBodyLimitBytes: 1_048_576,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
  connectionsCheckingIntervalMs: 5_000,
  keepAliveTimeoutMs: 5_000,
  maxConnections: 1_000,
  maxRequestsPerSocket: 0,
  roles: ALL_ROLES,
  keys: keyEntries(),
};

export function makeServer(change: Partial<HttpServerOptions> = {}, backend = new Backend()) {
  return { backend, server: createHttpServer({ ...OPTIONS, ...change }, backend.dependencies) };
}

/** A started server that is stopped when the test ends. */
export async function startServer(change: Partial<HttpServerOptions> = {}, given = new Backend()) {
  const { backend, server } = makeServer(change, given);
  await server.service.start();
  onTestFinished(() => server.service.stop());
  const call = (path: string, init: RequestInit = {}) => fetch(`${server.url}${path}`, { redirect: 'manual', ...init });
  const raw = (bytes: string) => exchange(server.url, bytes);
  return { backend, server, call, raw };
}

export interface RawConnection {
  readonly socket: Socket;
  /** Everything that came back, once the other side has ended or reset the connection. */
  readonly answer: Promise<string>;
}

/** A bare connection, for what no HTTP client would send. */
export function open(url: string): RawConnection {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => resolve(text));
  socket.on('close', () => resolve(text));
  return { socket, answer: promise };
}

function exchange(url: string, bytes: string): Promise<string> {
  const { socket, answer } = open(url);
  socket.write(bytes, 'latin1');
  return answer;
}

/** The body of an answer; a test says what it expects in it. */
export async function jsonOf(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>;
}

/** The problem document in a raw answer. */
export function problemIn(answer: string) {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4));
}

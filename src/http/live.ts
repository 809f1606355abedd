/**
 * The live feed over HTTP: as server-sent events, and as a WebSocket. Who connects is checked once, and again after an
 * hour at the latest.
 */
import type { ServerResponse } from 'node:http';
import websocket, { type WebSocket } from '@fastify/websocket';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { checkId, DEFAULT_TENANT } from '../engine/message.ts';
import { RoomlineError, toProblem } from '../errors.ts';
import { addEndpoint } from './endpoint.ts';
import { type Authorize, type Guard, identityOf, ifKeyed } from './guard.ts';
import type { LiveHub, OpenReader, Reading, Sink } from './live-hub.ts';
import {
  LIVE_EVENTS,
  type LiveEventName,
  type LiveFilter,
  liveEventSchema,
  liveQuery,
  liveSocketSchema,
} from './live-schemas.ts';

export const SOCKET_PATH = '/v1/live/socket';

/** How long a WebSocket may take to show its key, and how many may be about to. */
const KEY_TIMEOUT_MS = 5_000;
const MAX_WITHOUT_KEY = 64;
/** Of what a WebSocket sends: its key. */
const MAX_PAYLOAD_BYTES = 4_096;
/** Bytes on their way to a WebSocket above which it is full. */
const FULL_BYTES = 65_536;
const PING_EVERY_MS = 10_000;
/** How long a reader that is sent away may take to take the last of it. */
const LINGER_MS = 1_000;
const RETRY_MS = 1_000;

export interface LiveRouteOptions {
  readonly authorize: Authorize;
  readonly answerTimeoutMs: number;
}

export function addLiveRoutes(app: FastifyInstance, hub: LiveHub, options: LiveRouteOptions): void {
  const { authorize, answerTimeoutMs } = options;
  const guard = authorize('read', 'tenants');
  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/live',
    onRequest: guard,
    schema: { querystring: liveQuery, response: { 200: liveEventSchema } },
    handler: async (request, reply) => {
      const reading = readingOf(request, request.headers['last-event-id']);
      hub.admit(reading.key);
      reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
      // Proxies that gather answers would hold the events back.
      reply.header('x-accel-buffering', 'no').type('text/event-stream; charset=utf-8');
      if (request.method === 'HEAD') return '';
      stream(hub, reading, reply);
      // Whoever waits for a reply waits for its end.
      return undefined;
    },
  });

  app.register(async (scope) => {
    await scope.register(websocket, { options: { maxPayload: MAX_PAYLOAD_BYTES } });
    const replies = new WeakMap<FastifyRequest, FastifyReply>();
    let withoutKey = 0;
    addEndpoint(scope, answerTimeoutMs, {
      method: 'GET',
      url: SOCKET_PATH,
      onRequest: [
        ifKeyed(guard),
        async (request, reply) => {
          if (!request.ws) return;
          if (request.headers.authorization !== undefined) hub.admit(identityOf(request).name);
          replies.set(request, reply);
        },
      ],
      schema: { querystring: liveQuery, response: { 101: liveSocketSchema } },
      handler: async () => {
        throw new RoomlineError('upgrade_required');
      },
      wsHandler: (socket, request) => {
        if (request.headers.authorization !== undefined) {
          connect(hub, socket, request, request.headers['last-event-id']);
          return;
        }
        const reply = replies.get(request);
        if (withoutKey >= MAX_WITHOUT_KEY || reply === undefined) {
          refuse(socket, new RoomlineError('overloaded'));
          return;
        }
        withoutKey++;
        const noLonger = once(() => withoutKey--);
        socket.once('close', noLonger);
        awaitKey(socket, async (first) => {
          await show(guard, first.key, request, reply).finally(noLonger);
          connect(hub, socket, request, first.lastEventId);
        });
      },
    });
  });
}

/** What is asked for, as far as whoever asks may see it. @throws RoomlineError */
function readingOf(request: FastifyRequest, lastEventId: unknown): Reading {
  const { tenant: given, channel = null, room = null, events } = request.query as LiveFilter;
  const { name, tenants: own } = identityOf(request);
  if (room !== null && channel === null) {
    throw new RoomlineError('field_missing', { field: 'channel', rule: 'with a room' });
  }
  const tenant = given ?? (channel === null ? null : DEFAULT_TENANT);
  for (const [field, id] of Object.entries({ tenant, channel, room })) if (id !== null) checkId(field, id);
  const wanted = events === undefined ? LIVE_EVENTS : [...new Set(events.split(',') as LiveEventName[])];
  // Of a tenant that is not there for this key, nothing ever happens.
  const tenants = tenant === null ? own : own === null || own.includes(tenant) ? [tenant] : [];
  const missed = typeof lastEventId === 'string' && /^\d{1,15}$/.test(lastEventId) ? Number(lastEventId) : null;
  return { key: name, events: wanted, tenant, channel, room, tenants, bound: own !== null, missedSince: missed };
}

// ---------------------------------------------------------------------------------------------------- server-sent events

const encodeEvent: Sink['encode'] = (event, id, json) => `event: ${event}\nid: ${id}\ndata: ${json}\n\n`;

function stream(hub: LiveHub, reading: Reading, reply: FastifyReply): void {
  const { raw } = reply;
  reply.hijack();
  if (raw.destroyed) return;
  raw.writeHead(200, reply.getHeaders() as Record<string, string>);
  raw.write(`retry: ${RETRY_MS}\n\n`);
  const reader = hub.open(reading, streamSink(raw));
  raw.on('drain', () => reader.drained());
  raw.on('close', () => reader.left());
}

function streamSink(raw: ServerResponse): Sink {
  return {
    encode: encodeEvent,
    join: (texts) => texts.join(''),
    write: (text) => raw.write(text),
    close() {
      raw.end();
      soon(() => raw.destroy());
    },
    destroy: () => void raw.destroy(),
  };
}

// -------------------------------------------------------------------------------------------------------------- WebSocket

const encodeItem: Sink['encode'] = (event, id, json) => `{"event":"${event}","id":"${id}","data":${json}}`;

function connect(hub: LiveHub, socket: WebSocket, request: FastifyRequest, lastEventId: unknown): void {
  if (socket.readyState !== socket.OPEN) return;
  let reader: OpenReader | null = null;
  const sink = socketSink(socket, () => reader?.drained());
  try {
    reader = hub.open(readingOf(request, lastEventId), sink);
  } catch (error) {
    refuse(socket, error);
    return;
  }
  const opened = reader;
  let alive = true;
  const ping = setInterval(() => {
    if (alive) socket.ping();
    else socket.terminate();
    alive = false;
  }, PING_EVERY_MS);
  socket.on('pong', () => {
    alive = true;
  });
  socket.on('message', () => socket.close(1008, 'nothing further is expected'));
  socket.on('close', () => {
    clearInterval(ping);
    opened.left();
  });
}

function socketSink(socket: WebSocket, onDrained: () => void): Sink {
  let full = false;
  return {
    encode: encodeItem,
    join: (texts) => `[${texts.join(',')}]`,
    write(text) {
      socket.send(text, () => {
        if (!full || socket.bufferedAmount > FULL_BYTES / 2) return;
        full = false;
        onDrained();
      });
      full = socket.bufferedAmount > FULL_BYTES;
      return !full;
    },
    close(reason) {
      socket.close(reason === 'stopping' ? 1001 : 1000, reason);
      soon(() => socket.terminate());
    },
    destroy: () => socket.terminate(),
  };
}

interface FirstMessage {
  readonly key: string;
  readonly lastEventId: unknown;
}

/** Whoever could not send a header shows the key as the first message. */
function awaitKey(socket: WebSocket, onFirst: (first: FirstMessage) => Promise<void>): void {
  const late = setTimeout(() => refuse(socket, new RoomlineError('request_timeout')), KEY_TIMEOUT_MS);
  socket.once('close', () => clearTimeout(late));
  socket.once('message', (data) => {
    clearTimeout(late);
    const first = firstOf(String(data));
    if (first === null) refuse(socket, new RoomlineError('field_missing', { field: 'key' }));
    else onFirst(first).catch((error: unknown) => refuse(socket, error));
  });
}

function firstOf(text: string): FirstMessage | null {
  try {
    const { key, lastEventId } = JSON.parse(text) as Record<string, unknown>;
    return typeof key === 'string' ? { key, lastEventId } : null;
  } catch {
    return null;
  }
}

/** As if the key had come as a header. @throws RoomlineError */
async function show(guard: Guard, key: string, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  request.raw.headers.authorization = `Bearer ${key}`;
  await guard(request, reply);
}

/** Ends with 4000 + the status that the error has over HTTP, and its code as the reason. */
function refuse(socket: WebSocket, error: unknown): void {
  const { status, code } = toProblem(error, '');
  socket.close(4_000 + status, code);
  soon(() => socket.terminate());
}

function once(run: () => void): () => void {
  let isOver = false;
  return () => {
    if (!isOver) run();
    isOver = true;
  };
}

function soon(callback: () => void): void {
  setTimeout(callback, LINGER_MS).unref();
}

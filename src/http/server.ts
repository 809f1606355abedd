/** The HTTP server: hardened, bounded everywhere, and a service like any other. */
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type FastifyInstance, fastify } from 'fastify';
import { defineService, type Service } from '../engine/service.ts';
import { RoomlineError } from '../errors.ts';
import { createDashboard } from './dashboard.ts';
import type { HttpDependencies } from './dependencies.ts';
import { addDevelopmentRoutes } from './development.ts';
import { addDocsRoutes } from './docs.ts';
import { createAuthorizer, OpenRequests } from './guard.ts';
import { addKeyRoutes } from './key.ts';
import type { StoredKey } from './keys.ts';
import { KeyBudgets } from './limits.ts';
import { addLiveRoutes, SOCKET_PATH } from './live.ts';
import { addMessageRoutes } from './messages.ts';
import { type Route, routeOf } from './openapi.ts';
import { addOperationRoutes } from './operations.ts';
import { addOperatorBufferRoutes } from './operator-buffer.ts';
import { addOperatorChannelRoutes } from './operator-channels.ts';
import { addOperatorFleetRoutes } from './operator-fleet.ts';
import { addPipelineRoutes } from './pipeline.ts';
import {
  answerBrokenRequest,
  answerExpectation,
  createErrorHandler,
  MAX_HEADER_BYTES,
  requestIdOf,
} from './problems.ts';
import { addRoomRoutes } from './rooms.ts';
import { addSteeringRoutes } from './steering.ts';
import { addWebhookRoutes } from './webhooks.ts';

export interface HttpServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly bodyLimitBytes: number;
  readonly batchBodyLimitBytes: number;
  readonly webhookBodyLimitBytes: number;
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly connectionsCheckingIntervalMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly maxConnections: number;
  /** 0 for no limit. */
  readonly maxRequestsPerSocket: number;
  readonly keys: readonly StoredKey[];
  /** `api` and `webhook` have their routes here; health and metrics are always there. */
  readonly roles: readonly string[];
  /** Where the dashboard's build is; `dist/dashboard` by default. */
  readonly dashboardDirectory?: string;
  /** How long an answer may take once the request is there; then it is 503. */
  readonly answerTimeoutMs?: number;
  /** More requests than this at once are refused with 503. */
  readonly maxOpenRequests?: number;
}

export interface HttpServer {
  readonly service: Service;
  /** Such as `http://127.0.0.1:8080`; only while the service runs. */
  readonly url: string;
}

const ANSWER_TIMEOUT_MS = 10_000;
const MAX_OPEN_REQUESTS = 4_096;
/** At a stop, for bodies that are still coming; a client that sends no more of one would hold it up. */
const UPLOAD_GRACE_MS = 1_000;
/** A client that takes nothing of its answer for this long is cut off. */
const SOCKET_IDLE_MS = 30_000;
const MAX_URL_LENGTH = 2_048;
const MAX_HEADERS = 100;
/** 256 bytes, percent-encoded. */
const MAX_PARAM_LENGTH = 768;

export function createHttpServer(options: HttpServerOptions, to: HttpDependencies): HttpServer {
  let url: string | null = null;
  const service = defineService('http', async (scope) => {
    const open = new OpenRequests();
    let stopping = false;
    const app = buildServer(options, to, open, () => stopping);
    scope.onStop(async () => {
      stopping = true;
      to.live?.close();
      const closed = app.close();
      // What has arrived is answered; connections that only wait, or never sent a request, are not waited for.
      await within(UPLOAD_GRACE_MS, open.none());
      open.cutUnfinished();
      await within(options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS, open.none());
      app.server.closeAllConnections();
      await closed;
    });
    await app.listen({ host: options.host, port: options.port });
    const { port } = app.server.address() as AddressInfo;
    const host = options.host.includes(':') ? `[${options.host}]` : options.host;
    url = `http://${host}:${port}`;
    to.log.event('http.listening', { host: options.host, port });
  });
  return {
    service,
    get url() {
      if (url === null) throw new Error('the HTTP server has not been started');
      return url;
    },
  };
}

/** Resolves with the work, or after this time. */
async function within(ms: number, work: Promise<void>): Promise<void> {
  const over = new AbortController();
  await Promise.race([work, delay(ms, undefined, { signal: over.signal }).catch(() => undefined)]);
  over.abort();
}

function buildServer(
  options: HttpServerOptions,
  to: HttpDependencies,
  open: OpenRequests,
  isStopping: () => boolean,
): FastifyInstance {
  const onError = createErrorHandler(to.log);
  const servesLive = to.live !== undefined && options.roles.includes('api');
  const maxOpenRequests = options.maxOpenRequests ?? MAX_OPEN_REQUESTS;
  const app = fastify({
    http: {
      headersTimeout: options.headersTimeoutMs,
      connectionsCheckingInterval: options.connectionsCheckingIntervalMs,
      maxHeaderSize: MAX_HEADER_BYTES,
      // Demanded below, where a refusal is a problem document.
      requireHostHeader: false,
      // Anywhere else, and where it is refused before its route is looked at, a request to upgrade is one like any other.
      shouldUpgradeCallback: ({ method, url = '', headers }) => {
        if (!servesLive || method !== 'GET' || url.split('?', 1)[0] !== SOCKET_PATH) return false;
        return (
          headers.host !== undefined && url.length <= MAX_URL_LENGTH && !isStopping() && open.admits(maxOpenRequests)
        );
      },
    },
    requestTimeout: options.requestTimeoutMs,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    connectionTimeout: SOCKET_IDLE_MS,
    maxRequestsPerSocket: options.maxRequestsPerSocket,
    bodyLimit: options.bodyLimitBytes,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    ajv: { customOptions: { removeAdditional: false, coerceTypes: true, useDefaults: false } },
    genReqId: requestIdOf,
    frameworkErrors: onError,
    // What follows a request that has its effect must not speak for it.
    clientErrorHandler: (error, socket) => void open.answered(socket).then(() => answerBrokenRequest(error, socket)),
    return503OnClosing: false,
  });
  app.server.maxConnections = options.maxConnections;
  app.server.maxHeadersCount = MAX_HEADERS;
  app.server.on('checkExpectation', answerExpectation);
  app.setErrorHandler(onError);
  const dashboard = options.roles.includes('api') ? createDashboard(options.dashboardDirectory) : null;
  app.setNotFoundHandler((request, reply) => {
    const answer = dashboard?.answerNavigation(request, reply) ?? null;
    if (answer === null) throw new RoomlineError('not_found');
    return answer;
  });
  const routes: Route[] = [];
  app.addHook('onRoute', (added) => {
    const route = routeOf(added);
    if (route !== null) routes.push(route);
  });
  app.addHook('onRequest', open.track);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1') {
      done(new RoomlineError('field_missing', { field: 'host', rule: 'required by HTTP/1.1' }));
    } else if (request.raw.url !== undefined && request.raw.url.length > MAX_URL_LENGTH) {
      done(new RoomlineError('field_invalid', { field: 'url', rule: `at most ${MAX_URL_LENGTH} characters` }));
    } else done();
  });

  const monotonicMs = to.monotonicMs ?? (() => performance.now());
  const budgets = new KeyBudgets(options.keys, to.sharedBudgets ?? null, monotonicMs);
  const authorize = createAuthorizer(options.keys, to.wallClockMs, budgets);
  const { bodyLimitBytes, batchBodyLimitBytes, webhookBodyLimitBytes } = options;
  const answerTimeoutMs = options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS;
  const authorizeOperator = authorize('operate');
  addOperationRoutes(app, to, { isStopping, authorizeOperator, answerTimeoutMs });
  const limit = open.limit(maxOpenRequests);
  const bound = (scope: FastifyInstance): void => {
    scope.addHook('onRequest', (_request, _reply, done) => {
      done(isStopping() ? new RoomlineError('not_ready', { detail: 'This process is stopping' }) : undefined);
    });
    scope.addHook('onRequest', limit);
  };
  const serves = (role: string): boolean => options.roles.includes(role);
  if (serves('api'))
    app.register(async (scope) => {
      bound(scope);
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
      addMessageRoutes(scope, to, { authorize, budgets, bodyLimitBytes, batchBodyLimitBytes, answerTimeoutMs });
      addRoomRoutes(scope, to, { authorize, answerTimeoutMs });
      if (to.pipeline !== undefined) addPipelineRoutes(scope, to.pipeline, { authorize, answerTimeoutMs });
      if (to.live !== undefined) addLiveRoutes(scope, to.live, { authorize, answerTimeoutMs });
      addKeyRoutes(scope, { authorize, answerTimeoutMs });
      addDocsRoutes(scope, { routes, answerTimeoutMs });
      dashboard?.addRoutes(scope);
      const { channelAdmin, fleet, log, now } = to;
      if (channelAdmin !== undefined) {
        addOperatorChannelRoutes(scope, channelAdmin, { authorize, now, answerTimeoutMs, log });
      }
      if (to.steering !== undefined) addSteeringRoutes(scope, to, to.steering, { authorize, answerTimeoutMs });
      if (to.buffer !== undefined)
        addOperatorBufferRoutes(scope, to.buffer, { authorizeOperator, now, answerTimeoutMs, log });
      if (fleet !== undefined) addOperatorFleetRoutes(scope, fleet, { authorizeOperator, now, answerTimeoutMs, log });
      addDevelopmentRoutes(scope, to.development ?? null, { authorize, now, answerTimeoutMs, log });
    });
  if (serves('webhook'))
    app.register(async (scope) => {
      bound(scope);
      addWebhookRoutes(scope, to, { bodyLimitBytes: webhookBodyLimitBytes, answerTimeoutMs });
    });
  return app;
}

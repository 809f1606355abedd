/** Development mode: what must never happen where messages are real, and is refused there. */
import { Ajv, type ErrorObject } from 'ajv';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { Actor } from '../engine/fleet-operations.ts';
import { RoomlineError } from '../errors.ts';
import type { Log } from '../telemetry.ts';
import {
  type DevelopmentView,
  developmentSchema,
  type PlatformPatch,
  platformPatchSchema,
  platformViewSchema,
  resetRequestSchema,
  resetSchema,
} from './development-schemas.ts';
import { addEndpoint } from './endpoint.ts';
import type { FakePlatform } from './fake-platform.ts';
import { fromStore } from './from-store.ts';
import type { Authorize } from './guard.ts';
import { objectIn, operatorOf } from './operator-channels.ts';

const MAX_BODY_BYTES = 16_384;
const MAX_DEPTH = 4;
const noQuery = Type.Object({}, { additionalProperties: false });

export interface DevelopmentDesk {
  /** The name of the database. */
  readonly database: () => Promise<string>;
  /** Deletes all rooms, messages and what was counted of them, here and in what every process holds. */
  readonly reset: (by: Actor) => Promise<void>;
  /** Null where there is none to be changed. */
  readonly platform: FakePlatform | null;
}

export interface DevelopmentOptions {
  readonly authorize: Authorize;
  readonly now: () => number;
  readonly answerTimeoutMs: number;
  readonly log: Log;
}

/** @param desk null outside development mode: the addresses are there, and say so */
export function addDevelopmentRoutes(
  app: FastifyInstance,
  desk: DevelopmentDesk | null,
  { authorize, now, answerTimeoutMs, log }: DevelopmentOptions,
): void {
  const onRequest = authorize('operate');

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/development',
    onRequest: authorize('read'),
    schema: { querystring: noQuery, response: { 200: developmentSchema } },
    handler: async (): Promise<DevelopmentView> => {
      if (desk === null) return { enabled: false, database: null, platform: false };
      return { enabled: true, database: await fromStore(desk.database()), platform: desk.platform !== null };
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'POST',
    url: '/v1/development/reset',
    onRequest,
    bodyLimit: MAX_BODY_BYTES,
    schema: { querystring: noQuery, response: { 200: resetSchema } },
    handler: async (request) => {
      const { reset, database } = present(desk);
      const confirmed = bodyIn<{ database: string }>(request, isReset);
      const name = await fromStore(database());
      if (confirmed.database !== name) throw new RoomlineError('reset_unconfirmed', { field: 'database' });
      const by = operatorOf(request);
      await fromStore(reset({ actor: by.name, requestId: by.requestId }));
      tell(request);
      return { database: name };
    },
  });

  addEndpoint(
    app,
    answerTimeoutMs,
    {
      method: 'GET',
      url: '/v1/development/platform',
      onRequest,
      schema: { querystring: noQuery, response: { 200: platformViewSchema } },
      handler: async () => {
        const asOf = now();
        return { asOf, ...(await platformOf(desk).view()) };
      },
    },
    {
      method: 'PATCH',
      url: '/v1/development/platform',
      onRequest,
      bodyLimit: MAX_BODY_BYTES,
      schema: { querystring: noQuery, response: { 200: platformViewSchema } },
      handler: async (request) => {
        const platform = platformOf(desk);
        await platform.change(bodyIn<PlatformPatch>(request, isPatch));
        tell(request);
        const asOf = now();
        return { asOf, ...(await platform.view()) };
      },
    },
  );

  function tell(request: FastifyRequest): void {
    const { name: key } = operatorOf(request);
    log.event('operator.acted', {
      key,
      method: request.method,
      route: request.routeOptions.url ?? '',
      requestId: request.id,
    });
  }
}

function present(desk: DevelopmentDesk | null): DevelopmentDesk {
  if (desk === null) throw new RoomlineError('development_disabled');
  return desk;
}

function platformOf(desk: DevelopmentDesk | null): FakePlatform {
  const { platform } = present(desk);
  if (platform === null) throw new RoomlineError('development_platform_missing');
  return platform;
}

const ajv = new Ajv();
type Check = ((value: unknown) => boolean) & { errors?: null | ErrorObject[] };
const isReset: Check = ajv.compile(resetRequestSchema);
const isPatch: Check = ajv.compile(platformPatchSchema);

function bodyIn<T>(request: FastifyRequest, check: Check): T {
  const body = objectIn(request, MAX_DEPTH);
  if (check(body)) return body as T;
  const error = check.errors?.[0];
  const field = error?.instancePath.slice(1).replaceAll('/', '.') || 'body';
  const rule = error?.message ?? 'valid';
  switch (error?.keyword) {
    case 'required':
      throw new RoomlineError('field_missing', { field: String(error.params.missingProperty), rule });
    case 'additionalProperties':
      throw new RoomlineError('field_unknown', { field, rule });
    case 'type':
      throw new RoomlineError('field_type', { field, rule });
    default:
      throw new RoomlineError('field_invalid', { field, rule });
  }
}

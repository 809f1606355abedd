/** Channels as operators configure them, and the audit of what operators did. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { parseJson } from '../engine/message.ts';
import { channelName } from '../engine/policy.ts';
import type { ChannelKey } from '../engine/ports.ts';
import { RoomlineError } from '../errors.ts';
import type { Log } from '../telemetry.ts';
import type { ChannelAdmin, Operator, Precondition } from './channel-admin.ts';
import { addEndpoint, type Endpoint } from './endpoint.ts';
import { fromStore } from './from-store.ts';
import { type Authorize, identityOf, ownsTenant } from './guard.ts';
import {
  auditListSchema,
  managedChannelDetailSchema,
  managedChannelListSchema,
  managedChannelSchema,
  previewSchema,
  removedSchema,
} from './schemas.ts';

const MAX_BODY_BYTES = 65_536;
/** Settings are nowhere deeper. */
const MAX_DEPTH = 6;
const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const MAX_PAGE = 200;
const DEFAULT_PAGE = 50;
/** The longest are rooms: three names and what stands between them. */
const MAX_SUBJECT_LENGTH = 512;

const previewQuery = Type.Object(
  { dryRun: Type.Literal(true, { description: 'Says what PUT would do; there is no POST that changes anything.' }) },
  { additionalProperties: false },
);
const removeQuery = Type.Object(
  { force: Type.Optional(Type.Boolean({ description: 'Also while rooms of it wait.' })) },
  { additionalProperties: false },
);
const noQuery = Type.Object({}, { additionalProperties: false });
const auditQuery = Type.Object(
  {
    subject: Type.Optional(
      Type.String({
        maxLength: MAX_SUBJECT_LENGTH,
        description: 'Such as channel:default/support; everything by default.',
      }),
    ),
    before: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Page marker.' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE, description: `${DEFAULT_PAGE} by default.` })),
  },
  { additionalProperties: false },
);

export interface OperatorChannelOptions {
  readonly authorize: Authorize;
  readonly now: () => number;
  readonly answerTimeoutMs: number;
  readonly log: Log;
}

export function addOperatorChannelRoutes(
  app: FastifyInstance,
  channels: ChannelAdmin,
  { authorize, now, answerTimeoutMs, log }: OperatorChannelOptions,
): void {
  const onRequest = authorize('operate', 'tenants');
  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/ops/channels',
    onRequest,
    schema: { querystring: noQuery, response: { 200: managedChannelListSchema } },
    handler: async (request) => {
      const asOf = now();
      return { asOf, channels: (await fromStore(channels.list())).filter(({ tenant }) => ownsTenant(request, tenant)) };
    },
  });

  const url = '/v1/ops/channels/:tenant/:channel';
  const get: Endpoint = {
    method: 'GET',
    url,
    onRequest,
    schema: { querystring: noQuery, response: { 200: managedChannelDetailSchema } },
    handler: async (request, reply) => {
      const asOf = now();
      const channel = await fromStore(channels.find(keyOf(request)));
      if (channel === null) throw new RoomlineError('channel_not_found');
      if (channel.revision !== null) reply.header('etag', `"${channel.revision}"`);
      return { asOf, ...channel };
    },
  };
  const put: Endpoint = {
    method: 'PUT',
    url,
    onRequest,
    bodyLimit: MAX_BODY_BYTES,
    schema: { querystring: noQuery, response: { '2xx': managedChannelSchema } },
    handler: async (request, reply) => {
      const key = keyOf(request);
      const operator = operatorOf(request);
      const put = channels.put(key, objectIn(request), preconditionOf(request), operator);
      const { effect, channel } = await fromStore(put);
      if (effect !== 'none') tell(log, request, operator, key);
      reply.code(effect === 'create' ? 201 : 200).header('etag', `"${channel.revision}"`);
      return channel;
    },
  };
  const preview: Endpoint = {
    method: 'POST',
    url,
    onRequest,
    bodyLimit: MAX_BODY_BYTES,
    schema: { querystring: previewQuery, response: { 200: previewSchema } },
    handler: async (request) =>
      fromStore(channels.preview(keyOf(request), objectIn(request), preconditionOf(request), operatorOf(request))),
  };
  const remove: Endpoint = {
    method: 'DELETE',
    url,
    onRequest,
    schema: { querystring: removeQuery, response: { 200: removedSchema } },
    handler: async (request) => {
      const key = keyOf(request);
      const operator = operatorOf(request);
      const { force = false } = request.query as Static<typeof removeQuery>;
      const { waitingRooms } = await fromStore(channels.remove(key, preconditionOf(request), { force }, operator));
      tell(log, request, operator, key);
      return { ...key, waitingRooms };
    },
  };
  addEndpoint(app, answerTimeoutMs, get, put, preview, remove);

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/ops/audit',
    onRequest,
    schema: { querystring: auditQuery, response: { 200: auditListSchema } },
    handler: async (request) => {
      const { subject = null, before = null, limit = DEFAULT_PAGE } = request.query as Static<typeof auditQuery>;
      if (subject !== null) checkText('subject', subject);
      const asOf = now();
      const entries = await fromStore(channels.audit({ subject, before, limit }));
      const shown = entries.filter((entry) => ownsSubject(request, entry.subject));
      return { asOf, entries: shown, before: entries.length === limit ? (entries.at(-1)?.id ?? null) : null };
    },
  });
}

/** Of what was done, a key that is bound to tenants sees what was done to their channels and rooms. */
function ownsSubject(request: FastifyRequest, subject: string): boolean {
  const tenant = /^(?:channel|room):([^/]+)\//.exec(subject)?.[1];
  return tenant === undefined ? identityOf(request).tenants === null : ownsTenant(request, tenant);
}

function keyOf(request: FastifyRequest): ChannelKey {
  const { tenant, channel } = request.params as { tenant: string; channel: string };
  for (const [field, name] of [['tenant', tenant] as const, ['channel', channel] as const]) {
    if (!NAME.test(name)) throw new RoomlineError('field_invalid', { field, rule: NAME.source });
  }
  if (!ownsTenant(request, tenant)) throw new RoomlineError('channel_not_found');
  return { tenant, channel };
}

export function operatorOf(request: FastifyRequest): Operator {
  const { name, tenants } = identityOf(request);
  return { name, requestId: request.id, bound: tenants !== null };
}

function tell(log: Log, request: FastifyRequest, { name }: Operator, key: ChannelKey): void {
  const route = request.routeOptions.url ?? '';
  log.event('operator.acted', {
    key: name,
    method: request.method,
    route,
    channel: channelName(key),
    requestId: request.id,
  });
}

/** `If-Match: "12"` (with or without the marks) or `*`, and `If-None-Match: *`. */
function preconditionOf(request: FastifyRequest): Precondition {
  const { 'if-match': match, 'if-none-match': noneMatch } = request.headers;
  if (noneMatch !== undefined) {
    if (noneMatch === '*' && match === undefined) return { kind: 'absent' };
    throw new RoomlineError('field_invalid', { field: 'if-none-match', rule: '* alone' });
  }
  if (match === undefined) return { kind: 'none' };
  if (match === '*') return { kind: 'exists' };
  const revision = /^("?)(\d{1,15})\1$/.exec(match)?.[2];
  if (revision === undefined)
    throw new RoomlineError('field_invalid', { field: 'if-match', rule: 'one revision, or *' });
  return { kind: 'revision', revision: Number(revision) };
}

/** @throws RoomlineError that repeats nothing of the body: a secret may be anywhere in it */
export function objectIn(request: FastifyRequest, maxDepth = MAX_DEPTH): Readonly<Record<string, unknown>> {
  const settings = parseJson(Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0));
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) {
    throw new RoomlineError('field_type', { field: 'body', rule: 'one JSON object' });
  }
  checkStorable(settings, maxDepth, maxDepth);
  return settings as Readonly<Record<string, unknown>>;
}

function checkStorable(value: unknown, depthLeft: number, maxDepth: number): void {
  if (typeof value === 'string') checkText('body', value);
  if (typeof value !== 'object' || value === null) return;
  if (depthLeft === 0) throw new RoomlineError('body_too_deep', { field: 'body', rule: `at most ${maxDepth} levels` });
  for (const [name, inner] of Object.entries(value)) {
    checkText('body', name);
    checkStorable(inner, depthLeft - 1, maxDepth);
  }
}

function checkText(field: string, text: string): void {
  if (!text.includes('\0') && text.isWellFormed()) return;
  throw new RoomlineError('text_nul_or_surrogate', { field, rule: 'no U+0000 and no unpaired surrogate' });
}

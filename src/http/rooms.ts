/** What a room does and why, its messages, and the channels. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { checkId, DEFAULT_TENANT } from '../engine/message.ts';
import { RoomlineError } from '../errors.ts';
import type { RoomKey } from '../room/room.ts';
import type { HttpDependencies } from './dependencies.ts';
import { addEndpoint } from './endpoint.ts';
import { type Authorize, ownsTenant } from './guard.ts';
import { channelListSchema, messageListSchema, roomSchema } from './schemas.ts';

const MAX_PAGE = 200;
export const DEFAULT_PAGE = 50;

export const tenantQuery = Type.Object(
  { tenant: Type.Optional(Type.String({ description: `Tenant of the channel; "${DEFAULT_TENANT}" by default.` })) },
  { additionalProperties: false },
);

export const limitQuery = Type.Optional(
  Type.Integer({ minimum: 1, maximum: MAX_PAGE, description: `${DEFAULT_PAGE} by default.` }),
);

export const pageQuery = Type.Object(
  {
    ...tenantQuery.properties,
    before: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Page marker.' })),
    limit: limitQuery,
  },
  { additionalProperties: false },
);

export interface RoomRouteOptions {
  readonly authorize: Authorize;
  readonly answerTimeoutMs: number;
}

export function addRoomRoutes(app: FastifyInstance, to: HttpDependencies, options: RoomRouteOptions): void {
  const { authorize, answerTimeoutMs } = options;
  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/rooms/:channel/:room',
    onRequest: authorize('read', 'tenants'),
    schema: { querystring: tenantQuery, response: { 200: roomSchema } },
    handler: async (request) => (await to.findRoom(roomKeyOf(request))) ?? noSuchRoom(),
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/rooms/:channel/:room/messages',
    onRequest: authorize('read', 'tenants'),
    schema: { querystring: pageQuery, response: { 200: messageListSchema } },
    handler: async (request) => {
      const { before = null, limit = DEFAULT_PAGE } = request.query as Static<typeof pageQuery>;
      const messages = (await to.listMessages(roomKeyOf(request), { before, limit })) ?? noSuchRoom();
      const last = messages.at(-1)?.sequence ?? 1;
      return { messages, before: messages.length === limit && last > 1 ? last : null };
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/channels',
    onRequest: authorize('read', 'tenants'),
    schema: { response: { 200: channelListSchema } },
    handler: async (request) => ({ channels: to.channels().filter(({ tenant }) => ownsTenant(request, tenant)) }),
  });
}

export function roomKeyOf(request: FastifyRequest): RoomKey {
  const { channel, room } = request.params as { channel: string; room: string };
  const { tenant = DEFAULT_TENANT } = request.query as Static<typeof tenantQuery>;
  const key = {
    tenant: checkId('tenant', tenant),
    channel: checkId('channel', channel),
    room: checkId('room', room),
  };
  return ownsTenant(request, tenant) ? key : noSuchRoom();
}

export function noSuchRoom(): never {
  throw new RoomlineError('room_not_found');
}

/** What a room does and why, its messages, and the channels. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { PLACE, placeNamed } from '../engine/buffer-entry.ts';
import { checkId, DEFAULT_TENANT } from '../engine/message.ts';
import type { ChannelSelection } from '../engine/ports.ts';
import { RoomlineError } from '../errors.ts';
import type { RoomKey } from '../room/room.ts';
import type { HttpDependencies } from './dependencies.ts';
import { addEndpoint } from './endpoint.ts';
import { type Authorize, identityOf, ownsTenant } from './guard.ts';
import { channelListSchema, messageListSchema, roomMessageSchema, roomSchema } from './schemas.ts';

const MAX_PAGE = 200;
export const DEFAULT_PAGE = 50;

export const tenantQuery = Type.Object(
  { tenant: Type.Optional(Type.String({ description: `Tenant of the channel; "${DEFAULT_TENANT}" by default.` })) },
  { additionalProperties: false },
);

/** Of lists: see `channelsOf`. */
export const selectionQuery = {
  tenant: Type.Optional(
    Type.String({
      description: `Of this tenant only. By default of all that there are for the key; with a channel, "${DEFAULT_TENANT}".`,
    }),
  ),
  channel: Type.Optional(Type.String({ description: 'Of this channel of the tenant only.' })),
};

const roomMessageQuery = Type.Object(
  {
    ...tenantQuery.properties,
    entry: Type.Optional(
      Type.String({ pattern: PLACE, description: 'As the status link of a buffered message has it.' }),
    ),
  },
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
      const asOf = to.now();
      const messages = (await to.listMessages(roomKeyOf(request), { before, limit })) ?? noSuchRoom();
      const last = messages.at(-1)?.sequence ?? 1;
      return { asOf, messages, before: messages.length === limit && last > 1 ? last : null };
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/rooms/:channel/:room/messages/:messageId',
    onRequest: authorize('read', 'tenants'),
    schema: { querystring: roomMessageQuery, response: { 200: roomMessageSchema } },
    handler: async (request) => {
      const { messageId } = request.params as { messageId: string };
      const { entry } = request.query as Static<typeof roomMessageQuery>;
      const place = entry === undefined ? undefined : placeNamed(entry);
      const message = await to.findRoomMessage(roomKeyOf(request), checkId('messageId', messageId), place);
      if (message === null) throw new RoomlineError('message_not_found');
      return message;
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/channels',
    onRequest: authorize('read', 'tenants'),
    schema: { response: { 200: channelListSchema } },
    handler: async (request) => ({
      asOf: to.now(),
      channels: to.channels().filter(({ tenant }) => ownsTenant(request, tenant)),
    }),
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

/** What a list is asked for; where nothing of that is there for whoever asks, a selection of nothing. */
export function channelsOf(
  request: FastifyRequest,
  { tenant, channel }: { readonly tenant?: string | undefined; readonly channel?: string | undefined },
): ChannelSelection {
  if (tenant === undefined && channel === undefined) return { channel: null, tenants: identityOf(request).tenants };
  const owner = checkId('tenant', tenant ?? DEFAULT_TENANT);
  const only = channel === undefined ? null : { tenant: owner, channel: checkId('channel', channel) };
  return ownsTenant(request, owner) ? { channel: only, tenants: [owner] } : { channel: null, tenants: [] };
}

export function noSuchRoom(): never {
  throw new RoomlineError('room_not_found');
}

/** Where messages are: how many in each stage, which rooms linger, what happened in a room, and charts. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { checkId, DEFAULT_TENANT } from '../engine/message.ts';
import type { LingeringRoom } from '../engine/pipeline-ports.ts';
import { RoomlineError } from '../errors.ts';
import { PHASES, type Phase } from '../room/room.ts';
import { addEndpoint } from './endpoint.ts';
import { fromStore } from './from-store.ts';
import { type Authorize, identityOf, ownsTenant } from './guard.ts';
import type { PipelineAnswers, RecipientMark } from './pipeline-answers.ts';
import {
  chartSchema,
  type LingeringView,
  lingeringSchema,
  pipelineSchema,
  timelineSchema,
} from './pipeline-schemas.ts';
import { channelsOf, DEFAULT_PAGE, limitQuery, noSuchRoom, roomKeyOf, selectionQuery, tenantQuery } from './rooms.ts';

const MINUTE_S = 60;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const MAX_POINTS = 1_500;
const MAX_TIME = Date.UTC(3_000, 0);
/** One of them holds the name of a channel. */
const MAX_CURSOR = 300;
/** Those that a room with something waiting can be in. */
const LISTED = PHASES.filter((phase) => phase !== 'idle');

const time = (description: string) => Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_TIME, description }));

export const lingeringQuery = Type.Object(
  {
    ...selectionQuery,
    phase: Type.Optional(
      Type.Unsafe<Phase>({ type: 'string', enum: LISTED, description: 'In this phase only; all by default.' }),
    ),
    olderThan: Type.Optional(
      Type.Integer({ minimum: 0, maximum: MAX_TIME / 1_000, description: 'In their phase for so many seconds.' }),
    ),
    recipient: Type.Optional(
      Type.String({
        description:
          'Instead: rooms that messages to it were in, and those that have its name, whatever they do; of one tenant, "default" by default. 1 to 256 bytes of UTF-8; not with `phase` or `olderThan`.',
      }),
    ),
    cursor: Type.Optional(Type.String({ maxLength: MAX_CURSOR, description: 'Page marker.' })),
    limit: limitQuery,
  },
  { additionalProperties: false },
);

export const timelineQuery = Type.Object(
  {
    ...tenantQuery.properties,
    order: Type.Optional(
      Type.Unsafe<'newest' | 'oldest'>({
        type: 'string',
        enum: ['newest', 'oldest'],
        description: 'Which come first; newest by default.',
      }),
    ),
    cursor: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Page marker.' })),
    limit: limitQuery,
  },
  { additionalProperties: false },
);

export const chartQuery = Type.Object(
  {
    ...selectionQuery,
    from: time('ms since 1970; an hour before the end by default.'),
    to: time('ms since 1970; now by default.'),
    step: Type.Optional(
      Type.Integer({
        minimum: MINUTE_S,
        maximum: 31 * 86_400,
        multipleOf: MINUTE_S,
        description: `Seconds of each point, whole minutes; ${MINUTE_S} by default. At most ${MAX_POINTS} points.`,
      }),
    ),
  },
  { additionalProperties: false },
);

export interface PipelineRouteOptions {
  readonly authorize: Authorize;
  readonly answerTimeoutMs: number;
}

export function addPipelineRoutes(
  app: FastifyInstance,
  pipeline: PipelineAnswers,
  { authorize, answerTimeoutMs }: PipelineRouteOptions,
): void {
  const onRequest = authorize('read', 'tenants');
  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/pipeline',
    onRequest,
    schema: { querystring: Type.Object({}, { additionalProperties: false }), response: { 200: pipelineSchema } },
    handler: async (request) => {
      const bound = identityOf(request).tenants !== null;
      return fromStore(pipeline.pipeline(bound ? ({ tenant }) => ownsTenant(request, tenant) : null));
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/rooms',
    onRequest,
    schema: { querystring: lingeringQuery, response: { 200: lingeringSchema } },
    handler: async (request) => {
      const query = request.query as Static<typeof lingeringQuery>;
      const { phase, olderThan = 0, cursor, limit = DEFAULT_PAGE } = query;
      if (query.recipient !== undefined) return roomsOfRecipient(request, pipeline, query);
      const selected = channelsOf(request, query);
      const after = cursor === undefined ? null : readCursor(cursor);
      const wanted = phase === undefined ? LISTED : [phase];
      const first = after === null ? 0 : wanted.indexOf(after.phase);
      if (first < 0) throw badCursor();
      const before = pipeline.now() - olderThan * 1_000;
      const { last, ...answer } = await fromStore(
        pipeline.lingering({ ...selected, phases: wanted.slice(first), before, after, limit }),
      );
      return { ...answer, cursor: last === null ? null : writeCursor(last) };
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/rooms/:channel/:room/timeline',
    onRequest,
    schema: { querystring: timelineQuery, response: { 200: timelineSchema } },
    handler: async (request) => {
      const {
        order = 'newest',
        cursor: after = null,
        limit = DEFAULT_PAGE,
      } = request.query as Static<typeof timelineQuery>;
      const timeline = await fromStore(pipeline.timeline(roomKeyOf(request), { order, after, limit }));
      return timeline ?? noSuchRoom();
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/charts',
    onRequest,
    schema: { querystring: chartQuery, response: { 200: chartSchema } },
    handler: async (request) => {
      const query = request.query as Static<typeof chartQuery>;
      const { to = pipeline.now(), step = MINUTE_S } = query;
      const { from = to - HOUR_MS } = query;
      const stepMs = step * 1_000;
      const begin = Math.max(0, Math.floor(from / MINUTE_MS) * MINUTE_MS);
      if (to <= from) throw new RoomlineError('field_invalid', { field: 'from', rule: 'before "to"' });
      if ((to - begin) / stepMs > MAX_POINTS) {
        throw new RoomlineError('field_invalid', {
          field: 'step',
          rule: `at most ${MAX_POINTS} steps from from to to`,
        });
      }
      return fromStore(pipeline.chart({ ...channelsOf(request, query), from: begin, to, stepMs }));
    },
  });
}

async function roomsOfRecipient(
  request: FastifyRequest,
  pipeline: PipelineAnswers,
  query: Static<typeof lingeringQuery>,
): Promise<LingeringView> {
  for (const field of ['phase', 'olderThan'] as const) {
    if (query[field] !== undefined) throw new RoomlineError('field_invalid', { field, rule: 'not with "recipient"' });
  }
  const { cursor, limit = DEFAULT_PAGE } = query;
  const recipient = checkId('recipient', query.recipient);
  const tenant = checkId('tenant', query.tenant ?? DEFAULT_TENANT);
  const channel = query.channel === undefined ? null : checkId('channel', query.channel);
  const after = cursor === undefined ? null : readRecipientCursor(cursor);
  if (!ownsTenant(request, tenant)) return { asOf: pipeline.now(), rooms: [], unlisted: 0, cursor: null };
  const { last, ...answer } = await fromStore(pipeline.ofRecipient({ tenant, channel, recipient, after, limit }));
  return { ...answer, cursor: last === null ? null : `${last.id}.${last.channel}` };
}

function writeCursor({ phase, since, id }: LingeringRoom): string {
  return `${phase}.${since}.${id}`;
}

function readCursor(cursor: string): { readonly phase: Phase; readonly since: number; readonly id: number } {
  const [, phase = '', since = '', id = ''] = /^([a-z_]{1,20})\.(\d{1,15})\.(\d{1,15})$/.exec(cursor) ?? [];
  const known = LISTED.find((each) => each === phase);
  if (known === undefined) throw badCursor();
  return { phase: known, since: Number(since), id: Number(id) };
}

function readRecipientCursor(cursor: string): RecipientMark {
  const [, id, channel] = /^(\d{1,15})\.(.+)$/su.exec(cursor) ?? [];
  if (channel === undefined) throw badCursor();
  return { channel, id: Number(id) };
}

function badCursor(): RoomlineError {
  return new RoomlineError('field_invalid', { field: 'cursor', rule: 'as the page before gave it' });
}

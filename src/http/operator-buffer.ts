/** The buffer as an operator sees it, and the entries that were put aside. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import type { Buffer } from '../engine/buffer.ts';
import { depthOf } from '../engine/buffer.ts';
import { BEGINNING, type BufferStreams, entryTime } from '../engine/buffer-ports.ts';
import type { AuditStore } from '../engine/operator-ports.ts';
import { RoomlineError } from '../errors.ts';
import type { Log } from '../telemetry.ts';
import { bufferSchema, buriedListSchema, ENTRY_ID, endedSchema, MAX_BURIED_IDS as MAX_IDS } from './buffer-schemas.ts';
import { addEndpoint, type Endpoint } from './endpoint.ts';
import { fromStore } from './from-store.ts';
import { type Guard, identityOf } from './guard.ts';
import { objectIn } from './operator-channels.ts';

/** What operators need of the buffer; absent where there is none. */
export interface BufferDesk {
  readonly buffer: Pick<Buffer, 'partitions'>;
  readonly streams: Pick<BufferStreams, 'depths' | 'listBuried' | 'replayBuried' | 'discardBuried'>;
  readonly audit: Pick<AuditStore, 'record'>;
}

const MAX_BODY_BYTES = 262_144;
const DEFAULT_PAGE = 100;

const partitionParams = Type.Object({ partition: Type.Integer({ minimum: 0, maximum: 255 }) });
const noQuery = Type.Object({}, { additionalProperties: false });
const pageQuery = Type.Object(
  {
    after: Type.Optional(Type.String({ pattern: ENTRY_ID, description: 'Page marker.' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_IDS, description: `${DEFAULT_PAGE} by default.` })),
  },
  { additionalProperties: false },
);

export interface OperatorBufferOptions {
  readonly authorizeOperator: Guard;
  readonly now: () => number;
  readonly answerTimeoutMs: number;
  readonly log: Log;
}

export function addOperatorBufferRoutes(
  app: FastifyInstance,
  { buffer, streams, audit }: BufferDesk,
  { authorizeOperator: onRequest, now, answerTimeoutMs, log }: OperatorBufferOptions,
): void {
  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/ops/buffer',
    onRequest,
    schema: { querystring: noQuery, response: { 200: bufferSchema } },
    handler: async () => {
      const asOf = now();
      const depths = await fromStreams(streams.depths(buffer.partitions));
      const partitions = depths.map(({ partition, length, oldest, buried }) => ({
        partition,
        messages: length,
        oldestAt: oldest === null ? null : entryTime(oldest),
        buried,
      }));
      const { messages, oldestAt, buried } = depthOf(depths);
      return { asOf, messages, oldestAt, buried, partitions };
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/ops/buffer/:partition/dead-letters',
    onRequest,
    schema: { params: partitionParams, querystring: pageQuery, response: { 200: buriedListSchema } },
    handler: async (request) => {
      const { after = BEGINNING, limit = DEFAULT_PAGE } = request.query as Static<typeof pageQuery>;
      const asOf = now();
      const found = await fromStreams(streams.listBuried(partitionOf(request, buffer), after, limit));
      const letters = found.map((letter) => ({ ...letter, at: entryTime(letter.id) }));
      return { asOf, letters, after: letters.length === limit ? (letters.at(-1)?.id ?? null) : null };
    },
  });

  const ending = (action: 'replay' | 'discard'): Endpoint => ({
    method: 'POST',
    url: `/v1/ops/buffer/:partition/dead-letters/${action}`,
    onRequest,
    bodyLimit: MAX_BODY_BYTES,
    schema: { params: partitionParams, querystring: noQuery, response: { 200: endedSchema } },
    handler: async (request) => {
      const partition = partitionOf(request, buffer);
      const ids = idsIn(request);
      const { name: actor } = identityOf(request);
      const subject = `buffer:${partition}`;
      const act = { actor, action: `buffer.${action}`, subject, detail: { ids }, requestId: request.id };
      await fromStore(audit.record(act));
      const end = action === 'replay' ? streams.replayBuried : streams.discardBuried;
      const count = await fromStreams(end.call(streams, partition, ids));
      const route = request.routeOptions.url ?? '';
      log.event('operator.acted', { key: actor, method: request.method, route, requestId: request.id });
      return { count };
    },
  });
  addEndpoint(app, answerTimeoutMs, ending('replay'), ending('discard'));
}

function partitionOf(request: FastifyRequest, { partitions }: Pick<Buffer, 'partitions'>): number {
  const { partition } = request.params as Static<typeof partitionParams>;
  if (partition < partitions) return partition;
  throw new RoomlineError('field_invalid', { field: 'partition', rule: `0 to ${partitions - 1}` });
}

function idsIn(request: FastifyRequest): readonly string[] {
  const { ids, ...others } = objectIn(request);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new RoomlineError('field_unknown', { field: 'body', rule: 'ids' });
  if (ids === undefined) throw new RoomlineError('field_missing', { field: 'ids', rule: 'required' });
  const pattern = new RegExp(ENTRY_ID);
  const isId = (id: unknown): id is string => typeof id === 'string' && pattern.test(id);
  if (Array.isArray(ids) && ids.length > 0 && ids.length <= MAX_IDS && ids.every(isId)) return ids;
  throw new RoomlineError('field_invalid', { field: 'ids', rule: `1 to ${MAX_IDS} ids of dead letters` });
}

async function fromStreams<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw new RoomlineError('not_ready', { detail: 'Redis is away', cause });
  }
}

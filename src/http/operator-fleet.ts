/** Workers and shards as an operator sees and changes them. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import type { FleetWishes, ShardRange } from '../engine/fleet-change.ts';
import type { Actor, FleetOperations, Rebalanced } from '../engine/fleet-operations.ts';
import { RoomlineError } from '../errors.ts';
import type { Log } from '../telemetry.ts';
import { addEndpoint, type Endpoint } from './endpoint.ts';
import {
  drainSchema,
  progressSchema,
  type RebalancedView,
  rebalancedSchema,
  shardListSchema,
  workerListSchema,
} from './fleet-schemas.ts';
import { fromStore } from './from-store.ts';
import type { Guard } from './guard.ts';
import { objectIn, operatorOf } from './operator-channels.ts';

const MAX_BODY_BYTES = 262_144;
const MAX_NAME_BYTES = 256;
const MAX_MOVES = 1_000;
const MAX_PAGE = 4_096;
const DEFAULT_PAGE = 200;

const noQuery = Type.Object({}, { additionalProperties: false });
const shardQuery = Type.Object(
  {
    worker: Type.Optional(Type.String({ description: 'Id or node name: shards that it has or is to get.' })),
    moving: Type.Optional(Type.Boolean({ description: 'true: only shards that are to be handed over.' })),
    after: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535, description: 'Page marker.' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE, description: `${DEFAULT_PAGE} by default.` })),
  },
  { additionalProperties: false },
);
const drainQuery = Type.Object(
  { force: Type.Optional(Type.Boolean({ description: 'Also where no worker with a weight is left.' })) },
  { additionalProperties: false },
);

export interface OperatorFleetOptions {
  readonly authorizeOperator: Guard;
  readonly now: () => number;
  readonly answerTimeoutMs: number;
  readonly log: Log;
}

export function addOperatorFleetRoutes(
  app: FastifyInstance,
  fleet: FleetOperations,
  { authorizeOperator: onRequest, now, answerTimeoutMs, log }: OperatorFleetOptions,
): void {
  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/ops/workers',
    onRequest,
    schema: { querystring: noQuery, response: { 200: workerListSchema } },
    handler: async (_request, reply) => {
      const asOf = now();
      const list = await fromStore(fleet.workers());
      reply.header('etag', `"${list.membership}"`);
      return { asOf, ...list, weights: [...list.weights].map(([name, weight]) => ({ name, weight })) };
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/ops/shards',
    onRequest,
    schema: { querystring: shardQuery, response: { 200: shardListSchema } },
    handler: async (request) => {
      const query = request.query as Static<typeof shardQuery>;
      const { worker = null, moving = false, after = null, limit = DEFAULT_PAGE } = query;
      const asOf = now();
      const found = await fromStore(fleet.shards({ worker, movingOnly: moving, after, limit }));
      const shards = found.map(({ owner, ownerName, heir, heirName, ...shard }) => {
        return { ...shard, owner: named(owner, ownerName), heir: named(heir, heirName) };
      });
      return { asOf, shards, after: shards.length === limit ? (shards.at(-1)?.shard ?? null) : null };
    },
  });

  const drain = (method: 'POST' | 'DELETE', draining: boolean): Endpoint => ({
    method,
    url: '/v1/ops/workers/:worker/drain',
    onRequest,
    schema: { querystring: draining ? drainQuery : noQuery, response: { 200: drainSchema } },
    handler: async (request) => {
      const { worker } = request.params as { worker: string };
      const { force = false } = request.query as Static<typeof drainQuery>;
      const by = actorOf(request);
      const drained = await fromStore(fleet.drain(worker, draining, force, by), 'the audit says it');
      tell(log, request, by);
      return drained;
    },
  });
  addEndpoint(app, answerTimeoutMs, drain('POST', true), drain('DELETE', false));

  addEndpoint(app, answerTimeoutMs, {
    method: 'POST',
    url: '/v1/ops/shards/rebalance',
    onRequest,
    bodyLimit: MAX_BODY_BYTES,
    schema: { querystring: noQuery, response: { 200: rebalancedSchema } },
    handler: async (request) => {
      const { wishes, dryRun, force, ifMembership } = rebalanceIn(request);
      if (dryRun) return viewOf(await fromStore(fleet.preview(wishes, ifMembership, force)), true);
      const by = actorOf(request);
      const rebalanced = await fromStore(fleet.rebalance(wishes, ifMembership, force, by), 'the audit says it');
      tell(log, request, by);
      return viewOf(rebalanced, false);
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/ops/rebalance',
    onRequest,
    schema: { querystring: noQuery, response: { 200: progressSchema } },
    handler: async () => {
      const asOf = now();
      const progress = await fromStore(fleet.progress());
      return { asOf, ...progress, running: !progress.planned || progress.promised > 0 };
    },
  });
}

function actorOf(request: FastifyRequest): Actor {
  const { name, requestId } = operatorOf(request);
  return { actor: name, requestId };
}

function tell(log: Log, request: FastifyRequest, { actor }: Actor): void {
  log.event('operator.acted', {
    key: actor,
    method: request.method,
    route: request.routeOptions.url ?? '',
    requestId: request.id,
  });
}

function named(worker: string | null, name: string | null): { worker: string; name: string | null } | null {
  return worker === null ? null : { worker, name };
}

function viewOf({ membership, moves, workers, warnings }: Rebalanced, dryRun: boolean): RebalancedView {
  const names = new Map(workers.map(({ worker, name }) => [worker, name]));
  const of = (worker: string | null) => named(worker, names.get(worker ?? '') ?? null);
  return {
    dryRun,
    membership,
    moved: moves.length,
    moves: moves.slice(0, MAX_MOVES).map(({ shard, from, to }) => ({ shard, from: of(from), to: of(to) })),
    workers: [...workers],
    warnings: [...warnings],
  };
}

// -------------------------------------------------------------------------------------------------- the body

interface RebalanceRequest {
  readonly wishes: FleetWishes;
  readonly dryRun: boolean;
  readonly force: boolean;
  readonly ifMembership: number | null;
}

type Members = Readonly<Record<string, unknown>>;

/** What stands in the body; whether there are such shards and workers is for whoever knows the fleet. */
function rebalanceIn(request: FastifyRequest): RebalanceRequest {
  const body = objectIn(request);
  checkMembers('', body, ['dryRun', 'force', 'ifMembership', 'weights', 'pins', 'moves']);
  const { dryRun, force, ifMembership, weights = {}, pins, moves } = body;
  return {
    dryRun: flagIn('dryRun', dryRun),
    force: flagIn('force', force),
    ifMembership: membershipIn(request, ifMembership),
    wishes: {
      weights: new Map(
        Object.entries(membersIn('weights', weights)).map(([name, weight]) => {
          checkName('weights', name);
          return [name, numberOrNullIn(`weights.${name}`, weight)];
        }),
      ),
      pins: listIn('pins', pins).map((pin, index) => {
        const field = `pins[${index}]`;
        checkMembers(field, pin, ['shard', 'first', 'last', 'name']);
        return { shards: rangeIn(field, pin), name: pin.name === null ? null : nameIn(`${field}.name`, pin.name) };
      }),
      moves: listIn('moves', moves).map((move, index) => {
        const field = `moves[${index}]`;
        checkMembers(field, move, ['shard', 'first', 'last', 'worker']);
        return { shards: rangeIn(field, move), worker: nameIn(`${field}.worker`, move.worker) };
      }),
    },
  };
}

/** `If-Match: "12"` says the same as `ifMembership`; where both are there, they must. */
function membershipIn(request: FastifyRequest, inBody: unknown): number | null {
  const match = request.headers['if-match'];
  const inHeader = match === undefined ? undefined : /^("?)(\d{1,15})\1$/.exec(match)?.[2];
  if (match !== undefined && inHeader === undefined) {
    throw new RoomlineError('field_invalid', { field: 'if-match', rule: 'one membership' });
  }
  if (inBody === undefined) return inHeader === undefined ? null : Number(inHeader);
  if (typeof inBody !== 'number') throw new RoomlineError('field_type', { field: 'ifMembership', rule: 'a number' });
  const isSafe = Number.isSafeInteger(inBody) && inBody >= 0;
  if (!isSafe || (inHeader !== undefined && Number(inHeader) !== inBody)) {
    throw new RoomlineError('field_invalid', { field: 'ifMembership', rule: 'a membership, the same as in If-Match' });
  }
  return inBody;
}

function checkMembers(field: string, value: Members, known: readonly string[]): void {
  const unknown = Object.keys(value).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new RoomlineError('field_unknown', { field: field === '' ? 'body' : field, rule: known.join(', ') });
}

function membersIn(field: string, value: unknown): Members {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Members;
  throw new RoomlineError('field_type', { field, rule: 'an object' });
}

function listIn(field: string, value: unknown = []): readonly Members[] {
  if (!Array.isArray(value)) throw new RoomlineError('field_type', { field, rule: 'an array' });
  return value.map((each, index) => membersIn(`${field}[${index}]`, each));
}

function flagIn(field: string, value: unknown = false): boolean {
  if (typeof value === 'boolean') return value;
  throw new RoomlineError('field_type', { field, rule: 'true or false' });
}

function numberOrNullIn(field: string, value: unknown): number | null {
  if (typeof value === 'number' || value === null) return value;
  throw new RoomlineError('field_type', { field, rule: 'a number, or null' });
}

/** One shard, or all from the first to the last. */
function rangeIn(field: string, { shard, first = shard, last = shard }: Members): ShardRange {
  if (shard !== undefined && (first !== shard || last !== shard)) {
    throw new RoomlineError('field_invalid', { field, rule: 'either shard, or first and last' });
  }
  for (const each of [first, last]) {
    if (each === undefined) throw new RoomlineError('field_missing', { field, rule: 'shard, or first and last' });
    if (typeof each !== 'number') throw new RoomlineError('field_type', { field, rule: 'numbers of shards' });
  }
  return { first: first as number, last: last as number };
}

function nameIn(field: string, value: unknown): string {
  if (value === undefined) throw new RoomlineError('field_missing', { field });
  if (typeof value !== 'string') throw new RoomlineError('field_type', { field, rule: 'a text' });
  checkName(field, value);
  return value;
}

function checkName(field: string, name: string): void {
  if (name === '') throw new RoomlineError('field_invalid', { field, rule: 'not empty' });
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) {
    throw new RoomlineError('id_too_long', { field, rule: `at most ${MAX_NAME_BYTES} bytes` });
  }
}

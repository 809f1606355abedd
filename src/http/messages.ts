/** Publishing messages, one or many at once, and asking what became of one. */
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { nameOfPlace } from '../engine/buffer-entry.ts';
import type { Buffered } from '../engine/buffer-publishing.ts';
import type { Refused } from '../engine/intake.ts';
import {
  checkMessage,
  DEFAULT_TENANT,
  type FindChannel,
  MESSAGE_LIMITS,
  type MessageLimits,
  type NewMessageDraft,
  parseMessage,
  readBatch,
  stampWith,
} from '../engine/message.ts';
import type { IntakeResult } from '../engine/ports.ts';
import { type ErrorCode, type Problem, RoomlineError, toProblem } from '../errors.ts';
import type { RoomKey } from '../room/room.ts';
import type { HttpDependencies } from './dependencies.ts';
import { addEndpoint } from './endpoint.ts';
import { type Authorize, BodyBudget, type Guard, identityOf, ownsTenant } from './guard.ts';
import type { KeyBudgets } from './limits.ts';
import { acceptedSchema, batchAcceptedSchema, messageSchema } from './schemas.ts';

export interface MessageRouteOptions {
  readonly authorize: Authorize;
  readonly budgets: KeyBudgets;
  readonly bodyLimitBytes: number;
  readonly batchBodyLimitBytes: number;
  readonly answerTimeoutMs: number;
}

/** Largest bodies of batches that may be read and worked on at once; further ones are refused with 503. */
const BATCHES_AT_ONCE = 8;
/** Messages of a batch that are checked before other work of the process has its turn. */
const CHECKED_PER_TURN = 250;

export function addMessageRoutes(app: FastifyInstance, to: HttpDependencies, options: MessageRouteOptions): void {
  const { authorize, budgets, bodyLimitBytes, batchBodyLimitBytes, answerTimeoutMs } = options;
  const findChannelFor =
    (request: FastifyRequest): FindChannel =>
    (tenant, channel) =>
      ownsTenant(request, tenant) ? to.findChannel(tenant, channel) : null;
  const spend = (request: FastifyRequest, reply: FastifyReply, messages: number) =>
    budgets.spend(identityOf(request).name, 'messages', messages, reply);
  const limits = { ...MESSAGE_LIMITS, maxBytes: Math.min(bodyLimitBytes, MESSAGE_LIMITS.maxBytes) };
  const turns = new Turns();
  addEndpoint(app, answerTimeoutMs, {
    method: 'POST',
    url: '/v1/messages',
    bodyLimit: bodyLimitBytes,
    onRequest: [authorize('publish', 'tenants'), onlyIdentityEncoding],
    schema: { response: { 202: acceptedSchema } },
    handler: async (request, reply) => {
      demandNoQuery(request);
      await turns.before(request.raw.socket);
      const idempotencyKey = idempotencyKeyOf(request);
      const parsed = parseMessage(bytesOf(request), limits, findChannelFor(request));
      const draft = 'error' in parsed ? parsed.error : identified(stampWith(request.id)(parsed.ok), idempotencyKey);
      if (draft instanceof RoomlineError) {
        to.metrics.intakeRefused.inc({ source: 'http', code: draft.code });
        throw draft;
      }
      const spent = spend(request, reply, 1);
      if (spent !== undefined) await spent;
      const result = await to.publish(draft);
      if (result.kind === 'conflict' || result.kind === 'order_conflict') {
        const error = conflictWith(result);
        to.metrics.intakeRefused.inc({ source: 'http', code: error.code });
        throw error;
      }
      const answer = acceptedAnswer(draft, result);
      reply.code(202).header('location', answer.status);
      return answer;
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'POST',
    // A colon that begins no parameter is written twice.
    url: '/v1/messages::batch',
    bodyLimit: batchBodyLimitBytes,
    onRequest: [
      authorize('publish', 'tenants'),
      onlyIdentityEncoding,
      new BodyBudget(BATCHES_AT_ONCE * batchBodyLimitBytes, batchBodyLimitBytes).guard,
    ],
    schema: { response: { 202: batchAcceptedSchema } },
    // A socket takes large texts much slower than the bytes that they are.
    onSend: async (_request, _reply, payload) => (typeof payload === 'string' ? Buffer.from(payload) : payload),
    handler: async (request, reply) => {
      demandNoQuery(request);
      // Whatever comes later on this connection is numbered later.
      const { items, publishing } = await turns.take(request.raw.socket, async () => {
        const checked = await checkBatch(request, limits, findChannelFor(request));
        await spend(request, reply, checked.length);
        return { items: checked, publishing: publishValid(checked, to) };
      });
      const results = await publishing;
      // What was stored frees the way for the next append, which is to leave before a long answer is made.
      await nextTurn();
      const answer = answerBatch(items, results, request, to);
      reply.code(202);
      return answer;
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/messages/:id',
    onRequest: authorize('read', 'tenants'),
    schema: { response: { 200: messageSchema } },
    handler: async (request) => {
      const { id } = request.params as { id: string };
      const message = await to.findMessage(id);
      if (message === null || !ownsTenant(request, message.tenant)) throw new RoomlineError('message_not_found');
      return message;
    },
  });
}

/** Compressed bodies are not unpacked: their size would not be bounded by what was read. */
const onlyIdentityEncoding: Guard = async (request) => {
  const encoding = request.headers['content-encoding'];
  if (encoding === undefined || encoding === 'identity') return;
  throw new RoomlineError('unsupported_media_type', { field: 'content-encoding', rule: 'none' });
};

const MAX_IDEMPOTENCY_KEY = 250;

/** Null where the caller sent none. */
function idempotencyKeyOf({ headers }: FastifyRequest): string | null {
  const key = headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && key.length <= MAX_IDEMPOTENCY_KEY && /^[\x21-\x7e]+$/.test(key)) return key;
  const rule = `1 to ${MAX_IDEMPOTENCY_KEY} visible ASCII characters`;
  throw new RoomlineError('field_invalid', { field: 'idempotency-key', rule });
}

/** A message's own id decides; the idempotency key stands for one that has none. */
function identified(draft: NewMessageDraft, idempotencyKey: string | null): BatchItem {
  if (draft.messageId !== null || idempotencyKey === null) return draft;
  if (draft.supersedes === idempotencyKey) {
    return new RoomlineError('field_invalid', {
      field: 'supersedes',
      rule: 'the messageId of another, earlier message',
    });
  }
  return { ...draft, messageId: idempotencyKey };
}

function bytesOf({ body }: FastifyRequest): Buffer {
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0);
}

/** Refusals that are of this moment, and of no message. */
const COME_AGAIN: readonly ErrorCode[] = ['overloaded', 'not_ready', 'buffer_unsafe'];

type BatchItem = NewMessageDraft | RoomlineError;
type BatchResult = { readonly index: number } & (ReturnType<typeof acceptedAnswer> | { readonly error: Problem });

async function checkBatch(
  request: FastifyRequest,
  limits: MessageLimits,
  findChannel: FindChannel,
): Promise<readonly BatchItem[]> {
  const key = idempotencyKeyOf(request);
  const stamp = stampWith(request.id);
  const items: BatchItem[] = [];
  for (const [index, message] of readBatch(bytesOf(request)).entries()) {
    if (index > 0 && index % CHECKED_PER_TURN === 0) await nextTurn();
    const parsed = checkMessage(message, limits, findChannel);
    items.push('error' in parsed ? parsed.error : identified(stamp(parsed.ok), key && `${key}:${index}`));
  }
  return items;
}

async function publishValid(
  items: readonly BatchItem[],
  to: HttpDependencies,
): Promise<readonly (IntakeResult | Buffered | Refused)[]> {
  const drafts = items.filter((item): item is NewMessageDraft => !(item instanceof RoomlineError));
  return drafts.length === 0 ? [] : to.publishAll(drafts);
}

/** @param results of the items that are no errors, in their order */
function answerBatch(
  items: readonly BatchItem[],
  results: readonly (IntakeResult | Buffered | Refused)[],
  { id: requestId }: FastifyRequest,
  to: HttpDependencies,
): { accepted: number; refused: number; results: BatchResult[] } {
  const refused = new Map<ErrorCode, number>();
  const of = results.values();
  const refuse = (index: number, error: unknown): BatchResult => {
    const problem = toProblem(error, requestId);
    refused.set(problem.code, (refused.get(problem.code) ?? 0) + 1);
    return { index, error: problem };
  };
  const answers = items.map((item, index): BatchResult => {
    if (item instanceof RoomlineError) return refuse(index, item);
    const result = of.next().value;
    if (result === undefined) throw new Error('a batch was answered for fewer messages than it has');
    if (result.kind === 'refused') return refuse(index, result.error);
    if (result.kind === 'conflict' || result.kind === 'order_conflict') return refuse(index, conflictWith(result));
    return { index, ...acceptedAnswer(item, result) };
  });
  let count = 0;
  for (const [code, times] of refused) {
    count += times;
    to.metrics.intakeRefused.inc({ source: 'http', code }, times);
    to.log.event('http.items_refused', { requestId, code, count: times });
  }
  const [first] = results;
  // Nothing was accepted, and all of it may come again: whoever reads no items learns so, too.
  const mayComeAgain = COME_AGAIN.reduce((sum, code) => sum + (refused.get(code) ?? 0), 0);
  if (first?.kind === 'refused' && mayComeAgain === items.length) throw first.error;
  return { accepted: answers.length - count, refused: count, results: answers };
}

type Taken = Extract<IntakeResult | Buffered, { kind: 'accepted' | 'parked' | 'buffered' }>;

function acceptedAnswer(draft: NewMessageDraft, result: Taken) {
  const { room } = draft.key;
  if (result.kind === 'buffered') {
    const status = statusByMessageId(draft.key, result.messageId, nameOfPlace(result));
    return { id: null, room, sequence: null, duplicate: null, status, mode: 'buffered' as const };
  }
  const mode = 'direct' as const;
  if (result.kind === 'parked') {
    const { order, waitsFor, duplicate } = result;
    const status = statusByMessageId(draft.key, result.messageId);
    return { id: null, room, sequence: null, duplicate, status, mode, parked: { order, waitsFor } };
  }
  const { reference: id, sequence, duplicate, late } = result;
  return { id, room, sequence, duplicate, status: `/v1/messages/${id}`, mode, ...(late === undefined ? {} : { late }) };
}

/** Where to ask for a message that has no sequence yet. @param entry where it is in the buffer */
function statusByMessageId({ tenant, channel, room }: RoomKey, messageId: string, entry?: string): string {
  const path = [channel, room, 'messages', messageId].map(encodeURIComponent).join('/');
  const query = [
    ...(tenant === DEFAULT_TENANT ? [] : [`tenant=${encodeURIComponent(tenant)}`]),
    ...(entry === undefined ? [] : [`entry=${entry}`]),
  ];
  return `/v1/rooms/${path}${query.length === 0 ? '' : `?${query.join('&')}`}`;
}

function conflictWith(result: Extract<IntakeResult, { kind: 'conflict' | 'order_conflict' }>): RoomlineError {
  if (result.kind === 'order_conflict') {
    const detail = `Another message of the room has the number ${result.order}, or had it`;
    return new RoomlineError('order_conflict', { field: 'order', rule: 'unique in its room', detail });
  }
  const { reference, sequence } = result;
  const detail =
    sequence === null
      ? 'The message id belongs to another message of its room, which has no number yet'
      : `The message id belongs to ${reference}, number ${sequence} of its room`;
  return new RoomlineError('message_id_conflict', { field: 'messageId', rule: 'unique in its room', detail });
}

/** Keeps the order of requests that one connection brings while another of its requests is being worked on. */
class Turns {
  readonly #last = new WeakMap<Socket, Promise<void>>();

  /** Resolves when all that took their turn before have ended it. */
  async before(socket: Socket): Promise<void> {
    await this.#last.get(socket);
  }

  async take<T>(socket: Socket, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(socket);
    const working = before === undefined ? work() : before.then(work);
    this.#last.set(
      socket,
      working.then(
        () => undefined,
        () => undefined,
      ),
    );
    return working;
  }
}

/** By hand: a schema for what is hardly ever there would cost every publish. */
function demandNoQuery({ raw, query }: FastifyRequest): void {
  if (raw.url?.includes('?') !== true) return;
  const [name] = Object.keys(query as object);
  if (name !== undefined) throw new RoomlineError('field_unknown', { field: 'query', rule: `no "${name}"` });
}

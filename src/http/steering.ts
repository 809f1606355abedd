/** Operators' orders about rooms and messages; dead letters; failures by what they have in common. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import {
  type DeadLetters,
  type LetterSelection,
  type LetterWishes,
  MAX_LETTERS,
  type Replay,
} from '../engine/dead-letters.ts';
import type { Actor } from '../engine/fleet-operations.ts';
import { checkId, splitBody } from '../engine/message.ts';
import {
  type FailureStore,
  LETTER_STATES,
  type LetterFilter,
  type LetterPayload,
  type LetterPlace,
  type StoredLetter,
} from '../engine/operator-ports.ts';
import type { ChannelSelection, Clock, HistoryStore, RoomStore } from '../engine/ports.ts';
import type { References } from '../engine/reference.ts';
import { MESSAGE_ORDERS, type OrderWishes, ROOM_ORDERS, type Steering } from '../engine/steering.ts';
import { RoomlineError, toProblem } from '../errors.ts';
import type { RoomAddress, RoomKey } from '../room/room.ts';
import { shardOf } from '../room/shard.ts';
import type { HttpDependencies } from './dependencies.ts';
import { addEndpoint } from './endpoint.ts';
import { fromStore } from './from-store.ts';
import { type Authorize, identityOf, ownsTenant } from './guard.ts';
import { objectIn, operatorOf } from './operator-channels.ts';
import { channelsOf, roomKeyOf, selectionQuery, tenantQuery } from './rooms.ts';
import {
  discardSchema,
  FINGERPRINT,
  failureListSchema,
  gapSkippedSchema,
  type LetterView,
  letterDetailSchema,
  letterListSchema,
  messageOrderedSchema,
  replaySchema,
  roomOrderedSchema,
} from './steering-schemas.ts';

const MAX_ORDER_BYTES = 65_536;
/** A corrected payload may be as large as any message. */
const MAX_REPLAY_BYTES = 1_310_720;
const MAX_REASON = 500;
const MAX_PAGE = 200;
const DEFAULT_PAGE = 50;
const MAX_TEXT = 256;

/** What answers orders and shows what failed. */
export interface SteeringDesk {
  readonly steering: Steering;
  readonly letters: DeadLetters;
  readonly failures: Pick<FailureStore, 'list'>;
  readonly rooms: Pick<RoomStore, 'findRoom'>;
  readonly history: Pick<HistoryStore, 'readSettled'>;
  readonly references: References;
  readonly clock: Pick<Clock, 'now'>;
  readonly shards: number;
}

export interface SteeringOptions {
  readonly authorize: Authorize;
  readonly answerTimeoutMs: number;
}

const time = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description }));
const word = (description: string) => Type.Optional(Type.String({ minLength: 1, maxLength: MAX_TEXT, description }));

const oneOf = <T extends string>(values: readonly T[], description: string) =>
  Type.Optional(Type.Unsafe<T>({ type: 'string', enum: [...values], description }));

const noQuery = Type.Object({}, { additionalProperties: false });
const filterFields = {
  ...selectionQuery,
  room: word('Only of this room of the channel.'),
  kind: oneOf<StoredLetter['kind']>(['message', 'intake'], 'Messages of ours, or payloads that intake refused.'),
  reason: word('Such as refused, attempts_exhausted, failed_after_assumed, body_malformed_json.'),
  code: word("The platform's code."),
  fingerprint: Type.Optional(
    Type.String({ pattern: FINGERPRINT, description: 'Of the failure: the letters of one group of GET /v1/failures.' }),
  ),
  state: oneOf<StoredLetter['state']>(LETTER_STATES, 'What operators did about it.'),
  from: time('Written then or later, ms since 1970.'),
  until: time('Written before, ms since 1970.'),
};
export const letterQuery = Type.Object(
  {
    ...filterFields,
    cursor: Type.Optional(Type.String({ maxLength: 40, description: 'Page marker.' })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE, description: `${DEFAULT_PAGE} by default.` })),
  },
  { additionalProperties: false },
);
export const failureQuery = Type.Object(
  {
    ...selectionQuery,
    since: time('Seen then or later, ms since 1970.'),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE, description: `${DEFAULT_PAGE} by default.` })),
  },
  { additionalProperties: false },
);

export function addSteeringRoutes(
  app: FastifyInstance,
  to: HttpDependencies,
  desk: SteeringDesk,
  { authorize, answerTimeoutMs }: SteeringOptions,
): void {
  const onRequest = authorize('operate', 'tenants');
  const tell = (request: FastifyRequest, { actor: key }: Actor, channel?: string): void => {
    to.log.event('operator.acted', {
      key,
      method: request.method,
      route: request.routeOptions.url ?? '',
      channel,
      requestId: request.id,
    });
  };

  for (const order of ROOM_ORDERS) {
    addEndpoint(app, answerTimeoutMs, {
      method: 'POST',
      url: `/v1/rooms/:channel/:room/${order}`,
      onRequest,
      bodyLimit: MAX_ORDER_BYTES,
      schema: { querystring: tenantQuery, response: { 200: roomOrderedSchema } },
      handler: async (request) => {
        const key = roomKeyOf(request);
        const wishes = orderIn(request);
        const by = actorOf(request);
        const ordered = await fromStore(desk.steering.orderRoom(key, order, wishes, by));
        if (!wishes.dryRun) tell(request, by, key.channel);
        const room = await to.findRoom(key);
        if (room === null) throw new RoomlineError('room_not_found');
        return { order, ...ordered, dryRun: wishes.dryRun, room };
      },
    });
  }

  addEndpoint(app, answerTimeoutMs, {
    method: 'POST',
    url: '/v1/rooms/:channel/:room/skip-gap',
    onRequest,
    bodyLimit: MAX_ORDER_BYTES,
    schema: { querystring: tenantQuery, response: { 200: gapSkippedSchema } },
    handler: async (request) => {
      const key = roomKeyOf(request);
      const body = bodyOf(request);
      checkMembers(body, [...ORDER_MEMBERS, 'waitsFor']);
      const wishes = orderOf(body);
      const by = actorOf(request);
      const done = await fromStore(desk.steering.skipGap(key, waitsForIn(body), wishes, by));
      if (!wishes.dryRun) tell(request, by, key.channel);
      const room = await to.findRoom(key);
      if (room === null) throw new RoomlineError('room_not_found');
      return { ...done, dryRun: wishes.dryRun, room };
    },
  });

  for (const order of MESSAGE_ORDERS) {
    addEndpoint(app, answerTimeoutMs, {
      method: 'POST',
      url: `/v1/messages/:id/${order}`,
      onRequest,
      bodyLimit: MAX_ORDER_BYTES,
      schema: { querystring: noQuery, response: { 200: messageOrderedSchema } },
      handler: async (request) => {
        const { id } = request.params as { id: string };
        const wishes = orderIn(request);
        const by = actorOf(request);
        const visible = (tenant: string): boolean => ownsTenant(request, tenant);
        const ordered = await fromStore(desk.steering.orderMessage(id, order, wishes, by, visible));
        if (!wishes.dryRun) tell(request, by);
        const message = await to.findMessage(id);
        if (message === null) throw new RoomlineError('message_not_found');
        return { order, ...ordered, dryRun: wishes.dryRun, message };
      },
    });
  }

  addLetterRoutes(app, to, desk, { authorize, answerTimeoutMs }, tell);

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/failures',
    onRequest: authorize('read', 'tenants'),
    schema: { querystring: failureQuery, response: { 200: failureListSchema } },
    handler: async (request) => {
      const { since = 0, limit = DEFAULT_PAGE, ...where } = request.query as Static<typeof failureQuery>;
      const groups = await fromStore(desk.failures.list(selectedIn(request, where), since, limit));
      const failures = groups.map(({ channel: of, sample, ...group }) => ({
        ...group,
        tenant: of?.tenant ?? null,
        channel: of?.channel ?? null,
        sample: sample === null ? null : linkOf(desk.references, sample),
      }));
      return { asOf: Math.floor(desk.clock.now()), failures };
    },
  });
}

function addLetterRoutes(
  app: FastifyInstance,
  to: HttpDependencies,
  desk: SteeringDesk,
  { authorize, answerTimeoutMs }: SteeringOptions,
  tell: (request: FastifyRequest, by: Actor) => void,
): void {
  const { letters } = desk;
  const onRequest = authorize('operate', 'tenants');
  const wishesOf = (request: FastifyRequest, order: OrderWishes): LetterWishes => ({
    ...order,
    visible: (tenant) => seesLetters(request, tenant),
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/dead-letters',
    onRequest: authorize('read', 'tenants'),
    schema: { querystring: letterQuery, response: { 200: letterListSchema } },
    handler: async (request) => {
      const { cursor, limit = DEFAULT_PAGE, ...where } = request.query as Static<typeof letterQuery>;
      const filter = await filterOf(request, where, desk);
      const asOf = to.now();
      const page = await fromStore(letters.list(filter, placeIn(cursor), limit));
      const cursorTo = page.next === null ? null : `${page.next.at}.${page.next.id}`;
      return { asOf, letters: page.letters.map((letter) => viewOf(letter, letters)), cursor: cursorTo };
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'GET',
    url: '/v1/dead-letters/:id',
    onRequest: authorize('read', 'tenants'),
    schema: { querystring: noQuery, response: { 200: letterDetailSchema } },
    handler: async (request) => {
      const asOf = to.now();
      const { refused, ...letter } = await fromStore(letters.find(idIn(request), (of) => seesLetters(request, of)));
      const view = viewOf(letter, letters);
      const outcome = view.message === null ? null : await to.findMessage(view.message.id);
      // What was said to whom is for those who may act on it.
      const contents = identityOf(request).scopes.includes('operate')
        ? await fromStore(contentsOf(letter, refused, desk))
        : {};
      return { asOf, ...view, outcome, ...contents };
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'POST',
    url: '/v1/dead-letters/:id/replay',
    onRequest,
    bodyLimit: MAX_REPLAY_BYTES,
    schema: { querystring: noQuery, response: { 200: replaySchema } },
    handler: async (request) => {
      const id = idIn(request);
      const body = bodyOf(request, MAX_MESSAGE_DEPTH);
      checkMembers(body, [...ORDER_MEMBERS, 'message']);
      const order = orderOf(body);
      const by = actorOf(request);
      const corrected = body.message === undefined ? null : Buffer.from(JSON.stringify(body.message));
      const replay = await fromStore(letters.replay({ ids: [id] }, wishesOf(request, order), by, corrected));
      const [only] = replay.letters;
      if (only?.error != null) throw only.error;
      if (!order.dryRun) tell(request, by);
      return replayView(replay, order.dryRun, request.id);
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'POST',
    url: '/v1/dead-letters/:id/discard',
    onRequest,
    bodyLimit: MAX_ORDER_BYTES,
    schema: { querystring: noQuery, response: { 200: discardSchema } },
    handler: async (request) => {
      const id = idIn(request);
      const order = orderIn(request);
      const by = actorOf(request);
      const discarded = await fromStore(letters.discard({ ids: [id] }, wishesOf(request, order), by));
      const [first] = discarded.refused;
      if (first !== undefined) throw first.error;
      if (!order.dryRun) tell(request, by);
      return { ...discarded, refused: [], dryRun: order.dryRun };
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'POST',
    // A colon that begins no parameter is written twice.
    url: '/v1/dead-letters::replay',
    onRequest,
    bodyLimit: MAX_ORDER_BYTES,
    schema: { querystring: noQuery, response: { 200: replaySchema } },
    handler: async (request) => {
      const { selection, order } = await selectionIn(request, desk);
      const by = actorOf(request);
      const replay = await fromStore(letters.replay(selection, wishesOf(request, order), by));
      if (!order.dryRun) tell(request, by);
      return replayView(replay, order.dryRun, request.id);
    },
  });

  addEndpoint(app, answerTimeoutMs, {
    method: 'POST',
    url: '/v1/dead-letters::discard',
    onRequest,
    bodyLimit: MAX_ORDER_BYTES,
    schema: { querystring: noQuery, response: { 200: discardSchema } },
    handler: async (request) => {
      const { selection, order } = await selectionIn(request, desk);
      const by = actorOf(request);
      const { refused, ...discarded } = await fromStore(letters.discard(selection, wishesOf(request, order), by));
      if (!order.dryRun) tell(request, by);
      const problems = refused.map(({ id, error }) => ({ letter: id, error: toProblem(error, request.id) }));
      return { ...discarded, refused: problems, dryRun: order.dryRun };
    },
  });
}

// ------------------------------------------------------------------------------------------------- what is answered

function viewOf(letter: StoredLetter, letters: DeadLetters): LetterView {
  const { id, at, kind, reason, detail, fingerprint, tenant, channel, room, state, closedAt, closedBy, sequence } =
    letter;
  const reference = letters.referenceOf(letter);
  const link = letters.linkOf(letter);
  return {
    id,
    at,
    kind,
    reason,
    code: kind === 'message' ? detail : null,
    fingerprint,
    detail: kind === 'message' ? null : detail,
    tenant,
    channel,
    room,
    message: reference === null || sequence === null ? null : { id: reference, sequence },
    state,
    closedAt,
    closedBy,
    replayedAs: link === null ? null : { id: link.reference, sequence: link.sequence },
  };
}

async function contentsOf(
  letter: StoredLetter,
  refused: LetterPayload | null,
  { history }: SteeringDesk,
): Promise<object> {
  if (refused !== null) {
    const { payload, attributes } = refused;
    const bytes = Buffer.from(payload);
    const readable = Buffer.compare(Buffer.from(bytes.toString('utf8')), bytes) === 0;
    const encoding = readable ? 'utf8' : 'base64';
    return { payload: { encoding, data: bytes.toString(encoding), attributes } };
  }
  const { address, sequence } = letter;
  const entry = address === null || sequence === null ? null : await history.readSettled(address, sequence);
  return entry === null ? {} : { body: JSON.parse(Buffer.from(splitBody(entry.body).body).toString('utf8')) };
}

function replayView({ letters, more }: Replay, dryRun: boolean, requestId: string) {
  const named = (link: { readonly reference: string; readonly sequence: number } | null) =>
    link === null ? null : { id: link.reference, sequence: link.sequence };
  return {
    dryRun,
    replayed: letters.filter(({ result }) => result === 'replayed').length,
    refused: letters.filter(({ result }) => result === 'refused').length,
    more,
    letters: letters.map(({ id, key, from, to, error, ...rest }) => ({
      letter: id,
      tenant: key?.tenant ?? null,
      channel: key?.channel ?? null,
      room: key?.room ?? null,
      from: named(from),
      to: named(to),
      ...rest,
      ...(error === null ? {} : { error: toProblem(error, requestId) }),
    })),
  };
}

function linkOf(references: References, { address, sequence }: { address: RoomAddress; sequence: number }) {
  return { id: references.encode(address, sequence), sequence };
}

// -------------------------------------------------------------------------------------------------- what is asked

function actorOf(request: FastifyRequest): Actor {
  const { name, requestId } = operatorOf(request);
  return { actor: name, requestId };
}

/** Payloads that never came to a tenant are there for a key that is bound to none. */
function seesLetters(request: FastifyRequest, tenant: string | null): boolean {
  return tenant === null ? identityOf(request).tenants === null : ownsTenant(request, tenant);
}

type Where = { readonly tenant?: string; readonly channel?: string; readonly room?: string };

/** @throws RoomlineError `channel_not_found` where the channel is not there for whoever asks */
function selectedIn(request: FastifyRequest, { tenant, channel }: Where): ChannelSelection {
  const selected = channelsOf(request, { tenant, channel });
  if (channel !== undefined && selected.channel === null) throw new RoomlineError('channel_not_found');
  return selected;
}

type FilterFields = Where & {
  -readonly [K in keyof Omit<LetterFilter, 'channel' | 'tenants' | 'room'>]?: NonNullable<LetterFilter[K]>;
};

async function filterOf(request: FastifyRequest, fields: FilterFields, desk: SteeringDesk): Promise<LetterFilter> {
  const { kind = null, reason = null, code = null, fingerprint = null, state = null } = fields;
  const { from = null, until = null } = fields;
  const selected = selectedIn(request, fields);
  const { channel } = selected;
  let room: RoomAddress | null = null;
  if (fields.room !== undefined) {
    if (channel === null) throw new RoomlineError('field_missing', { field: 'channel', rule: 'required with room' });
    const key: RoomKey = { ...channel, room: checkId('room', fields.room) };
    const found = await fromStore(desk.rooms.findRoom(key, shardOf(key, desk.shards)));
    if (found === null) throw new RoomlineError('room_not_found');
    room = found.row;
  }
  for (const [field, value] of Object.entries({ reason, code })) if (value !== null) checkId(field, value);
  return { ...selected, room, kind, reason, code, fingerprint, state, from, until };
}

function placeIn(cursor: string | undefined): LetterPlace | null {
  if (cursor === undefined) return null;
  const [, at, id] = /^(\d{1,15})\.(\d{1,15})$/.exec(cursor) ?? [];
  if (at !== undefined && id !== undefined) return { at: Number(at), id: Number(id) };
  throw new RoomlineError('field_invalid', { field: 'cursor', rule: 'as an earlier page gave it' });
}

/** @throws RoomlineError `dead_letter_not_found` also for what can be no id */
function idIn(request: FastifyRequest): number {
  const { id } = request.params as { id: string };
  if (!/^[1-9]\d{0,14}$/.test(id)) throw new RoomlineError('dead_letter_not_found');
  return Number(id);
}

type Members = Readonly<Record<string, unknown>>;
const ORDER_MEMBERS = ['reason', 'dryRun'] as const;
const SELECTION_MEMBERS = [...ORDER_MEMBERS, 'ids', 'filter', 'limit'] as const;
/** A message by itself may be 32 levels deep. */
const MAX_MESSAGE_DEPTH = 33;

/** An order needs no body. */
function bodyOf(request: FastifyRequest, depth?: number): Members {
  const empty = request.body === undefined || (Buffer.isBuffer(request.body) && request.body.length === 0);
  return empty ? {} : objectIn(request, depth);
}

function orderIn(request: FastifyRequest): OrderWishes {
  const body = bodyOf(request);
  checkMembers(body, ORDER_MEMBERS);
  return orderOf(body);
}

function orderOf({ reason, dryRun = false }: Members): OrderWishes {
  if (typeof dryRun !== 'boolean') throw new RoomlineError('field_type', { field: 'dryRun', rule: 'true or false' });
  if (reason === undefined || reason === null) return { reason: null, dryRun };
  if (typeof reason !== 'string') throw new RoomlineError('field_type', { field: 'reason', rule: 'a text' });
  if (reason.length <= MAX_REASON) return { reason, dryRun };
  throw new RoomlineError('field_invalid', { field: 'reason', rule: `at most ${MAX_REASON} characters` });
}

/** Null where any will do. */
function waitsForIn({ waitsFor }: Members): number | null {
  if (waitsFor === undefined || waitsFor === null) return null;
  const field = 'waitsFor';
  if (typeof waitsFor !== 'number') throw new RoomlineError('field_type', { field, rule: 'a number' });
  if (Number.isSafeInteger(waitsFor) && waitsFor >= 1) return waitsFor;
  throw new RoomlineError('field_invalid', { field, rule: 'a whole number from 1 on' });
}

async function selectionIn(
  request: FastifyRequest,
  desk: SteeringDesk,
): Promise<{ readonly selection: LetterSelection; readonly order: OrderWishes }> {
  const body = bodyOf(request);
  checkMembers(body, SELECTION_MEMBERS);
  const order = orderOf(body);
  const { ids, filter, limit = MAX_LETTERS } = body;
  if ((ids === undefined) === (filter === undefined)) {
    throw new RoomlineError('field_invalid', { field: 'body', rule: 'either ids or filter' });
  }
  if (ids !== undefined) {
    if (body.limit !== undefined)
      throw new RoomlineError('field_invalid', { field: 'limit', rule: 'with filter only' });
    return { selection: { ids: idsIn(ids) }, order };
  }
  if (typeof limit !== 'number') throw new RoomlineError('field_type', { field: 'limit', rule: 'a number' });
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LETTERS) {
    throw new RoomlineError('field_invalid', { field: 'limit', rule: `1 to ${MAX_LETTERS}` });
  }
  return { selection: { filter: await filterOf(request, filterIn(filter), desk), limit }, order };
}

function idsIn(ids: unknown): readonly number[] {
  const rule = `1 to ${MAX_LETTERS} ids of dead letters`;
  if (!Array.isArray(ids)) throw new RoomlineError('field_type', { field: 'ids', rule });
  if (ids.length === 0 || ids.length > MAX_LETTERS) throw new RoomlineError('field_invalid', { field: 'ids', rule });
  for (const id of ids) {
    if (typeof id !== 'number') throw new RoomlineError('field_type', { field: 'ids', rule });
    if (!Number.isSafeInteger(id) || id < 1) throw new RoomlineError('field_invalid', { field: 'ids', rule });
  }
  return ids;
}

const FILTER_WORDS = ['tenant', 'channel', 'room', 'kind', 'reason', 'code', 'fingerprint'] as const;
const FILTER_TIMES = ['from', 'until'] as const;

/** Letters that are open are meant, whatever the filter. */
function filterIn(filter: unknown): FilterFields {
  if (typeof filter !== 'object' || filter === null || Array.isArray(filter)) {
    throw new RoomlineError('field_type', { field: 'filter', rule: 'an object' });
  }
  const fields = filter as Members;
  checkMembers(fields, [...FILTER_WORDS, ...FILTER_TIMES]);
  for (const name of FILTER_WORDS) {
    const value = fields[name];
    if (value === undefined) continue;
    if (typeof value !== 'string') throw new RoomlineError('field_type', { field: `filter.${name}`, rule: 'a text' });
    checkId(`filter.${name}`, value);
  }
  for (const name of FILTER_TIMES) {
    const value = fields[name];
    if (value === undefined) continue;
    if (typeof value !== 'number') throw new RoomlineError('field_type', { field: `filter.${name}`, rule: 'a number' });
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new RoomlineError('field_type', { field: `filter.${name}`, rule: 'a whole number' });
  }
  if (fields.kind !== undefined && fields.kind !== 'message' && fields.kind !== 'intake') {
    throw new RoomlineError('field_invalid', { field: 'filter.kind', rule: 'message or intake' });
  }
  if (fields.fingerprint !== undefined && !new RegExp(FINGERPRINT).test(fields.fingerprint as string)) {
    throw new RoomlineError('field_invalid', { field: 'filter.fingerprint', rule: '32 hexadecimal digits' });
  }
  return fields as FilterFields;
}

function checkMembers(value: Members, known: readonly string[]): void {
  if (Object.keys(value).every((name) => known.includes(name))) return;
  throw new RoomlineError('field_unknown', { field: 'body', rule: known.join(', ') });
}

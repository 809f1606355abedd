/**
 * A published message as it comes, from Pub/Sub and HTTP alike: JSON is read, every rule is checked, and what naive
 * storage would choke on is refused before it can join a batch.
 */
import { hash } from 'node:crypto';
import { RoomlineError } from '../errors.ts';
import type { RoomKey } from '../room/room.ts';
import { MAX_ORDER } from './append-ports.ts';
import type { NewMessage, PlatformChannel } from './ports.ts';

/** A valid message before intake gives it its shard, its time and, where the publisher gave none, its id. */
export interface NewMessageDraft
  extends Pick<
    NewMessage,
    | 'key'
    | 'body'
    | 'digest'
    | 'notBefore'
    | 'expiresAt'
    | 'ackTimeoutMs'
    | 'failurePolicy'
    | 'supersedes'
    | 'to'
    | 'order'
  > {
  /** Null where the publisher gave none. */
  readonly messageId: string | null;
}

/** What a configured channel asks of a message; null where no such channel is configured. */
export type FindChannel = (tenant: string, channel: string) => Pick<PlatformChannel, 'checkContent'> | null;

export type ParsedMessage = { readonly ok: NewMessageDraft } | { readonly error: RoomlineError };

export interface MessageLimits {
  /** Of the raw message. */
  readonly maxBytes: number;
  /** Of `content` as it is stored. */
  readonly maxContentBytes: number;
  /** Objects and arrays inside each other, the message itself included. */
  readonly maxDepth: number;
}

export const MESSAGE_LIMITS: MessageLimits = { maxBytes: 1_048_576, maxContentBytes: 262_144, maxDepth: 32 };

/** Messages in one batch. */
export const MAX_BATCH = 5_000;

/** The tenant of messages that name none. */
export const DEFAULT_TENANT = 'default';

export const MAX_ID_BYTES = 256;
const MAX_ACK_TIMEOUT_MS = 86_400_000;
/** The last millisecond of the year 9999. */
const MAX_TIME_MS = 253_402_300_799_999;

const FIELDS = [
  'tenant',
  'channel',
  'room',
  'messageId',
  'to',
  'content',
  'notBefore',
  'expiresAt',
  'ackTimeoutMs',
  'failurePolicy',
  'supersedes',
  'order',
] as const;
type Field = (typeof FIELDS)[number];
type Fields = Readonly<Partial<Record<Field, unknown>>>;

/** A byte order mark is no JSON: it is kept, so that the parser refuses it. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads and checks one message. `body` of the result is `{"to":…,"content":…}` with `content` written anew: white space
 * goes, and of a name that an object repeats the last one stays. Numbers keep their value as IEEE 754 doubles; whole
 * numbers that a double cannot hold exactly are refused.
 */
export function parseMessage(raw: Uint8Array, limits: MessageLimits, findChannel: FindChannel): ParsedMessage {
  return orError(() => {
    if (raw.length > limits.maxBytes) {
      throw new RoomlineError('body_too_large', { rule: `at most ${limits.maxBytes} bytes` });
    }
    return read(parseJson(raw), limits, findChannel);
  });
}

/** Checks one message of a batch, as `readBatch` gave it, by the rules of `parseMessage`. */
export function checkMessage(value: unknown, limits: MessageLimits, findChannel: FindChannel): ParsedMessage {
  return orError(() => read(value, limits, findChannel));
}

/**
 * The messages of a batch, `{"messages":[…]}`, each still to be checked.
 * @throws RoomlineError where it is no batch; `batch_too_large`
 */
export function readBatch(raw: Uint8Array): readonly unknown[] {
  const value = parseJson(raw);
  if (!isObject(value)) throw new RoomlineError('field_type', { field: 'body', rule: 'one JSON object' });
  const unknown = Object.keys(value).find((name) => name !== 'messages');
  if (unknown !== undefined) throw new RoomlineError('field_unknown', { field: printable(unknown), rule: 'messages' });
  const { messages } = value;
  const field = 'messages';
  if (messages === undefined) throw new RoomlineError('field_missing', { field, rule: 'required' });
  if (!Array.isArray(messages)) throw new RoomlineError('field_type', { field, rule: 'an array' });
  const rule = `1 to ${MAX_BATCH} messages`;
  if (messages.length === 0) throw new RoomlineError('field_invalid', { field, rule });
  if (messages.length > MAX_BATCH) throw new RoomlineError('batch_too_large', { field, rule });
  return messages;
}

function orError(work: () => NewMessageDraft): ParsedMessage {
  try {
    return { ok: work() };
  } catch (error) {
    if (error instanceof RoomlineError) return { error };
    throw error;
  }
}

function read(value: unknown, limits: MessageLimits, findChannel: FindChannel): NewMessageDraft {
  const fields = readFields(value, limits);
  const tenant = fields.tenant === undefined ? DEFAULT_TENANT : text('tenant', fields.tenant);
  const channel = text('channel', required(fields, 'channel'));
  const room = checkId('room', required(fields, 'room'));
  const messageId = fields.messageId === undefined ? null : checkId('messageId', fields.messageId);
  const supersedes = supersedesOf(fields, messageId);
  const to = fields.to === undefined ? room : checkId('to', fields.to);
  const given = contentOf(required(fields, 'content'));
  const content = JSON.stringify(given);
  const notBefore = time(fields, 'notBefore');
  const expiresAt = time(fields, 'expiresAt');
  if (notBefore !== null && expiresAt !== null && expiresAt <= notBefore) {
    throw new RoomlineError('field_invalid', { field: 'expiresAt', rule: 'later than notBefore' });
  }
  const ackTimeoutMs = ackTimeout(fields.ackTimeoutMs);
  const failurePolicy = failurePolicyOf(fields.failurePolicy);
  const order = orderOf(fields.order);
  const rules = findChannel(tenant, channel);
  if (rules === null) {
    throw new RoomlineError('channel_unknown', { field: 'channel', rule: 'the name of a configured channel' });
  }
  const before = `{"to":${JSON.stringify(to)},"content":`;
  const body = Buffer.from(`${before}${content}}`);
  if (body.length - Buffer.byteLength(before) - 1 > limits.maxContentBytes) {
    throw new RoomlineError('payload_too_large', { field: 'content', rule: `at most ${limits.maxContentBytes} bytes` });
  }
  rules.checkContent?.(to, given);
  const key: RoomKey = { tenant, channel, room };
  const digest = contentDigest(body, order);
  const draft = { key, messageId, body, digest, notBefore, expiresAt, ackTimeoutMs, failurePolicy, supersedes };
  if (order === undefined && to === room) return draft;
  return { ...draft, ...(to === room ? {} : { to }), ...(order === undefined ? {} : { order }) };
}

/** What decides whether a repeated message id brings the same message: SHA-256 of its body, and of its order if it has one. */
export function contentDigest(body: Uint8Array, order?: number): Uint8Array {
  // A body begins with a brace.
  return hash('sha256', order === undefined ? body : Buffer.concat([Buffer.from(`${order}:`), body]), 'buffer');
}

const REQUEST_ID_BEGINS = '{"requestId":"';
const QUOTE = 0x22;
const OPENING_BRACE = Buffer.of(0x7b);

/**
 * Gives drafts the id of the request that brought them, ahead of all else in their bodies. The digest stays that of the
 * body without it: a message published again by another request is the same.
 * @param requestId of characters that JSON never escapes
 */
export function stampWith(requestId: string): (draft: NewMessageDraft) => NewMessageDraft {
  const before = Buffer.from(`${REQUEST_ID_BEGINS}${requestId}",`, 'latin1');
  return (draft) => ({ ...draft, body: Buffer.concat([before, draft.body.subarray(1)]) });
}

/** The id of the request that brought a stored body; null where none did. */
export function requestIdIn(stored: Uint8Array): string | null {
  const text = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  const begins = REQUEST_ID_BEGINS.length;
  if (text.toString('latin1', 0, begins) !== REQUEST_ID_BEGINS) return null;
  return text.toString('latin1', begins, text.indexOf(QUOTE, begins));
}

/** A stored body as a platform is given it, and the id of the request that brought it; null where none did. */
export function splitBody(stored: Uint8Array): { readonly body: Uint8Array; readonly requestId: string | null } {
  const requestId = requestIdIn(stored);
  if (requestId === null) return { body: stored, requestId };
  const rest = stored.subarray(REQUEST_ID_BEGINS.length + requestId.length + '",'.length);
  return { body: Buffer.concat([OPENING_BRACE, rest]), requestId };
}

/** Whom a stored body goes to, as a draft has it: nothing where that is the room's name. */
export function addresseeOf(body: Uint8Array, { room }: RoomKey): Pick<NewMessageDraft, 'to'> {
  const { to } = JSON.parse(decoder.decode(body)) as { readonly to: string };
  return to === room ? {} : { to };
}

/** @throws RoomlineError `body_not_utf8`, `body_malformed_json` */
export function parseJson(raw: Uint8Array): unknown {
  let source: string;
  try {
    source = decoder.decode(raw);
  } catch (cause) {
    throw new RoomlineError('body_not_utf8', { cause });
  }
  try {
    return JSON.parse(source);
  } catch (cause) {
    throw new RoomlineError('body_malformed_json', { cause });
  }
}

/** The message's own fields, rebuilt one by one: nothing of the input's shape is carried further. */
function readFields(value: unknown, limits: MessageLimits): Fields {
  if (!isObject(value)) throw new RoomlineError('field_type', { field: 'body', rule: 'one JSON object' });
  const fields: Partial<Record<Field, unknown>> = {};
  for (const [name, inner] of Object.entries(value)) {
    if (!isField(name)) throw new RoomlineError('field_unknown', { field: printable(name), rule: FIELDS.join(', ') });
    if (!withinDepth(inner, limits.maxDepth - 1)) {
      throw new RoomlineError('body_too_deep', { field: name, rule: `at most ${limits.maxDepth} levels` });
    }
    checkValues(name, inner);
    fields[name] = inner;
  }
  return fields;
}

/** Its recursion ends at the limit, however deep the input is; those after it may follow the input. */
function withinDepth(value: unknown, depthLeft: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return depthLeft > 0 && Object.values(value).every((inner) => withinDepth(inner, depthLeft - 1));
}

function checkValues(field: Field, value: unknown): void {
  if (typeof value === 'string') checkText(field, value);
  else if (typeof value === 'number') checkNumber(field, value);
  else if (Array.isArray(value)) for (const item of value) checkValues(field, item);
  else if (typeof value === 'object' && value !== null) {
    for (const [name, inner] of Object.entries(value)) {
      checkText(field, name);
      checkValues(field, inner);
    }
  }
}

function checkText(field: string, value: string): void {
  if (value.includes('\0') || !value.isWellFormed()) {
    throw new RoomlineError('text_nul_or_surrogate', { field, rule: 'no U+0000 and no unpaired surrogate' });
  }
}

function checkNumber(field: Field, value: number): void {
  if (!Number.isFinite(value)) {
    throw new RoomlineError('number_not_finite', { field, rule: 'within the range of an IEEE 754 double' });
  }
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    const rule = 'whole numbers from -9007199254740991 to 9007199254740991; larger ones as text';
    throw new RoomlineError('number_not_finite', { field, detail: 'A whole number is too large to be exact', rule });
  }
}

/**
 * An identifier: 1 to 256 bytes of UTF-8 without control characters.
 * @throws RoomlineError
 */
export function checkId(field: string, value: unknown): string {
  const id = text(field, value);
  checkText(field, id);
  if (id === '') throw new RoomlineError('field_invalid', { field, rule: `1 to ${MAX_ID_BYTES} bytes` });
  // Every UTF-16 unit takes at least one byte, so that the exact count is needed for short texts only.
  if (id.length > MAX_ID_BYTES || Buffer.byteLength(id) > MAX_ID_BYTES) {
    throw new RoomlineError('id_too_long', { field, rule: `at most ${MAX_ID_BYTES} bytes in UTF-8` });
  }
  if (/\p{Cc}/u.test(id)) throw new RoomlineError('id_invalid', { field, rule: 'no control characters' });
  return id;
}

function required(fields: Fields, field: Field): unknown {
  const value = fields[field];
  if (value === undefined) throw new RoomlineError('field_missing', { field, rule: 'required' });
  return value;
}

function text(field: string, value: unknown): string {
  if (typeof value !== 'string') throw new RoomlineError('field_type', { field, rule: 'a text' });
  return value;
}

function supersedesOf(fields: Fields, messageId: string | null): string | null {
  if (fields.supersedes === undefined) return null;
  const field = 'supersedes';
  const supersedes = checkId(field, fields.supersedes);
  if (supersedes === messageId) {
    throw new RoomlineError('field_invalid', { field, rule: 'the messageId of another, earlier message' });
  }
  return supersedes;
}

function contentOf(value: unknown): Readonly<Record<string, unknown>> {
  if (!isObject(value)) throw new RoomlineError('field_type', { field: 'content', rule: 'a JSON object' });
  return value;
}

function ackTimeout(value: unknown): number | null {
  if (value === undefined) return null;
  const field = 'ackTimeoutMs';
  if (typeof value !== 'number') throw new RoomlineError('field_type', { field, rule: 'a number' });
  if (!Number.isInteger(value) || value < 1 || value > MAX_ACK_TIMEOUT_MS) {
    throw new RoomlineError('field_invalid', { field, rule: `a whole number from 1 to ${MAX_ACK_TIMEOUT_MS}` });
  }
  return value;
}

function orderOf(value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const field = 'order';
  if (typeof value !== 'number') throw new RoomlineError('field_type', { field, rule: 'a number' });
  if (Number.isInteger(value) && value >= 1 && value <= MAX_ORDER) return value;
  throw new RoomlineError('field_invalid', { field, rule: `a whole number from 1 to ${MAX_ORDER}` });
}

function failurePolicyOf(value: unknown): 'move_on' | 'hold' | null {
  if (value === undefined) return null;
  const policy = text('failurePolicy', value);
  if (policy === 'move_on' || policy === 'hold') return policy;
  throw new RoomlineError('field_invalid', { field: 'failurePolicy', rule: 'move_on or hold' });
}

const ISO_TIME = /^(\d{4})-(\d{2})-(\d{2})T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;
const TIME_RULE = 'milliseconds since 1970 (not seconds), or ISO 8601 with its offset, up to the year 9999';
/** In 1973. Seconds since 1970 stay below it until the year 5138. */
const LEAST_TIME_MS = 100_000_000_000;

function time(fields: Fields, field: 'notBefore' | 'expiresAt'): number | null {
  const value = fields[field];
  if (value === undefined) return null;
  if (typeof value !== 'number' && typeof value !== 'string') {
    throw new RoomlineError('field_type', { field, rule: TIME_RULE });
  }
  const ms = typeof value === 'number' ? value : isoToMs(value);
  if (ms === null || !Number.isInteger(ms) || ms < LEAST_TIME_MS || ms > MAX_TIME_MS) {
    throw new RoomlineError('field_invalid', { field, rule: TIME_RULE });
  }
  return ms;
}

function isoToMs(value: string): number | null {
  const parts = ISO_TIME.exec(value);
  if (parts === null) return null;
  const [, year, month, day] = parts;
  // `Date.parse` turns a 30 February into March.
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  if (date.getUTCDate() !== Number(day)) return null;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? null : ms;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isField(name: string): name is Field {
  return (FIELDS as readonly string[]).includes(name);
}

/** A name from the input as an error may repeat it. */
function printable(name: string): string {
  return /^[\w.-]{1,64}$/.test(name) ? name : '(unprintable)';
}

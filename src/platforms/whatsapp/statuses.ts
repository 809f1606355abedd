/** Reading a webhook call: up to 1,000 statuses over several entries and changes, mixed with what users write. */
import type { StatusItem } from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import type { Nack } from '../../room/room.ts';
import { type Fields, isFields, parseWebhookBody, readId, readReference, readText } from '../fields.ts';
import { readGraphError } from '../meta/error.ts';
import { nackOfStatus } from './errors.ts';

/** Meta promises at most 1,000 updates in a call; more than this is no call of Meta's. */
export const MAX_ITEMS = 10_000;

/** @throws RoomlineError where nothing of the call can be read */
export function readStatuses(raw: Uint8Array): StatusItem[] {
  const call = parseWebhookBody(raw);
  if (!isFields(call)) throw new RoomlineError('field_type', { field: 'body', rule: 'an object' });
  if (call.entry === undefined) throw new RoomlineError('field_missing', { field: 'entry', rule: 'required' });
  if (!Array.isArray(call.entry)) throw new RoomlineError('field_type', { field: 'entry', rule: 'a list' });
  if (call.object !== 'whatsapp_business_account') return [other('object_other')];
  const items = call.entry.flatMap(readEntry);
  if (items.length <= MAX_ITEMS) return items;
  throw new RoomlineError('body_too_large', { field: 'entry', rule: `at most ${MAX_ITEMS} items` });
}

function readEntry(entry: unknown): StatusItem[] {
  const changes = isFields(entry) ? entry.changes : undefined;
  return Array.isArray(changes) ? changes.flatMap(readChange) : [unreadable('entry_type')];
}

function readChange(change: unknown): StatusItem[] {
  if (!isFields(change)) return [unreadable('change_type')];
  if (change.field !== 'messages') return [other('field_other')];
  const { value } = change;
  if (!isFields(value)) return [unreadable('value_type')];
  const sender = readSender(value.metadata);
  const items: StatusItem[] = [];
  for (const status of listOf(value.statuses)) items.push(readStatus(status, sender));
  for (const _message of listOf(value.messages)) items.push(other('inbound_message'));
  for (const error of listOf(value.errors)) items.push(readAccountError(error, sender));
  return items.length > 0 ? items : [other('nothing_ours')];
}

/** It names no message, so that none can be settled by it; it may stop or slow the sender. */
function readAccountError(item: unknown, sender: { sender?: string }): StatusItem {
  const error = readGraphError(item);
  if (error === null) return unreadable('account_error_unread');
  const nack = nackOfStatus(error.code);
  const wide = nack.scope === 'channel' || nack.scope === 'account';
  return wide ? { kind: 'channel', nack, ...sender } : other(`account_error_${error.code}`);
}

/** The business number that sent, where the call says it. */
function readSender(metadata: unknown): { sender?: string } {
  const sender = isFields(metadata) ? readText(metadata.phone_number_id, 64) : null;
  return sender === null ? {} : { sender };
}

const LEVELS = { sent: 'sent', delivered: 'delivered', read: 'read', played: 'read' } as const;
/** What a user does with a message, and what an older interface told of its state: none is an ack. */
const NO_ACKS = new Set<unknown>(['deleted', 'warning']);

function readStatus(status: unknown, sender: { sender?: string }): StatusItem {
  if (!isFields(status)) return unreadable('item_type');
  const reference = readReference(status.biz_opaque_callback_data);
  const platformId = readId(status.id);
  if (reference === null && platformId === null) return unreadable('message_unnamed');
  const named = { reference, platformId, at: readAt(status.timestamp), cumulative: false, ...sender } as const;
  const value = status.status;
  if (value === 'failed') return { kind: 'status', ...named, level: null, nack: readFailure(status) };
  if (typeof value === 'string' && Object.hasOwn(LEVELS, value)) {
    return { kind: 'status', ...named, level: LEVELS[value as keyof typeof LEVELS], nack: null };
  }
  return NO_ACKS.has(value) ? other(`status_${String(value)}`) : unreadable('status_unknown');
}

function readFailure(status: Fields): Nack {
  for (const item of listOf(status.errors)) {
    const error = readGraphError(item);
    if (error !== null) return { ...nackOfStatus(error.code), ...error.said };
  }
  return { permanent: true, scope: 'message', retryAfterMs: null, code: 'failed' };
}

/** No time in ms since 1973 is below this; one in seconds is, until the year 5138. */
const LEAST_AT_MS = 100_000_000_000;

/** A text of Unix seconds. For the record only: what is no time of our age is left out. */
function readAt(value: unknown): number | null {
  const time = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value;
  if (typeof time !== 'number' || !Number.isSafeInteger(time)) return null;
  const ms = time < LEAST_AT_MS ? time * 1_000 : time;
  return ms >= LEAST_AT_MS ? ms : null;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function other(code: string): StatusItem {
  return { kind: 'other', code };
}

function unreadable(code: string): StatusItem {
  return { kind: 'unreadable', code };
}

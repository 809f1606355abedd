/** Reading a status callback: one message each, named by its SID and by the reference in the address that is called. */
import type { StatusItem, WebhookCall } from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';
import type { AckLevel, Nack } from '../../room/room.ts';
import { digestOf } from '../failure-text.ts';
import { type Fields, isFields, parseWebhookBody, readId, readReference } from '../fields.ts';
import { nackOfStatus, readErrorCode } from './errors.ts';
import { queryOf, readForm } from './form.ts';
import { REFERENCE } from './message.ts';

/** Some of a long message's parts have arrived: that is more than `sent`, and no more can be said. */
const LEVELS: Readonly<Record<string, Exclude<AckLevel, 'none'>>> = {
  scheduled: 'accepted',
  accepted: 'accepted',
  queued: 'accepted',
  sending: 'accepted',
  sent: 'sent',
  partially_delivered: 'sent',
  delivered: 'delivered',
  read: 'read',
};

const INBOUND = new Set<unknown>(['receiving', 'received']);

/** What a status says of a failure; null where it tells of none. */
export function failureOf(status: unknown, errorCode: unknown): Nack | null {
  if (status === 'canceled') return { permanent: true, scope: 'message', retryAfterMs: null, code: 'canceled' };
  if (status !== 'failed' && status !== 'undelivered') return null;
  const code = readErrorCode(errorCode);
  return code === null ? { permanent: true, scope: 'message', retryAfterMs: null, code: status } : nackOfStatus(code);
}

/** The reader throws RoomlineError where nothing of a call can be read. */
export function createStatusReader(accountSid: string): (call: WebhookCall) => readonly StatusItem[] {
  return ({ target, raw }) => {
    const query = new URLSearchParams(queryOf(target));
    const fields = query.has('bodySHA256') ? parseWebhookBody(raw) : formFields(raw);
    if (!isFields(fields)) return [unreadable('item_type')];
    return [readCallback(fields, readReference(query.get(REFERENCE)), accountSid)];
  };
}

function formFields(raw: Uint8Array): Fields {
  const form = readForm(raw);
  if (form === null) throw new RoomlineError('body_not_utf8');
  return Object.fromEntries(form);
}

function readCallback(fields: Fields, reference: string | null, accountSid: string): StatusItem {
  const status = fields.MessageStatus ?? fields.SmsStatus;
  if (INBOUND.has(status)) return other('inbound_message');
  // Something else that was sent here, such as a call.
  if (status === undefined) return other('no_status');
  if (fields.AccountSid !== undefined && fields.AccountSid !== accountSid) return other('other_account');
  const platformId = readId(fields.MessageSid ?? fields.SmsSid);
  if (reference === null && platformId === null) return unreadable('message_unnamed');
  // A callback tells no time.
  const named = { kind: 'status', reference, platformId, at: null, cumulative: false } as const;
  const nack = failureOf(status, fields.ErrorCode);
  if (nack !== null) {
    const said = digestOf(fields.ErrorMessage, fields.ChannelStatusMessage);
    return { ...named, level: null, nack: { ...nack, ...said } };
  }
  if (typeof status !== 'string' || !Object.hasOwn(LEVELS, status)) return unreadable('status_unknown');
  return { ...named, level: LEVELS[status] ?? null, nack: null };
}

function other(code: string): StatusItem {
  return { kind: 'other', code };
}

function unreadable(code: string): StatusItem {
  return { kind: 'unreadable', code };
}

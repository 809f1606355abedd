/** From a stored body to the request that the Cloud API takes. */
import type { Prepared } from '../../engine/ports.ts';
import { type Fields, isFields, readObject } from '../fields.ts';
import { withIds } from './media.ts';

const PHONE_NUMBER = /^\+?([1-9]\d{4,14})$/;
/** A business-scoped user id, for users who show a name and no number. */
const USER_ID = /^[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}$/;

/**
 * The member that names the recipient. A number gets its `+`: without it the API prepends the business's own country
 * code, and somebody else gets the message. Null where it is neither a number nor a user's id.
 */
export function recipientOf(to: string): { readonly to: string } | { readonly recipient: string } | null {
  const [, digits] = PHONE_NUMBER.exec(to) ?? [];
  if (digits !== undefined) return { to: `+${digits}` };
  return USER_ID.test(to) ? { recipient: to } : null;
}

/** A plain text in the short form that every channel takes. */
export function inFull(content: Fields): Fields {
  return typeof content.text === 'string' ? { type: 'text', text: { body: content.text } } : content;
}

/**
 * The request for a stored `{"to":…,"content":…}`; null where it cannot be sent.
 * @param prepared ids of media that was uploaded ahead
 */
export function requestOf(reference: string, body: Uint8Array, prepared?: Prepared): Fields | null {
  const stored = readObject(body);
  const recipient = typeof stored?.to === 'string' ? recipientOf(stored.to) : null;
  if (recipient === null || !isFields(stored?.content)) return null;
  const given = inFull(stored.content);
  const content = prepared === undefined ? given : withIds(given, prepared);
  if (typeof content.type !== 'string' || !Object.hasOwn(content, content.type)) return null;
  return {
    ...content,
    messaging_product: 'whatsapp',
    recipient_type: 'individual',
    ...recipient,
    biz_opaque_callback_data: reference,
  };
}

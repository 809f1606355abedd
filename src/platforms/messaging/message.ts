/** From a stored body to the request that the Send API takes. */
import type { Prepared } from '../../engine/ports.ts';
import { type Fields, isFields, readObject } from '../fields.ts';
import { withIds } from './media.ts';

/** Page-scoped and Instagram-scoped ids are numbers of some 16 digits; they always travel as texts. */
export function isRecipient(to: string): boolean {
  return /^[0-9]{1,32}$/.test(to);
}

/** A plain text in the short form that every channel takes. */
function inFull(content: Fields): Fields {
  return typeof content.text === 'string' ? { message: { text: content.text } } : content;
}

/**
 * The request for a stored `{"to":…,"content":…}`; null where it cannot be sent.
 * @param defaults members of the body where the content does not have them
 * @param metadata what comes back with the echo; null: nothing does
 * @param prepared ids of media that was uploaded ahead
 */
export function requestOf(
  body: Uint8Array,
  defaults: Fields,
  metadata: string | null,
  prepared?: Prepared,
): Fields | null {
  const stored = readObject(body);
  if (typeof stored?.to !== 'string' || !isRecipient(stored.to) || !isFields(stored.content)) return null;
  const { message: given, ...options } = inFull(stored.content);
  if (!isFields(given)) return null;
  const message = prepared === undefined ? given : withIds(given, prepared);
  return {
    ...defaults,
    ...options,
    recipient: { id: stored.to },
    message: metadata === null ? message : { ...message, metadata },
  };
}

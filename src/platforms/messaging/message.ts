/** From a stored body to the request that the Send API takes. */
import { type Fields, isFields, readObject } from '../fields.ts';

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
 */
export function requestOf(body: Uint8Array, defaults: Fields, metadata: string | null): Fields | null {
  const stored = readObject(body);
  if (typeof stored?.to !== 'string' || !isRecipient(stored.to) || !isFields(stored.content)) return null;
  const { message, ...options } = inFull(stored.content);
  if (!isFields(message)) return null;
  return {
    ...defaults,
    ...options,
    recipient: { id: stored.to },
    message: metadata === null ? message : { ...message, metadata },
  };
}

/** From a stored body to the form that the Message resource takes. */
import { type Fields, isFields, readObject } from '../fields.ts';
import { isMessagingService, recipientOf } from './address.ts';
import { PARAMETERS } from './content.ts';

export interface Sending {
  readonly from: string;
  readonly webhookUrl: string;
  readonly reference: string;
}

/** Of the callback's address; comes back with every call. */
export const REFERENCE = 'reference';

/**
 * Asks for five repetitions, whatever went wrong: left to itself, Twilio repeats once, and only where it could not
 * connect. The fragment is meant for Twilio alone; the signature ends with the query.
 */
const PERSISTENCE = '#rc=5&rp=all';

/** A plain text in the short form that every channel takes. */
function inFull(content: Fields): Fields {
  return typeof content.text === 'string' ? { Body: content.text } : content;
}

/** The form for a stored `{"to":…,"content":…}`; null where it cannot be sent. */
export function formOf({ from, webhookUrl, reference }: Sending, body: Uint8Array): URLSearchParams | null {
  const stored = readObject(body);
  const to = typeof stored?.to === 'string' ? recipientOf(from, stored.to) : null;
  if (to === null || !isFields(stored?.content)) return null;
  const form = new URLSearchParams({
    To: to,
    [isMessagingService(from) ? 'MessagingServiceSid' : 'From']: from,
    StatusCallback: `${webhookUrl}?${REFERENCE}=${reference}${PERSISTENCE}`,
  });
  const content = inFull(stored.content);
  for (const name of Object.keys(PARAMETERS)) for (const value of valuesOf(content[name])) form.append(name, value);
  return form.has('Body') || form.has('MediaUrl') || form.has('ContentSid') ? form : null;
}

function valuesOf(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.filter((one) => typeof one === 'string');
  if (isFields(value)) return [JSON.stringify(value)];
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? [String(value)] : [];
}

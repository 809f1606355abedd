/** From a stored body to the request that the Messages API takes. */
import { type Fields, isFields, readObject } from '../fields.ts';
import type { VonageSettings } from '../platform.ts';

export type VonageChannel = VonageSettings['channel'];

export interface Sending {
  readonly channel: VonageChannel;
  readonly from: string;
  /** Where statuses are to go; null: where the application or the account says. */
  readonly webhookUrl: string | null;
  readonly reference: string;
}

const NUMBER = /^\+?([1-9]\d{4,14})$/;

/** A number without its `+`, as Vonage wants it; on Messenger, the id that it has there. Null where it is neither. */
export function recipientOf(channel: VonageChannel, to: string): string | null {
  if (channel === 'messenger') return /^\d{1,50}$/.test(to) ? to : null;
  return NUMBER.exec(to)?.[1] ?? null;
}

/** A plain text in the short form that every channel takes. */
export function inFull(content: Fields): Fields {
  return content.message_type === undefined ? { message_type: 'text', ...content } : content;
}

/** The request for a stored `{"to":…,"content":…}`; null where it cannot be sent. */
export function requestOf({ channel, from, webhookUrl, reference }: Sending, body: Uint8Array): Fields | null {
  const stored = readObject(body);
  const to = typeof stored?.to === 'string' ? recipientOf(channel, stored.to) : null;
  if (to === null || !isFields(stored?.content)) return null;
  const content = inFull(stored.content);
  const type = content.message_type;
  if (typeof type !== 'string' || !Object.hasOwn(content, type)) return null;
  return {
    ...content,
    channel,
    to,
    from,
    client_ref: reference,
    ...(webhookUrl === null ? {} : { webhook_url: webhookUrl, webhook_version: 'v1' }),
  };
}

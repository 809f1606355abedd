/** Whom a message goes to, and who sends it. */

const WHATSAPP = 'whatsapp:';
const NUMBER = /^\+?([1-9]\d{4,14})$/;

/** Chooses a sender of its own for each message. */
export function isMessagingService(from: string): boolean {
  return /^MG[0-9a-f]{32}$/.test(from);
}

/**
 * The recipient as Twilio wants it: a number gets its `+`, and a WhatsApp sender reaches WhatsApp addresses only. Null
 * where it is no number, or not on the sender's side.
 */
export function recipientOf(from: string, to: string): string | null {
  const onWhatsApp = to.startsWith(WHATSAPP);
  const [, digits] = NUMBER.exec(onWhatsApp ? to.slice(WHATSAPP.length) : to) ?? [];
  if (digits === undefined) return null;
  if (from.startsWith(WHATSAPP)) return `${WHATSAPP}+${digits}`;
  if (onWhatsApp) return isMessagingService(from) ? `${WHATSAPP}+${digits}` : null;
  return `+${digits}`;
}

/** `X-Hub-Signature-256`: how Meta signs every webhook call, WhatsApp's, Messenger's and Instagram's alike. */
import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import type { WebhookCall, WebhookVerdict } from '../../engine/ports.ts';

const HEADER = 'x-hub-signature-256';
const PREFIX = 'sha256=';
const REFUSED: WebhookVerdict = { kind: 'refused', code: 'signature_invalid' };

/**
 * Verifies over the raw bytes against every app secret, so that one can be reset while calls of the old one are on
 * their way. The signature covers no time: a repeated call is verified again, which is harmless because what a call
 * carries is idempotent.
 */
export function createMetaVerifier(secrets: readonly string[]): (call: WebhookCall) => WebhookVerdict {
  const keys = secrets.map((secret) => createSecretKey(Buffer.from(secret)));
  return ({ headers, raw }) => {
    const header = headers[HEADER];
    const given = Buffer.from(typeof header === 'string' ? header : '');
    // Computed even where the header is missing: every fault takes the same way and the same time.
    const matches = keys.map((key) => {
      const expected = Buffer.from(PREFIX + createHmac('sha256', key).update(raw).digest('hex'));
      return given.length === expected.length && timingSafeEqual(given, expected);
    });
    return matches.includes(true) ? { kind: 'verified' } : REFUSED;
  };
}

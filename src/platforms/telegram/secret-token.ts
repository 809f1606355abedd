/** The shared secret that Telegram repeats with every update. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { WebhookCall, WebhookVerdict } from '../../engine/ports.ts';
import { RoomlineError } from '../../errors.ts';

const HEADER = 'x-telegram-bot-api-secret-token';

/**
 * Verifies against every secret, so that one can be replaced while Telegram still sends the other.
 * @throws RoomlineError `config_invalid` for a secret that `setWebhook` would refuse
 */
export function createVerifier(secrets: readonly string[]): (headers: WebhookCall['headers']) => WebhookVerdict {
  const expected = secrets.map((secret, index) => {
    if (!/^[A-Za-z0-9_-]{1,256}$/.test(secret)) {
      const rule = 'what setWebhook takes as secret_token: 1 to 256 of A-Z, a-z, 0-9, _ and -';
      throw new RoomlineError('config_invalid', { field: `webhookSecrets[${index}]`, rule });
    }
    return digest(secret);
  });
  return (headers) => {
    const given = headers[HEADER];
    // Digests have one length, and every secret is compared: neither length nor place of a match takes its own time.
    const actual = digest(typeof given === 'string' ? given : '');
    const matches = expected.map((one) => timingSafeEqual(one, actual));
    return matches.includes(true) ? { kind: 'verified' } : { kind: 'refused', code: 'signature_invalid' };
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

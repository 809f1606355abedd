/** The question with which Meta checks a webhook address before it uses it. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { WebhookCall } from '../../engine/ports.ts';
import type { Revealable } from '../platform.ts';

/** Meta asks to repeat a number; nothing that a browser could take for more is repeated. */
const CHALLENGE = /^[\w.-]{1,256}$/;

/**
 * Answers `GET …?hub.mode=subscribe&hub.challenge=…&hub.verify_token=…` with the challenge where the token is ours.
 * Null where no token is configured: then nobody may claim the address.
 */
export function createMetaHandshake(
  verifyToken: Revealable | undefined,
): ((call: WebhookCall) => string | null) | null {
  if (verifyToken === undefined) return null;
  const expected = digest(verifyToken.reveal());
  return ({ target }) => {
    const query = new URLSearchParams(target.slice(target.indexOf('?') + 1));
    const matches = timingSafeEqual(digest(query.get('hub.verify_token') ?? ''), expected);
    const challenge = query.get('hub.challenge') ?? '';
    return matches && query.get('hub.mode') === 'subscribe' && CHALLENGE.test(challenge) ? challenge : null;
  };
}

/** Of one length whatever the token's, so that comparing tells nothing about it. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Signed webhooks: a JWT by HMAC-SHA256 whose claim `payload_hash` is the digest of the body. */
import { createHash, createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import type { RefusedCall, WebhookCall, WebhookVerdict } from '../../engine/ports.ts';
import { type Fields, readObject } from '../fields.ts';

/** How far ahead of ours the time of a signature may be. */
export const LEEWAY_S = 300;
/**
 * How old a signature may be. Calls are repeated for a day, and nothing says that each is signed anew; that a call can
 * be repeated in that time is harmless because what it carries is idempotent.
 */
export const MAX_AGE_S = 86_400 + LEEWAY_S;

const BEARER = /^Bearer ([\w-]+)\.([\w-]+)\.([\w-]+)$/i;
const INVALID: RefusedCall = { kind: 'refused', code: 'signature_invalid' };
/**
 * A call that Vonage failed to sign, or one whose secret is not configured yet, is a status that would be lost: after a
 * 401 it is not repeated, after a 5xx it is, for a day.
 */
const UNVERIFIED: WebhookVerdict = { ...INVALID, retry: true };
const EXPIRED: WebhookVerdict = { kind: 'refused', code: 'signature_expired' };

/**
 * Verifies against every signature secret, so that one can be replaced while calls of the old one are on their way.
 * Nothing of a token is read before its signature fits, and its header is not asked how it was signed.
 * @param apiKey of the account, where it is known: a token of another account is none of ours
 */
export function createVonageVerifier(
  secrets: readonly string[],
  apiKey: string | null,
): (call: WebhookCall, wallClockMs: number) => WebhookVerdict {
  const keys = secrets.map((secret) => createSecretKey(Buffer.from(secret)));
  return ({ headers, raw }, wallClockMs) => {
    const { authorization } = headers;
    const [, head = '', payload = '', signature = ''] =
      BEARER.exec(typeof authorization === 'string' ? authorization : '') ?? [];
    const given = Buffer.from(signature);
    // Computed even where there is no token: every fault takes the same way and the same time.
    const matches = keys.map((key) =>
      equal(given, createHmac('sha256', key).update(`${head}.${payload}`).digest('base64url')),
    );
    const hash = createHash('sha256').update(raw).digest('hex');
    if (!matches.includes(true)) return UNVERIFIED;
    const claims = readObject(Buffer.from(payload, 'base64url'));
    if (claims === null || typeof claims.payload_hash !== 'string') return INVALID;
    if (!equal(Buffer.from(claims.payload_hash.toLowerCase()), hash)) return UNVERIFIED;
    if (apiKey !== null && claims.api_key !== undefined && claims.api_key !== apiKey) return INVALID;
    return judgeAge(claims, wallClockMs / 1_000);
  };
}

function judgeAge({ iat, exp }: Fields, nowS: number): WebhookVerdict {
  if (typeof iat !== 'number') return INVALID;
  const age = nowS - iat;
  const over = typeof exp === 'number' && nowS > exp + LEEWAY_S;
  return age > MAX_AGE_S || age < -LEEWAY_S || over ? EXPIRED : { kind: 'verified' };
}

/** Compared as text: of the spellings that decode to the same bytes only the standard one counts. */
function equal(given: Buffer, expected: string): boolean {
  const bytes = Buffer.from(expected);
  return given.length === bytes.length && timingSafeEqual(given, bytes);
}

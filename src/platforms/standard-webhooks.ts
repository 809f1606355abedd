/** Signatures as the Standard Webhooks specification describes them, over the raw bytes of a call. */
import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto';
import type { WebhookCall, WebhookVerdict } from '../engine/ports.ts';

/** How far the time of a signature may be from ours, either way. */
export const SIGNATURE_TOLERANCE_S = 300;

const TIMESTAMP = /^\d{1,12}$/;
const VERSION = 'v1,';
/** Announces a secret that is given in base64. */
const BASE64_PREFIX = 'whsec_';

/**
 * Verifies against every secret, so that one can be replaced while both sign. A repeated call inside the tolerance is
 * verified again: repetition is harmless because what a call carries is idempotent.
 */
export function createVerifier(
  secrets: readonly string[],
): (headers: WebhookCall['headers'], raw: Uint8Array, wallClockMs: number) => WebhookVerdict {
  const keys = secrets.map(keyOf);
  return (headers, raw, wallClockMs) => {
    const id = single(headers['webhook-id']);
    const timestamp = single(headers['webhook-timestamp']);
    const given = signatures(single(headers['webhook-signature']));
    // Computed even where a header is missing: every fault takes the same way and the same time.
    const expected = keys.map((key) => sign(key, id, timestamp, raw));
    const matches = expected.map((one) =>
      given.some((other) => one.length === other.length && timingSafeEqual(one, other)),
    );
    if (id === '' || !TIMESTAMP.test(timestamp) || !matches.includes(true)) {
      return { kind: 'refused', code: 'signature_invalid' };
    }
    const ageS = wallClockMs / 1_000 - Number(timestamp);
    if (Math.abs(ageS) > SIGNATURE_TOLERANCE_S) return { kind: 'refused', code: 'signature_expired' };
    return { kind: 'verified' };
  };
}

/** A key object is prepared once; raw bytes would be prepared again for every signature. */
function keyOf(secret: string): KeyObject {
  const inBase64 = secret.startsWith(BASE64_PREFIX);
  return createSecretKey(inBase64 ? Buffer.from(secret.slice(BASE64_PREFIX.length), 'base64') : Buffer.from(secret));
}

function sign(key: KeyObject, id: string, timestamp: string, raw: Uint8Array): Buffer {
  return Buffer.from(createHmac('sha256', key).update(`${id}.${timestamp}.`).update(raw).digest('base64'));
}

/** Compared as text: of the spellings that decode to the same bytes only the standard one counts. */
function signatures(header: string): Buffer[] {
  return header
    .split(' ')
    .filter((one) => one.startsWith(VERSION))
    .map((one) => Buffer.from(one.slice(VERSION.length)));
}

function single(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}

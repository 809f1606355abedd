/** `X-Twilio-Signature`: HMAC-SHA1 over the address as Twilio called it and the sorted parameters of the form. */
import { createHash, createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import type { WebhookCall, WebhookVerdict } from '../../engine/ports.ts';
import { queryOf, readForm } from './form.ts';

const HEADER = 'x-twilio-signature';
/** A callback has less than a kilobyte, an inbound message some more; what is larger is not even sorted. */
const MAX_SIGNED_BYTES = 65_536;
const REFUSED: WebhookVerdict = { kind: 'refused', code: 'signature_invalid' };

/**
 * Verifies against every auth token, so that the account's can be replaced while both sign. The signature covers no
 * time: a repeated call is verified again, which is harmless because what a call carries is idempotent.
 * @param webhookUrl the channel's address as the outside sees it; the path that reached us may be another behind a proxy
 */
export function createTwilioVerifier(
  authTokens: readonly string[],
  webhookUrl: string,
): (call: WebhookCall) => WebhookVerdict {
  const keys = authTokens.map((token) => createSecretKey(Buffer.from(token)));
  const addresses = spellingsOf(webhookUrl);
  return ({ target, headers, raw }) => {
    if (raw.length > MAX_SIGNED_BYTES) return REFUSED;
    const query = queryOf(target);
    const digest = new URLSearchParams(query).get('bodySHA256');
    const parameters = digest === null ? signedParameters(raw) : '';
    if (parameters === null) return REFUSED;
    const header = headers[HEADER];
    const given = Buffer.from(typeof header === 'string' ? header : '');
    // Computed even where the header is missing: every fault takes the same way and the same time.
    const matches = keys.flatMap((key) =>
      addresses.map((address) => equal(given, sign(key, `${address}${query}${parameters}`))),
    );
    const intact = digest === null || equal(Buffer.from(digest), Buffer.from(sha256(raw)));
    return matches.includes(true) && intact ? { kind: 'verified' } : REFUSED;
  };
}

/** With and without the port: Twilio's own libraries try both, since its senders do not agree on it. */
function spellingsOf(webhookUrl: string): readonly string[] {
  const { protocol, hostname, port, pathname } = new URL(webhookUrl);
  const usual = protocol === 'https:' ? '443' : '80';
  return [hostname, `${hostname}:${port === '' ? usual : port}`].map((host) => `${protocol}//${host}${pathname}`);
}

/** Names and values without anything between them; a value given twice counts once. Null where there is no form. */
function signedParameters(raw: Uint8Array): string | null {
  const form = readForm(raw);
  if (form === null) return null;
  const names = [...new Set(form.keys())].sort();
  return names
    .map((name) =>
      [...new Set(form.getAll(name))]
        .sort()
        .map((value) => name + value)
        .join(''),
    )
    .join('');
}

function sign(key: Parameters<typeof createHmac>[1], signed: string): Buffer {
  return Buffer.from(createHmac('sha1', key).update(signed).digest('base64'));
}

function sha256(raw: Uint8Array): string {
  return createHash('sha256').update(raw).digest('hex');
}

function equal(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

import { createHmac } from 'node:crypto';
import type { Answer, UnsignedCall } from './profile.ts';
import type { Refusal, SettingsPatch } from './settings.ts';

/** What WhatsApp, Messenger and Instagram have in common: Meta's Graph API and its webhooks. */

const HEADER = 'x-hub-signature-256';

/** JSON as Meta writes it: slashes and everything beyond ASCII are escaped, with lower-case digits. */
export const metaJson = (value: unknown): string =>
  JSON.stringify(value)
    .replaceAll('/', '\\/')
    .replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

const hmac = (algorithm: 'sha1' | 'sha256', secret: string, body: string): string =>
  `${algorithm}=${createHmac(algorithm, secret).update(body).digest('hex')}`;

/**
 * Headers and body of a webhook call. There is one signature at a time, so that `both` means the present secret; no
 * time is signed, so that `expired` means the scheme that is: SHA-1 alone.
 */
export const signMeta = ({ body, secrets, mode }: UnsignedCall): { headers: string[]; body: string } => {
  const secret =
    mode === 'wrong_key'
      ? `not ${secrets.present}`
      : mode === 'previous'
        ? (secrets.previous ?? secrets.present)
        : secrets.present;
  const headers = ['content-type', 'application/json', 'user-agent', 'facebookexternalua'];
  if (mode !== 'missing') headers.push('x-hub-signature', hmac('sha1', secret, body));
  if (mode !== 'missing' && mode !== 'expired') headers.push(HEADER, hmac('sha256', secret, body));
  return { headers, body: mode === 'tampered' ? `${body.slice(0, -1)} }` : body };
};

/** The question by which Meta checks a webhook address. */
export const metaChallenge = ({ verifyToken, challenge }: { verifyToken: string; challenge: string }) => {
  const query = new URLSearchParams({
    'hub.mode': 'subscribe',
    'hub.challenge': challenge,
    'hub.verify_token': verifyToken,
  });
  return { query: query.toString(), answer: challenge };
};

/** `/v25.0/{node}/messages`: who sends, as the path names it; undefined: another path. */
export const metaSender = (path: string): string | undefined =>
  /^\/v\d{1,3}\.\d{1,2}\/([A-Za-z0-9_]+)\/messages(?:\?|$)/.exec(path)?.[1];

/** `/v25.0/{node}/{edge}` by POST. */
export const isMetaUpload = (edge: string, method: string, path: string): boolean =>
  method === 'POST' && new RegExp(`^/v\\d{1,3}\\.\\d{1,2}/[A-Za-z0-9_]+/${edge}(?:\\?|$)`).test(path);

/** The wait of a refusal in the header that tells of a business's usage, in whole minutes. */
const usage = ({ retryAfterMs = 0, retryAfterIn = 'none' }: Refusal): string[] => {
  if (retryAfterIn === 'none' || retryAfterIn === 'body') return [];
  if (retryAfterIn === 'unreadable') return ['x-business-use-case-usage', 'soon'];
  const wait = { call_count: 100, total_cputime: 5, total_time: 5 };
  const minutes = Math.ceil(retryAfterMs / 60_000);
  const uses = [{ type: 'messaging', ...wait, estimated_time_to_regain_access: minutes }];
  return [
    'x-app-usage',
    JSON.stringify(wait),
    'x-business-use-case-usage',
    JSON.stringify({ '900000000000001': uses }),
  ];
};

export interface GraphErrorOptions {
  /** Of a refusal that names no number, such as one that only has an HTTP status. */
  defaultCode: number;
  subcode?: number | undefined;
  /** Further members of the error, such as WhatsApp's `error_data`. */
  more?: Record<string, unknown>;
}

/** A refusal as the Graph API tells it; the code is a number. A refusal without any body (`bare`) is told by its status. */
export const graphError = (refusal: Refusal, { defaultCode, subcode, more }: GraphErrorOptions): Answer => {
  const code = /^\d+$/.test(refusal.code ?? '') ? Number(refusal.code) : defaultCode;
  const error = {
    message: `(#${code}) ${refusal.message ?? 'refused'}`,
    type: 'OAuthException',
    code,
    error_subcode: subcode,
    ...more,
    fbtrace_id: `A${code}trace`,
  };
  return {
    status: refusal.status,
    headers: ['content-type', 'application/json; charset=UTF-8', ...usage(refusal)],
    body: metaJson({ error }),
  };
};

/** Meta tells a failed webhook again at once, then less and less often, for seven days. */
export const META_RETRY = {
  firstMs: 50,
  factor: 4,
  maxMs: 3_600_000,
  maxAgeMs: 604_800_000,
  on: 'anything',
} as const satisfies NonNullable<NonNullable<SettingsPatch['channel']>['webhooks']>['retry'];

/** Signatures of webhook calls: who may say something about a channel's messages. */
import { createHmac } from 'node:crypto';
import { NOW_MS, SECRETS, signed } from '../rig.ts';

export interface SignatureEntry {
  readonly name: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: string;
  readonly status: 200 | 401 | 404;
}

const MAIN = '/v1/webhooks/default/main';
const NOW_S = NOW_MS / 1_000;
// As no serialiser would write it: a signature holds for these bytes alone.
const BODY = '{ "statuses" : [ { "id":"gw-\\u0031", "status" : "delivered", "at": 1.7e12 } ] }';
const right = signed(BODY);
const signature = right['webhook-signature'];
const value = signature.slice('v1,'.length);
const old = signed(BODY, { secret: SECRETS.old })['webhook-signature'];

const hmac = (algorithm: string, secret: string, text: string) =>
  createHmac(algorithm, secret).update(text).digest('base64');
const entry = (
  name: string,
  headers: SignatureEntry['headers'],
  status: SignatureEntry['status'],
  { body = BODY, path = MAIN }: { body?: string; path?: string } = {},
): SignatureEntry => ({ name, path, headers, body, status });
const withSignature = (name: string, given: string, status: 200 | 401) =>
  entry(name, { ...right, 'webhook-signature': given }, status);
/** A time that the signature covers, however it is written. */
const at = (name: string, timestamp: string, status: 200 | 401) => {
  const digest = hmac('sha256', SECRETS.main, `call-1.${timestamp}.${BODY}`);
  const headers = { 'webhook-id': 'call-1', 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${digest}` };
  return entry(name, headers, status);
};
const aged = (seconds: number, status: 200 | 401) =>
  entry(`${seconds} s from now`, signed(BODY, { atS: NOW_S + seconds }), status);

function without(name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(right).filter(([key]) => key !== name));
}

export const SIGNATURES: readonly SignatureEntry[] = [
  entry('the right one', right, 200),
  entry('none', {}, 401),
  entry('no signature header', without('webhook-signature'), 401),
  entry('no id', without('webhook-id'), 401),
  entry('no time', without('webhook-timestamp'), 401),
  withSignature('empty', '', 401),
  withSignature('a version alone', 'v1,', 401),
  withSignature('a comma alone', ',', 401),
  withSignature('a space', ' ', 401),
  withSignature('without its version', value, 401),
  withSignature('of another version', `v2,${value}`, 401),
  withSignature('of the asymmetric version', `v1a,${value}`, 401),
  withSignature('of a version in capitals', `V1,${value}`, 401),
  withSignature('too short', 'v1,QUJD', 401),
  withSignature('too long', `${signature}AAAA`, 401),
  withSignature('of one character less', signature.slice(0, -1), 401),
  withSignature('without its padding', signature.replace(/=+$/, ''), 401),
  withSignature('with more padding', `${signature}=`, 401),
  withSignature('of 15,000 characters', `v1,${'A'.repeat(15_000)}`, 401),
  withSignature('of 2,000 wrong ones', Array(2_000).fill('v1,AAAA').join(' '), 401),
  withSignature('of the same length', `v1,${'A'.repeat(value.length)}`, 401),
  withSignature('in hexadecimal', `v1,${Buffer.from(value, 'base64').toString('hex')}`, 401),
  withSignature('in hexadecimal capitals', `v1,${Buffer.from(value, 'base64').toString('hex').toUpperCase()}`, 401),
  withSignature('in hexadecimal as GitHub does', `sha256=${Buffer.from(value, 'base64').toString('hex')}`, 401),
  withSignature('in capitals', signature.toUpperCase(), 401),
  withSignature('in base64url', `v1,${Buffer.from(value, 'base64').toString('base64url')}`, 401),
  withSignature('with another spelling of the same bytes', respelt(signature), 401),
  withSignature('of other letters', 'v1,ÿÿÿÿ', 401),
  withSignature('with a quotation mark around it', `"${signature}"`, 401),
  withSignature('two, the second right', `v1,AAAA ${signature}`, 200),
  withSignature('two, the first right', `${signature} v1,AAAA`, 200),
  withSignature('two right ones of two secrets', `${old} ${signature}`, 200),
  withSignature('among other versions', `v1a,AAAA ${signature} v3,x`, 200),
  withSignature('after 100 wrong ones', `${'v1,AAAA '.repeat(100)}${signature}`, 200),
  withSignature('with two spaces', `  ${signature}`, 200),
  withSignature('two with a comma between them', `v1,AAAA,${signature}`, 401),
  entry('two headers, one right', { ...right, 'webhook-signature': [`v1,AAAA`, signature] }, 200),
  entry('two times', { ...right, 'webhook-timestamp': [String(NOW_S), String(NOW_S)] }, 401),
  entry('two ids', { ...right, 'webhook-id': ['call-1', 'call-1'] }, 401),
  entry('by a stranger', signed(BODY, { secret: 'a stranger without a bird' }), 401),
  entry('by an empty secret', signed(BODY, { secret: '' }), 401),
  entry('by the old secret while both sign', signed(BODY, { secret: SECRETS.old }), 200),
  entry('by the old secret once it is removed', signed(BODY, { secret: SECRETS.old }), 401, {
    path: '/v1/webhooks/default/rotated',
  }),
  entry('by the new secret once the old is removed', right, 200, { path: '/v1/webhooks/default/rotated' }),
  entry('by both secrets once the old is removed', { ...right, 'webhook-signature': `${old} ${signature}` }, 200, {
    path: '/v1/webhooks/default/rotated',
  }),
  entry('of another channel', right, 401, { path: '/v1/webhooks/default/second' }),
  entry('of another tenant', right, 401, { path: '/v1/webhooks/acme/main' }),
  entry("of another tenant's secret", signed(BODY, { secret: SECRETS.acme }), 401),
  entry('at a channel that nobody configured', right, 404, { path: '/v1/webhooks/default/nowhere' }),
  entry('at a tenant that nobody configured', right, 404, { path: '/v1/webhooks/stranger/main' }),
  entry('at a channel called __proto__', right, 404, { path: '/v1/webhooks/default/__proto__' }),
  entry('over the same JSON written anew', signed(JSON.stringify(JSON.parse(BODY))), 401),
  entry('over its own body, written anew', signed(BODY), 401, { body: JSON.stringify(JSON.parse(BODY)) }),
  entry('over a body of one byte more', right, 401, { body: `${BODY} ` }),
  entry('over a body of one byte less', right, 401, { body: BODY.slice(0, -1) }),
  entry('over a body with one byte changed', right, 401, { body: BODY.replace('delivered', 'deliverec') }),
  entry('over no body', right, 401, { body: '' }),
  entry('over the body alone', { ...right, 'webhook-signature': `v1,${hmac('sha256', SECRETS.main, BODY)}` }, 401),
  entry(
    'over body and time',
    { ...right, 'webhook-signature': `v1,${hmac('sha256', SECRETS.main, `${NOW_S}.${BODY}`)}` },
    401,
  ),
  entry(
    'with SHA-1',
    { ...right, 'webhook-signature': `v1,${hmac('sha1', SECRETS.main, `call-1.${NOW_S}.${BODY}`)}` },
    401,
  ),
  entry(
    'with SHA-512',
    { ...right, 'webhook-signature': `v1,${hmac('sha512', SECRETS.main, `call-1.${NOW_S}.${BODY}`)}` },
    401,
  ),
  entry('with another id', { ...right, 'webhook-id': 'call-2' }, 401),
  entry('with an empty id', signed(BODY, { id: '' }), 401),
  entry('with an id of 10,000 characters', signed(BODY, { id: 'x'.repeat(10_000) }), 200),
  entry('with an id called __proto__', signed(BODY, { id: '__proto__' }), 200),
  entry('with another time', { ...right, 'webhook-timestamp': String(NOW_S + 1) }, 401),
  aged(-299, 200),
  aged(-300, 200),
  aged(-301, 401),
  aged(299, 200),
  aged(300, 200),
  aged(301, 401),
  aged(-86_400, 401),
  aged(86_400, 401),
  at('a time of NaN', 'NaN', 401),
  at('a time of Infinity', 'Infinity', 401),
  at('an empty time', '', 401),
  at('a time in ms', String(NOW_MS), 401),
  at('a time with a fraction', `${NOW_S}.5`, 401),
  at('a time with a sign', `+${NOW_S}`, 401),
  at('a time below nought', `-${NOW_S}`, 401),
  at('a time in hexadecimal', `0x${NOW_S.toString(16)}`, 401),
  at('a time with an exponent', '1.7672256e9', 401),
  at('a time with leading noughts', `00${NOW_S}`, 200),
  at('a time of 10,000 digits', '9'.repeat(10_000), 401),
  at('a time in words', 'Thu, 01 Jan 2026 00:00:00 GMT', 401),
  at('a time of nought', '0', 401),
  at('a time in other digits', '\u00b9\u00b2', 401),
  entry('with compressed bytes announced', { ...right, 'content-encoding': 'gzip' }, 200),
  entry('with a header called __proto__', { ...right, __proto__x: 'x', constructor: 'x' }, 200),
];

/** The last character before the padding carries spare bits: another one decodes to the same bytes. */
function respelt(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const at = text.indexOf('=') - 1;
  return `${text.slice(0, at)}${alphabet[alphabet.indexOf(text[at] as string) + 1]}${text.slice(at + 1)}`;
}

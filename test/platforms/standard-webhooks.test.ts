import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createVerifier } from '../../src/platforms/standard-webhooks.ts';

const NOW_MS = 1_700_000_000_000;
const NOW_S = NOW_MS / 1_000;
const SECRET = 'the present secret';
const OLD = 'the old secret of before';
const RAW = Buffer.from('{ "statuses": [ {"id":"gw-1","status":"delivered"} ] }');

const verify = createVerifier([SECRET, OLD]);

function signature(change: { secret?: string | Buffer; id?: string; timestamp?: number | string; raw?: Buffer } = {}) {
  const { secret = SECRET, id = 'call-1', timestamp = NOW_S, raw = RAW } = change;
  return `v1,${createHmac('sha256', secret).update(`${id}.${timestamp}.`).update(raw).digest('base64')}`;
}

function headers(change: Record<string, string | string[] | undefined> = {}) {
  return {
    'webhook-id': 'call-1',
    'webhook-timestamp': String(NOW_S),
    'webhook-signature': signature(),
    ...change,
  };
}

const VERIFIED = { kind: 'verified' };
const INVALID = { kind: 'refused', code: 'signature_invalid' };
const EXPIRED = { kind: 'refused', code: 'signature_expired' };

describe('a signature that is accepted', () => {
  it.each([
    ['by the present secret', signature()],
    ['by the old secret while both are configured', signature({ secret: OLD })],
    ['by both', `${signature()} ${signature({ secret: OLD })}`],
    ['by a stranger and by us', `${signature({ secret: 'stranger' })} ${signature()}`],
    ['after one of another version', `v1a,${'A'.repeat(86)}== v2,x ${signature()}`],
  ])('%s', (_what, given) => {
    expect(verify(headers({ 'webhook-signature': given }), RAW, NOW_MS)).toEqual(VERIFIED);
  });

  it('is accepted again when the call is repeated', () => {
    expect(verify(headers(), RAW, NOW_MS)).toEqual(VERIFIED);
    expect(verify(headers(), RAW, NOW_MS + 60_000)).toEqual(VERIFIED);
  });

  it('uses the bytes of a secret that is given in base64', () => {
    const key = Buffer.from('00ff10ab'.repeat(8), 'hex');
    const encoded = createVerifier([`whsec_${key.toString('base64')}`]);
    expect(encoded(headers({ 'webhook-signature': signature({ secret: key }) }), RAW, NOW_MS)).toEqual(VERIFIED);
  });

  it('takes an empty body for what it is', () => {
    const raw = Buffer.alloc(0);
    expect(verify(headers({ 'webhook-signature': signature({ raw }) }), raw, NOW_MS)).toEqual(VERIFIED);
  });
});

describe('a signature that is refused', () => {
  const right = signature().slice(3);

  it.each<[string, Record<string, string | string[] | undefined>]>([
    ['missing', { 'webhook-signature': undefined }],
    ['empty', { 'webhook-signature': '' }],
    ['of a wrong length', { 'webhook-signature': 'v1,AAAA' }],
    ['of no length', { 'webhook-signature': 'v1,' }],
    ['without a version', { 'webhook-signature': right }],
    ['of another version', { 'webhook-signature': `v2,${right}` }],
    [
      'in hexadecimal capitals',
      { 'webhook-signature': `v1,${Buffer.from(right, 'base64').toString('hex').toUpperCase()}` },
    ],
    ['in base64url', { 'webhook-signature': `v1,${Buffer.from(right, 'base64').toString('base64url')}` }],
    ['with a character added', { 'webhook-signature': `v1,${right}=` }],
    ['in other letters of the same length', { 'webhook-signature': `v1,${'é'.repeat(44)}` }],
    ['by a removed secret', { 'webhook-signature': signature({ secret: 'removed long ago' }) }],
    ['over another id', { 'webhook-id': 'call-2' }],
    ['over another time', { 'webhook-timestamp': String(NOW_S + 1) }],
    ['without an id', { 'webhook-id': undefined, 'webhook-signature': signature({ id: '' }) }],
    ['without a time', { 'webhook-timestamp': undefined, 'webhook-signature': signature({ timestamp: '' }) }],
    ['with no time', { 'webhook-timestamp': 'NaN', 'webhook-signature': signature({ timestamp: 'NaN' }) }],
    ['with an odd time', { 'webhook-timestamp': '1e9', 'webhook-signature': signature({ timestamp: '1e9' }) }],
    ['with repeated headers', { 'webhook-signature': [signature(), signature()] }],
  ])('%s', (_what, change) => {
    expect(verify(headers(change), RAW, NOW_MS)).toEqual(INVALID);
  });

  it('when any byte of the body is changed', () => {
    for (let at = 0; at < RAW.length; at++) {
      const changed = Buffer.from(RAW);
      changed[at] = (changed[at] as number) ^ 1;
      expect(verify(headers(), changed, NOW_MS)).toEqual(INVALID);
    }
  });

  it('when it is right over the same JSON written anew', () => {
    const anew = Buffer.from(JSON.stringify(JSON.parse(RAW.toString())));
    expect(verify(headers({ 'webhook-signature': signature({ raw: anew }) }), RAW, NOW_MS)).toEqual(INVALID);
  });

  it('by the old secret once it is removed', () => {
    expect(createVerifier([SECRET])(headers({ 'webhook-signature': signature({ secret: OLD }) }), RAW, NOW_MS)).toEqual(
      INVALID,
    );
  });
});

describe('the age of a signature', () => {
  it.each([
    [-301, EXPIRED],
    [-299, VERIFIED],
    [0, VERIFIED],
    [299, VERIFIED],
    [301, EXPIRED],
  ])('%i s off', (offset, expected) => {
    const timestamp = NOW_S + offset;
    const given = headers({
      'webhook-timestamp': String(timestamp),
      'webhook-signature': signature({ timestamp }),
    });
    expect(verify(given, RAW, NOW_MS)).toEqual(expected);
  });
});

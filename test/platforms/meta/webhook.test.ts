import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WebhookCall } from '../../../src/engine/ports.ts';
import { createMetaHandshake } from '../../../src/platforms/meta/handshake.ts';
import { createMetaVerifier } from '../../../src/platforms/meta/signature.ts';

const SECRET = 'demo-app-secret';
const BODY = '{"object":"whatsapp_business_account","entry":[]}';
const SIGNATURE = 'sha256=d6003bedf605fdf46943662e7d2065e132f4b26764d6ec946ba3fae527acafc2';

function post(raw: string | Uint8Array, signature: string | string[] | undefined): WebhookCall {
  return {
    method: 'POST',
    target: '/v1/webhooks/default/main',
    headers: { 'x-hub-signature-256': signature },
    raw: typeof raw === 'string' ? Buffer.from(raw) : raw,
  };
}

function sign(secret: string, raw: string | Uint8Array): string {
  return `sha256=${createHmac('sha256', secret).update(raw).digest('hex')}`;
}

const VERIFIED = { kind: 'verified' };
const REFUSED = { kind: 'refused', code: 'signature_invalid' };

describe('the signature of a call', () => {
  const verify = createMetaVerifier([SECRET]);

  it('is that of the known vector', () => {
    expect(verify(post(BODY, SIGNATURE))).toEqual(VERIFIED);
  });

  it.each<[string, string, string | string[] | undefined]>([
    ['a byte more', `${BODY} `, SIGNATURE],
    ['a byte less', BODY.slice(1), SIGNATURE],
    ['other white space, as when JSON is written again', BODY.replace(':', ': '), SIGNATURE],
    ['no body', '', SIGNATURE],
    ['no header', BODY, undefined],
    ['an empty header', BODY, ''],
    ['two headers', BODY, [SIGNATURE, SIGNATURE]],
    ['no prefix', BODY, SIGNATURE.slice(7)],
    ['upper case', BODY, SIGNATURE.toUpperCase()],
    ['a shorter digest', BODY, SIGNATURE.slice(0, -2)],
    ['a longer digest', BODY, `${SIGNATURE}00`],
    ['another digest', BODY, SIGNATURE.replace('d6', 'd7')],
    ['the old scheme', BODY, `sha1=${createHmac('sha1', SECRET).update(BODY).digest('hex')}`],
    ['another secret', BODY, sign('another', BODY)],
    ['an empty secret', BODY, sign('', BODY)],
    ['letters beyond ASCII', BODY, SIGNATURE.replace('d6', 'ď6')],
  ])('is refused for %s', (_what, raw, signature) => {
    expect(verify(post(raw, signature))).toEqual(REFUSED);
  });

  it('may come from any of the secrets while one replaces another', () => {
    const both = createMetaVerifier(['the new one', SECRET]);
    expect(both(post(BODY, SIGNATURE))).toEqual(VERIFIED);
    expect(both(post(BODY, sign('the new one', BODY)))).toEqual(VERIFIED);
    expect(both(post(BODY, sign('a third', BODY)))).toEqual(REFUSED);
    expect(createMetaVerifier(['the new one'])(post(BODY, SIGNATURE))).toEqual(REFUSED);
  });

  it('is refused where no secret is configured', () => {
    expect(createMetaVerifier([])(post(BODY, SIGNATURE))).toEqual(REFUSED);
  });

  it('covers the raw bytes, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), (raw, position) => {
        const signature = sign(SECRET, raw);
        expect(verify(post(raw, signature))).toEqual(VERIFIED);
        const changed = Uint8Array.from(raw);
        const at = position % raw.length;
        changed[at] = (changed[at] as number) ^ 1;
        expect(verify(post(changed, signature))).toEqual(REFUSED);
      }),
      { numRuns: 100 },
    );
  });
});

describe('the question whose the address is', () => {
  const handshake = createMetaHandshake({ reveal: () => 'a token of ours & more' });

  function ask(query: Record<string, string> | string): string | null | undefined {
    const text = typeof query === 'string' ? query : new URLSearchParams(query).toString();
    return handshake?.({ method: 'GET', target: `/v1/webhooks/a/b?${text}`, headers: {}, raw: new Uint8Array() });
  }

  const right = {
    'hub.mode': 'subscribe',
    'hub.challenge': '1158201444',
    'hub.verify_token': 'a token of ours & more',
  };

  it('is answered with its challenge where the token is ours', () => {
    expect(ask(right)).toBe('1158201444');
  });

  it.each<[string, Record<string, string> | string]>([
    ['another token', { ...right, 'hub.verify_token': 'a token of ours & mor' }],
    ['an empty token', { ...right, 'hub.verify_token': '' }],
    ['no token', { 'hub.mode': 'subscribe', 'hub.challenge': '1' }],
    ['another mode', { ...right, 'hub.mode': 'unsubscribe' }],
    ['no challenge', { 'hub.mode': 'subscribe', 'hub.verify_token': right['hub.verify_token'] }],
    ['a challenge that is a document', { ...right, 'hub.challenge': '<script>1</script>' }],
    ['a challenge without end', { ...right, 'hub.challenge': '1'.repeat(257) }],
    ['nothing', ''],
    ['a query that is none', '%%%=&&&hub.mode'],
  ])('is not answered for %s', (_what, query) => {
    expect(ask(query)).toBeNull();
  });

  it('is not answered without a query', () => {
    expect(handshake?.({ method: 'GET', target: '/v1/webhooks/a/b', headers: {}, raw: new Uint8Array() })).toBeNull();
  });

  it('is nobody’s to answer where no token is configured', () => {
    expect(createMetaHandshake(undefined)).toBeNull();
  });
});

import { createHash, createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StatusItem, WebhookCall } from '../../../src/engine/ports.ts';
import { RoomlineError } from '../../../src/errors.ts';
import { createTwilioVerifier } from '../../../src/platforms/twilio/signature.ts';
import { createStatusReader } from '../../../src/platforms/twilio/statuses.ts';
import { ACCOUNT, OLD_TOKEN, REFERENCE, TOKEN } from './support.ts';

const PUBLIC = 'https://hooks.example.test/twilio/status';
const PATH = '/twilio/status';
const VECTOR = {
  From: '+15550100002',
  MessageSid: 'SM00000000000000000000000000000001',
  MessageStatus: 'delivered',
  To: '+15550100001',
};

function callOf(
  form: Record<string, string> | string,
  signature: string | string[] | undefined,
  target = `${PATH}?mid=01HZX`,
): WebhookCall {
  const raw = Buffer.from(typeof form === 'string' ? form : new URLSearchParams(form).toString());
  const headers = { 'content-type': 'application/x-www-form-urlencoded', 'x-twilio-signature': signature };
  return { method: 'POST', target, headers, raw };
}

function signed(url: string, form: Record<string, string>, token = TOKEN): string {
  const data = Object.keys(form)
    .sort()
    .map((name) => name + form[name])
    .join('');
  return createHmac('sha1', token)
    .update(url + data)
    .digest('base64');
}

const verify = createTwilioVerifier([TOKEN, OLD_TOKEN], PUBLIC);
const read = createStatusReader(ACCOUNT);

describe('the signature', () => {
  it('of the reference vector is right, and no other', () => {
    expect(verify(callOf(VECTOR, 'uegFBIm9pQM8qfO094Tb2npYSC4='))).toEqual({ kind: 'verified' });
    const refused = { kind: 'refused', code: 'signature_invalid' };
    for (const call of [
      callOf({ ...VECTOR, MessageStatus: 'failed' }, 'uegFBIm9pQM8qfO094Tb2npYSC4='),
      callOf({ ...VECTOR, Extra: '' }, 'uegFBIm9pQM8qfO094Tb2npYSC4='),
      callOf(VECTOR, 'uegFBIm9pQM8qfO094Tb2npYSC4'),
      callOf(VECTOR, ''),
      callOf(VECTOR, undefined),
      callOf(VECTOR, ['uegFBIm9pQM8qfO094Tb2npYSC4=', 'x']),
      callOf(VECTOR, 'uegFBIm9pQM8qfO094Tb2npYSC4=', PATH),
      callOf(VECTOR, 'uegFBIm9pQM8qfO094Tb2npYSC4=', `${PATH}?mid=01HZY`),
      callOf(VECTOR, 'uegFBIm9pQM8qfO094Tb2npYSC4=', `${PATH}?mid=01HZX&`),
    ]) {
      expect(verify(call)).toEqual(refused);
    }
  });

  it('of Twilio’s own example is right', () => {
    const example = createTwilioVerifier(['12345'], 'https://example.com/myapp.php');
    const form = {
      CallSid: 'CA1234567890ABCDE',
      Caller: '+14158675310',
      Digits: '1234',
      From: '+14158675310',
      To: '+18005551212',
    };
    const call = callOf(form, 'L/OH5YylLD5NRKLltdqwSvS0BnU=', '/myapp.php?foo=1&bar=2');
    expect(example(call)).toEqual({ kind: 'verified' });
  });

  it.each([
    ['https://h.test/w', 'https://h.test/w', true],
    ['https://h.test/w', 'https://h.test:443/w', true],
    ['https://h.test:443/w', 'https://h.test/w', true],
    ['https://h.test:443/w', 'https://h.test:443/w', true],
    ['https://h.test:8443/w', 'https://h.test:8443/w', true],
    ['https://h.test:8443/w', 'https://h.test/w', true],
    ['http://h.test/w', 'http://h.test:80/w', true],
    ['https://h.test/w', 'http://h.test/w', false],
    ['https://h.test/w', 'https://h.test:8443/w', false],
    ['https://h.test/w', 'https://other.test/w', false],
    ['https://h.test/w', 'https://h.test/w/', false],
  ])('for the public address %s over %s: %s', (publicUrl, url, valid) => {
    const query = `?reference=${REFERENCE}`;
    // The path behind a proxy may be another: the public one counts.
    const call = callOf(VECTOR, signed(url + query, VECTOR), `/behind/a/proxy${query}`);
    expect(createTwilioVerifier([TOKEN], publicUrl)(call).kind === 'verified').toBe(valid);
  });

  it('does not cover the fragment', () => {
    const query = `?reference=${REFERENCE}`;
    expect(verify(callOf(VECTOR, signed(PUBLIC + query, VECTOR), PATH + query)).kind).toBe('verified');
    const withFragment = signed(`${PUBLIC}${query}#rc=5&rp=all`, VECTOR);
    expect(verify(callOf(VECTOR, withFragment, PATH + query)).kind).toBe('refused');
  });

  it('may be made with either of two tokens, and with no third', () => {
    const query = '?reference=x';
    for (const [token, kind] of [
      [TOKEN, 'verified'],
      [OLD_TOKEN, 'verified'],
      ['another token', 'refused'],
    ] as const) {
      expect(verify(callOf(VECTOR, signed(PUBLIC + query, VECTOR, token), PATH + query)).kind).toBe(kind);
    }
  });

  it('covers names that are given twice, capitals before small letters, and what was escaped', () => {
    const data = `${PUBLIC}AAA1AAA2B+bÄ ü`;
    const signature = createHmac('sha1', TOKEN).update(data).digest('base64');
    const form = 'b=%C3%84+%C3%BC&AA=A2&AA=A1&AA=A2&B=%2B';
    expect(verify(callOf(form, signature, PATH)).kind).toBe('verified');
  });

  it('of JSON covers the digest in the query, and the digest the body', () => {
    const body = '{"MessageSid":"SM1","MessageStatus":"sent"}';
    const digest = createHash('sha256').update(body).digest('hex');
    const query = `?reference=${REFERENCE}&bodySHA256=${digest}`;
    const signature = signed(PUBLIC + query, {});
    expect(verify(callOf(body, signature, PATH + query)).kind).toBe('verified');
    expect(verify(callOf(`${body} `, signature, PATH + query)).kind).toBe('refused');
    expect(verify(callOf(body, signed(PUBLIC, {}), PATH)).kind).toBe('refused');
    const other = query.replace(digest, 'f'.repeat(64));
    expect(verify(callOf(body, signature, PATH + other)).kind).toBe('refused');
  });

  it('is refused where the body is no text, or far too large', () => {
    const signature = signed(PUBLIC, {});
    const call = { ...callOf('', signature, PATH), raw: Buffer.from([0xff, 0xfe]) };
    expect(verify(call).kind).toBe('refused');
    const large = { A: 'x'.repeat(70_000) };
    expect(verify(callOf(large, signed(PUBLIC, large), PATH)).kind).toBe('refused');
  });

  it('of any call is judged without an exception', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.string(), fc.string(), (raw, target, header) => {
        const call = { method: 'POST', target, headers: { 'x-twilio-signature': header }, raw } as const;
        expect(verify(call)).toEqual({ kind: 'refused', code: 'signature_invalid' });
      }),
    );
  });
});

const SID = 'SM00000000000000000000000000000001';

function readForm(form: Record<string, string>, query = `?reference=${REFERENCE}`): StatusItem | undefined {
  const items = read(callOf({ MessageSid: SID, AccountSid: ACCOUNT, ...form }, '', PATH + query));
  expect(items).toHaveLength(1);
  return items[0];
}

describe('a callback', () => {
  it.each([
    ['scheduled', 'accepted'],
    ['accepted', 'accepted'],
    ['queued', 'accepted'],
    ['sending', 'accepted'],
    ['sent', 'sent'],
    ['partially_delivered', 'sent'],
    ['delivered', 'delivered'],
    ['read', 'read'],
  ])('of %s reaches %s', (status, level) => {
    expect(readForm({ MessageStatus: status })).toEqual({
      kind: 'status',
      reference: REFERENCE,
      platformId: SID,
      level,
      nack: null,
      at: null,
      cumulative: false,
    });
  });

  it.each([
    [{ MessageStatus: 'undelivered', ErrorCode: '30005' }, '30005', true, 'room'],
    [{ MessageStatus: 'failed', ErrorCode: '30001' }, '30001', false, 'channel'],
    [{ MessageStatus: 'failed', ErrorCode: '' }, 'failed', true, 'message'],
    [{ MessageStatus: 'undelivered' }, 'undelivered', true, 'message'],
    [{ MessageStatus: 'undelivered', ErrorCode: 'x' }, 'undelivered', true, 'message'],
    [{ MessageStatus: 'canceled' }, 'canceled', true, 'message'],
    [{ SmsStatus: 'failed', ErrorCode: '99999' }, '99999', true, 'message'],
  ])('of %j is a failure: %s', (form, code, permanent, scope) => {
    expect(readForm(form)).toMatchObject({ level: null, nack: { code, permanent, scope } });
  });

  it.each<[Record<string, string>, string, string, string]>([
    [{ SmsStatus: 'received', Body: 'Hi' }, '', 'other', 'inbound_message'],
    [{ SmsStatus: 'receiving' }, '', 'other', 'inbound_message'],
    [{ CallSid: 'CA1' }, '', 'other', 'no_status'],
    [{ MessageStatus: 'sent', AccountSid: `AC${'9'.repeat(32)}` }, '', 'other', 'other_account'],
    [{ MessageStatus: 'sent', MessageSid: '' }, '', 'unreadable', 'message_unnamed'],
    [{ MessageStatus: 'sent', MessageSid: 's'.repeat(513) }, '?reference=a/b', 'unreadable', 'message_unnamed'],
    [{ MessageStatus: 'pondered' }, '', 'unreadable', 'status_unknown'],
    [{ MessageStatus: 'constructor' }, '', 'unreadable', 'status_unknown'],
    [{ MessageStatus: '' }, '', 'unreadable', 'status_unknown'],
  ])('of %j%s is %s: %s', (form, query, kind, code) => expect(readForm(form, query)).toEqual({ kind, code }));

  it('without our reference is found by its SID, also by its old name', () => {
    expect(readForm({ MessageStatus: 'sent' }, '')).toMatchObject({ reference: null, platformId: SID });
    const old = callOf({ SmsSid: SID, SmsStatus: 'sent' }, '', PATH);
    expect(read(old)).toMatchObject([{ reference: null, platformId: SID, level: 'sent' }]);
  });

  it('in JSON is read likewise', () => {
    const target = `${PATH}?reference=${REFERENCE}&bodySHA256=x`;
    const call = (body: string) => callOf(body, '', target);
    expect(read(call(`{"MessageSid":"${SID}","MessageStatus":"sent"}`))).toMatchObject([{ level: 'sent' }]);
    expect(read(call('[{"specversion":"1.0"}]'))).toEqual([{ kind: 'unreadable', code: 'item_type' }]);
    expect(() => read(call('{'))).toThrow(RoomlineError);
  });

  it('of any bytes gives one item or a coded error', () => {
    const target = fc.constantFrom(PATH, `${PATH}?reference=${REFERENCE}`, `${PATH}?bodySHA256=x`, '?', '');
    const form = fc
      .dictionary(
        fc.constantFrom('MessageStatus', 'SmsStatus', 'MessageSid', 'ErrorCode', 'AccountSid', '__proto__'),
        fc.oneof(fc.string(), fc.constantFrom('sent', 'failed', '30003', 'toString')),
      )
      .map((parameters) => Buffer.from(new URLSearchParams(parameters).toString()));
    const raw = fc.oneof(
      fc.uint8Array(),
      form,
      fc.json().map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(raw, target, (bytes, to) => {
        try {
          const items = read({ method: 'POST', target: to, headers: {}, raw: bytes });
          expect(items).toHaveLength(1);
        } catch (error) {
          expect(error).toBeInstanceOf(RoomlineError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

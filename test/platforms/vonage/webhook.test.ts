import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../../src/errors.ts';
import { createVonageVerifier, LEEWAY_S, MAX_AGE_S } from '../../../src/platforms/vonage/signature.ts';
import { MAX_STATUSES, readStatuses } from '../../../src/platforms/vonage/statuses.ts';
import { API_KEY, callOf, NOW_MS, OLD_SECRET, REFERENCE, SECRET, sha256, withAuthorization } from './support.ts';

const BODY = '{"message_uuid":"00000000-0000-4000-8000-000000000001","status":"submitted"}';
const UUID = '00000000-0000-4000-8000-000000000001';
const NOW_S = NOW_MS / 1_000;

const verifier = createVonageVerifier([SECRET, OLD_SECRET], API_KEY);
const verify = (call: ReturnType<typeof callOf>) => verifier(call, NOW_MS);
const INVALID = { kind: 'refused', code: 'signature_invalid' };
/** Vonage repeats what it signed wrongly, or not at all, after a 5xx only. */
const UNVERIFIED = { ...INVALID, retry: true };
const EXPIRED = { kind: 'refused', code: 'signature_expired' };

describe('the signature', () => {
  it('covers the body by the digest of the reference vector', () => {
    expect(sha256(BODY)).toBe('34875e363fb2f7a8d2f7678b32b76468e9b0f473851d16a17506116a33f403b2');
    expect(verify(callOf(BODY))).toEqual({ kind: 'verified' });
    const payload_hash = '34875e363fb2f7a8d2f7678b32b76468e9b0f473851d16a17506116a33f403b2';
    expect(verify(callOf(BODY, { payload_hash: payload_hash.toUpperCase() }))).toEqual({ kind: 'verified' });
    expect(verify({ ...callOf(BODY), raw: Buffer.from(`${BODY} `) })).toEqual(UNVERIFIED);
    for (const hash of ['', payload_hash.slice(1), sha256('other')]) {
      expect(verify(callOf(BODY, { payload_hash: hash }))).toEqual(UNVERIFIED);
    }
    for (const hash of [undefined, null, 7]) {
      expect(verify(callOf(BODY, { payload_hash: hash }))).toEqual(INVALID);
    }
  });

  it('may be made with either of two secrets, and with no third', () => {
    expect(verify(callOf(BODY, {}, { secret: OLD_SECRET }))).toEqual({ kind: 'verified' });
    expect(verify(callOf(BODY, {}, { secret: 'another secret' }))).toEqual(UNVERIFIED);
    expect(createVonageVerifier([], null)(callOf(BODY), NOW_MS)).toEqual(UNVERIFIED);
  });

  it('is missed where the token is not there, not signed or not whole', () => {
    const right = String(callOf(BODY).headers.authorization);
    const [head, payload, signature = ''] = right.replace('Bearer ', '').split('.');
    const none = Buffer.from('{"alg":"none"}').toString('base64url');
    for (const authorization of [
      undefined,
      '',
      'Bearer ',
      `Basic ${Buffer.from('a:b').toString('base64')}`,
      `Bearer ${head}.${payload}`,
      `Bearer ${head}.${payload}.`,
      `Bearer ${none}.${payload}.`,
      `Bearer ${none}.${payload}.${signature}`,
      `Bearer ${head}.${payload}.${signature.slice(0, -1)}`,
      `Bearer ${head}.${payload}.${signature}=`,
      `${right}.more`,
      ` ${right}`,
    ]) {
      expect(verify(withAuthorization(BODY, authorization))).toEqual(UNVERIFIED);
    }
    expect(verify(withAuthorization(BODY, right.replace('Bearer', 'bearer')))).toEqual({ kind: 'verified' });
  });

  it.each([
    [{ iat: NOW_S - MAX_AGE_S }, { kind: 'verified' }],
    [{ iat: NOW_S - MAX_AGE_S - 1 }, EXPIRED],
    [{ iat: NOW_S + LEEWAY_S }, { kind: 'verified' }],
    [{ iat: NOW_S + LEEWAY_S + 1 }, EXPIRED],
    [{ exp: NOW_S - LEEWAY_S }, { kind: 'verified' }],
    [{ exp: NOW_S - LEEWAY_S - 1 }, EXPIRED],
    [{ iat: undefined }, INVALID],
    [{ iat: 'now' }, INVALID],
    [{ api_key: undefined }, { kind: 'verified' }],
    [{ api_key: 'another' }, INVALID],
    [{ application_id: 'any' }, { kind: 'verified' }],
  ])('with the claims %j', (claims, verdict) => expect(verify(callOf(BODY, claims))).toEqual(verdict));

  it('of an application is not asked for a key that is not known', () => {
    const call = callOf(BODY, { api_key: 'another' });
    expect(createVonageVerifier([SECRET], null)(call, NOW_MS)).toEqual({ kind: 'verified' });
  });

  it('of any call is judged without an exception', () => {
    const header = fc.oneof(
      fc.string(),
      fc.tuple(fc.base64String(), fc.base64String(), fc.base64String()).map((parts) => `Bearer ${parts.join('.')}`),
    );
    fc.assert(
      fc.property(fc.uint8Array(), header, (raw, authorization) => {
        expect(verify(withAuthorization(raw, authorization))).toEqual(UNVERIFIED);
      }),
    );
  });
});

function read(item: unknown) {
  const items = readStatuses(Buffer.from(JSON.stringify(item)));
  expect(items).toHaveLength(1);
  return items[0];
}

describe('a status', () => {
  it.each([
    ['submitted', 'sent'],
    ['delivered', 'delivered'],
    ['read', 'read'],
  ])('%s reaches %s', (status, level) => {
    const item = { message_uuid: UUID, status, client_ref: REFERENCE, timestamp: '2026-01-01T00:00:01Z', usage: {} };
    expect(read(item)).toEqual({
      kind: 'status',
      reference: REFERENCE,
      platformId: UUID,
      level,
      nack: null,
      at: NOW_MS + 1_000,
      cumulative: false,
    });
  });

  it.each<[Record<string, unknown>, string, boolean, string]>([
    [{ error: { type: 'https://example.test/errors#1190', title: '1190' } }, '1190', true, 'room'],
    [{ error: { error: { type: 'https://example.test/errors#1180' } } }, '1180', false, 'message'],
    [{ error: { code: 1300, reason: 'x' } }, '1300', true, 'room'],
    [{ error: { error: { code: '1000' } } }, '1000', false, 'account'],
    [{ error: 'many' }, 'rejected', true, 'message'],
    [{}, 'rejected', true, 'message'],
    [{ status: 'undeliverable' }, 'undeliverable', false, 'message'],
    [{ status: 'undeliverable', error: { title: '1260' } }, '1260', true, 'room'],
  ])('%j is a failure: %s', (fields, code, permanent, scope) => {
    const item = read({ message_uuid: UUID, status: 'rejected', ...fields });
    expect(item).toMatchObject({ level: null, nack: { code, permanent, scope } });
  });

  it.each<[unknown, string, string]>([
    [{ message_uuid: UUID, message_type: 'text', text: 'Hi' }, 'other', 'inbound_message'],
    [{ message_uuid: UUID, message: { content: {} } }, 'other', 'inbound_message'],
    [{ anything: 1 }, 'other', 'no_status'],
    [{ status: 'delivered' }, 'unreadable', 'message_unnamed'],
    [{ status: 7, message_uuid: UUID }, 'unreadable', 'status_unknown'],
    [{ status: 'constructor', message_uuid: UUID }, 'unreadable', 'status_unknown'],
    [{ status: 'delivered', message_uuid: { nested: 1 }, client_ref: 'a/b' }, 'unreadable', 'message_unnamed'],
    [7, 'unreadable', 'item_type'],
    [null, 'unreadable', 'item_type'],
  ])('%j is %s: %s', (item, kind, code) => expect(read(item)).toEqual({ kind, code }));

  it.each([
    ['2026-01-01T00:00:00.000Z', NOW_MS],
    ['2026-01-01T01:00:00+01:00', NOW_MS],
    ['2026-01-01 00:00:00 +0000', NOW_MS],
    ['1970-01-01T00:00:00Z', null],
    ['yesterday', null],
    ['1', null],
    [1_767_225_600, null],
    [undefined, null],
  ])('of the time %j happened at %j', (timestamp, at) => {
    expect(read({ message_uuid: UUID, status: 'read', timestamp })).toMatchObject({ at });
  });

  it('is one of several where a call holds a list, and a bad one costs no other', () => {
    const items = readStatuses(Buffer.from(JSON.stringify([{ message_uuid: UUID, status: 'read' }, 7, {}])));
    expect(items.map((item) => ('code' in item ? item.code : item.kind))).toEqual(['status', 'item_type', 'no_status']);
    const many = JSON.stringify(Array.from({ length: MAX_STATUSES + 1 }, () => 0));
    expect(() => readStatuses(Buffer.from(many))).toThrow(/body_too_large/);
  });

  it('of any bytes gives items or a coded error', () => {
    const status = fc.record(
      {
        status: fc.oneof(fc.constantFrom('submitted', 'rejected', 'undeliverable', '__proto__'), fc.jsonValue()),
        message_uuid: fc.oneof(fc.string(), fc.jsonValue()),
        client_ref: fc.oneof(fc.string(), fc.jsonValue()),
        timestamp: fc.oneof(fc.string(), fc.jsonValue()),
        error: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    const text = fc.oneof(
      fc.json(),
      fc.oneof(status, fc.array(status)).map((value) => JSON.stringify(value)),
    );
    const raw = fc.oneof(
      fc.uint8Array(),
      text.map((json) => Buffer.from(json)),
    );
    fc.assert(
      fc.property(raw, (bytes) => {
        try {
          expect(Array.isArray(readStatuses(bytes))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(RoomlineError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

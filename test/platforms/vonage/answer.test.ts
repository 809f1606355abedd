import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HttpOutcome } from '../../../src/platforms/http-client.ts';
import { classifySend } from '../../../src/platforms/vonage/answer.ts';
import { knownCodes, nackOfAnswer, nackOfStatus, readErrorCode } from '../../../src/platforms/vonage/errors.ts';
import { NOW_MS } from './support.ts';

function answered(status: number, body: unknown = '', headers: Record<string, string> = {}): HttpOutcome {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { kind: 'answered', status, headers, body: Buffer.from(text) };
}

const classify = (outcome: HttpOutcome) => classifySend(outcome, NOW_MS);
const problem = (code: string) => ({
  type: `https://developer.vonage.com/api-errors/messages#${code}`,
  title: 'Made up',
});

/** What every documented code means: whether for good, and for whom; and the wait that the code itself stands for. */
const CODES: readonly (readonly [string, readonly string[], boolean, string, number | null])[] = [
  [
    'credentials',
    [
      ...['unauthorized', 'forbidden', 'not-found', 'invalid-api-key', 'invalid-signature', 'jwt-expired'],
      ...['jwt-revoked', 'unprovisioned', '1110', '1350', '1370'],
    ],
    true,
    'channel',
    null,
  ],
  ['the account', ['low-balance', 'out-of-credit', 'account-suspended', '1060', '1070', '1080'], true, 'account', null],
  ['the sender’s limit', ['throttled'], false, 'channel', null],
  ['the account’s limit', ['1000'], false, 'account', null],
  ['too much to one number', ['1241'], false, 'room', null],
  ['what may pass', ['1030', '1100', '1230', '1330'], false, 'message', null],
  ['a phone that is off or busy', ['1180', '1220'], false, 'message', 60_000],
  [
    'the recipient',
    ['1050', '1160', '1170', '1190', '1200', '1240', '1250', '1260', '1280', '1290', '1300', '1310'],
    true,
    'room',
    null,
  ],
  [
    'the message',
    [
      ...['invalid-params', 'invalid-json', '1010', '1020', '1021', '1022', '1040', '1090', '1120', '1130', '1140'],
      ...['1150', '1210', '1270', '1320', '1340', '1360'],
    ],
    true,
    'message',
    null,
  ],
];

describe('the codes', () => {
  it('of the table are these', () => {
    expect([...knownCodes()].sort()).toEqual(CODES.flatMap(([, codes]) => codes).sort());
  });

  it('of the table are named by the guide', () => {
    const guide = readFileSync(new URL('../../../docs/channels/vonage.md', import.meta.url), 'utf8');
    const errors = guide.slice(guide.indexOf('## Errors'), guide.indexOf('## Security'));
    const named = new Set(errors.match(/[\w-]+/g));
    expect(knownCodes().filter((code) => !named.has(code))).toEqual([]);
  });

  it.each(CODES)('about %s', (_name, codes, permanent, scope, retryAfterMs) => {
    for (const code of codes) {
      const nack = { permanent, scope, retryAfterMs, code };
      expect(classify(answered(422, problem(code)))).toMatchObject({ kind: 'refused', nack });
      expect(nackOfStatus(code, 'rejected')).toEqual(nack);
      expect(nackOfStatus(code, 'undeliverable')).toEqual(nack);
      const asked = classify(answered(422, problem(code), { 'retry-after': '7' }));
      expect(asked).toMatchObject({ kind: 'refused', nack: { ...nack, retryAfterMs: permanent ? null : 7_000 } });
    }
  });

  it('that the table lacks: as the status says', () => {
    expect(nackOfAnswer('1999', 422, null)).toMatchObject({ permanent: true, scope: 'message' });
    expect(nackOfAnswer('1999', 400, null)).toMatchObject({ permanent: false, scope: 'message' });
    expect(nackOfStatus('1999', 'rejected')).toMatchObject({ permanent: true, code: '1999' });
    expect(nackOfStatus('1999', 'undeliverable')).toMatchObject({ permanent: false, code: '1999' });
    expect(nackOfStatus(null, 'rejected')).toMatchObject({ permanent: true, code: 'rejected' });
    expect(nackOfStatus(null, 'undeliverable')).toMatchObject({ permanent: false, code: 'undeliverable' });
  });

  it.each<[unknown, string | null]>([
    [problem('1120'), '1120'],
    [{ type: 'https://developer.vonage.com/api-errors#unauthorized', title: 'x' }, 'unauthorized'],
    [{ type: 'https://developer.vonage.com/api-errors/messages', title: '1190' }, '1190'],
    [{ error: problem('1300') }, '1300'],
    [{ error: { type: 'none', title: '1300' } }, '1300'],
    [{ code: 1300, reason: 'Not part of the provider network' }, '1300'],
    [{ code: '1300' }, '1300'],
    [{ title: 'Invalid params' }, null],
    [{ type: 'https://x/#a b' }, null],
    [{ type: `https://x/#${'a'.repeat(65)}` }, null],
    [{ error: 'many' }, null],
    ['1300', null],
    [null, null],
  ])('of the error %j is %s', (error, code) => expect(readErrorCode(error)).toBe(code));
});

describe('an answer', () => {
  it.each([
    [202, { message_uuid: 'a-b' }, 'accepted'],
    [200, { message_uuid: 'a-b', workflow_id: 'x' }, 'accepted'],
    [202, {}, 'answer_unreadable'],
    [202, '{"message_uuid":"a', 'answer_unreadable'],
    [302, '', 'redirected'],
    [500, problem('1120'), 'http_500'],
    [503, '', 'http_503'],
    [422, problem('1120'), '1120'],
    [400, '<html>', 'http_400'],
  ])('%i with %j gives %s', (status, body, expected) => {
    const result = classify(answered(status, body));
    const code = result.kind === 'accepted' ? result.kind : result.kind === 'refused' ? result.nack.code : result.code;
    expect(code).toBe(expected);
  });

  it.each([
    [400, false, 'message'],
    [401, true, 'channel'],
    [402, true, 'account'],
    [403, true, 'channel'],
    [404, true, 'channel'],
    [408, false, 'channel'],
    [422, false, 'message'],
    [429, false, 'channel'],
  ])('of %i without a code settles nothing: permanent %s, scope %s', (status, permanent, scope) => {
    const nack = { permanent, scope, code: `http_${status}` };
    expect(classify(answered(status, '<html>'))).toMatchObject({ kind: 'refused', nack });
  });

  it.each([
    [401, true, 'channel'],
    [402, true, 'account'],
    [403, true, 'channel'],
    [429, false, 'channel'],
  ])('of %i never settles a message, whichever code it has', (status, permanent, scope) => {
    for (const code of ['1020', '1300', '1999', 'invalid-params']) {
      expect(classify(answered(status, problem(code)))).toMatchObject({ nack: { permanent, scope, code } });
    }
  });

  it('that never came is unknown, and a connection that never was is not', () => {
    expect(classify({ kind: 'no_answer', code: 'reset', bytesLeft: true })).toMatchObject({ kind: 'unknown' });
    expect(classify({ kind: 'answered', status: 202, headers: {}, body: null })).toMatchObject({ kind: 'unknown' });
    expect(classify({ kind: 'not_sent', code: 'connect_dns' })).toMatchObject({ nack: { scope: 'channel' } });
  });
});

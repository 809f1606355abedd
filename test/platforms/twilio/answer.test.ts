import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HttpOutcome } from '../../../src/platforms/http-client.ts';
import { classifySend } from '../../../src/platforms/twilio/answer.ts';
import { knownCodes, nackOfAnswer, nackOfStatus, readErrorCode } from '../../../src/platforms/twilio/errors.ts';
import { NOW_MS } from './support.ts';

function answered(status: number, body: unknown = '', headers: Record<string, string> = {}): HttpOutcome {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { kind: 'answered', status, headers, body: Buffer.from(text) };
}

const classify = (outcome: HttpOutcome) => classifySend(outcome, NOW_MS);

/** What every documented code means: whether for good, and for whom; and the wait that the code itself stands for. */
const CODES: readonly (readonly [string, readonly number[], boolean, string, number | null])[] = [
  ['credentials', [20003, 20006, 20403, 20404], true, 'channel', null],
  ['the account', [20005, 20010, 30002, 63020], true, 'account', null],
  ['the sender', [21212, 21601, 21603, 21609, 21660, 21701, 21702, 21703, 21704, 21705], true, 'channel', null],
  ['the channel’s sender', [63001, 63002, 63007, 63008, 63022], true, 'channel', null],
  ['limits of the sender', [20429, 14107, 21611, 30001, 63018], false, 'channel', null],
  ['limits of the account', [63017], false, 'account', null],
  ['the day’s limit of the account', [63038], false, 'account', 3_600_000],
  ['a carrier’s limit', [30017, 30022], false, 'room', 60_000],
  ['a carrier’s limit for the day', [30023, 30027], false, 'room', 3_600_000],
  ['an unreachable phone', [30003], false, 'message', 60_000],
  ['what may pass', [30008, 30021, 30410, 63009, 63010, 63011, 63012, 63019, 63023, 63037], false, 'message', null],
  [
    'the recipient',
    [
      ...[21211, 21214, 21217, 21219, 21408, 21604, 21606, 21607, 21608, 21610, 21612, 21614, 21635, 21659, 21910],
      ...[30004, 30005, 30006, 30016, 30018, 30024, 30032, 30034, 63003, 63015, 63024, 63031, 63032, 63033, 63035],
      63036,
    ],
    true,
    'room',
    null,
  ],
  [
    'the message',
    [
      ...[20001, 20422, 21602, 21605, 21616, 21617, 21618, 21619, 21620, 21621, 21622, 21623, 21624, 21627, 21654],
      ...[21655, 21656, 11751, 30007, 30010, 30011, 30012, 30013, 30014, 30015, 30019, 30028, 30029, 30030, 30031],
      ...[30036, 30400, 63005, 63006, 63013, 63016, 63021, 63026, 63027, 63028, 63029, 63030, 63034, 63040, 63041],
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

  it('of the table are those of the guide', () => {
    const guide = readFileSync(new URL('../../../docs/channels/twilio.md', import.meta.url), 'utf8');
    const errors = guide.slice(guide.indexOf('## Errors'), guide.indexOf('## Security'));
    const named = [...errors.matchAll(/\b(\d{5})(?:–(\d{5}))?\b/g)].flatMap(([, from, to = from]) =>
      Array.from({ length: Number(to) - Number(from) + 1 }, (_, index) => Number(from) + index),
    );
    expect([...new Set(named)].sort()).toEqual([...knownCodes()].sort());
  });

  it.each(CODES)('about %s', (_name, codes, permanent, scope, retryAfterMs) => {
    for (const code of codes) {
      const nack = { permanent, scope, retryAfterMs, code: String(code) };
      const expected = { kind: 'refused', nack };
      if (code !== 20429) expect(classify(answered(400, { code, status: 400 }))).toEqual(expected);
      expect(nackOfStatus(code)).toEqual(nack);
      const asked = classify(answered(400, { code }, { 'retry-after': '7' }));
      expect(asked).toEqual({ kind: 'refused', nack: { ...nack, retryAfterMs: permanent ? null : 7_000 } });
    }
  });

  it('that the table lacks: in an answer they may pass, in a status they are final', () => {
    expect(nackOfAnswer(29_999, null)).toEqual({
      permanent: false,
      scope: 'message',
      retryAfterMs: null,
      code: '29999',
    });
    expect(nackOfStatus(29_999)).toEqual({ permanent: true, scope: 'message', retryAfterMs: null, code: '29999' });
  });

  it.each([
    ['30003', 30003],
    [21211, 21211],
    ['', null],
    ['30003 x', null],
    [0, null],
    [-1, null],
    [1.5, null],
    [1_000_000, null],
    [null, null],
  ])('%j is read as %j', (value, expected) => expect(readErrorCode(value)).toBe(expected));
});

describe('an answer', () => {
  it.each([
    [201, { sid: 'SM1', status: 'queued' }, 'accepted'],
    [201, { sid: 'SM1', status: 'accepted', error_code: null }, 'accepted'],
    [201, { sid: 'SM1' }, 'accepted'],
    [201, { sid: 'SM1', status: 'failed', error_code: 30001 }, '30001'],
    [201, { sid: 'SM1', status: 'failed' }, 'failed'],
    [201, { status: 'queued' }, 'answer_unreadable'],
    [200, [], 'answer_unreadable'],
    [200, '{"sid":"SM', 'answer_unreadable'],
    [302, '', 'redirected'],
    [400, '', 'http_400'],
    [401, '', 'http_401'],
    [404, { code: 20404 }, '20404'],
    [429, '', 'http_429'],
    [429, { code: 20429 }, '20429'],
    [429, { code: 21211 }, '21211'],
    [500, { code: 20500 }, 'http_500'],
    [503, { code: 21211 }, 'http_503'],
    [502, '<html>', 'http_502'],
  ])('%i with %j gives %s', (status, body, expected) => {
    const result = classify(answered(status, body));
    const code = result.kind === 'accepted' ? result.kind : result.kind === 'refused' ? result.nack.code : result.code;
    expect(code).toBe(expected);
  });

  it.each([
    [400, false, 'message'],
    [401, true, 'channel'],
    [403, true, 'channel'],
    [404, true, 'channel'],
    [408, false, 'channel'],
    [413, false, 'message'],
    [422, false, 'message'],
    [429, false, 'channel'],
  ])('of %i without a code settles nothing: permanent %s, scope %s', (status, permanent, scope) => {
    expect(classify(answered(status, '<html>'))).toMatchObject({ kind: 'refused', nack: { permanent, scope } });
  });

  it('of 429 never settles a message, whichever code it has, and waits as long as it says', () => {
    for (const code of [20429, 21211, 30007]) {
      expect(classify(answered(429, { code }, { 'retry-after': '3' }))).toEqual({
        kind: 'refused',
        nack: { permanent: false, scope: 'channel', retryAfterMs: 3_000, code: String(code) },
      });
    }
  });

  it('of 5xx, and none at all, is unknown', () => {
    for (const status of [500, 502, 503, 504]) {
      expect(classify(answered(status, { code: 20003 }))).toMatchObject({ kind: 'unknown', bytesLeft: true });
    }
    expect(classify({ kind: 'no_answer', code: 'reset', bytesLeft: true })).toMatchObject({ kind: 'unknown' });
    expect(classify({ kind: 'answered', status: 201, headers: {}, body: null })).toMatchObject({ kind: 'unknown' });
    expect(classify({ kind: 'not_sent', code: 'connect_dns' })).toMatchObject({ nack: { scope: 'channel' } });
  });
});

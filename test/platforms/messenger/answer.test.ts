import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HttpOutcome } from '../../../src/platforms/http-client.ts';
import { classifySend } from '../../../src/platforms/messaging/answer.ts';
import { knownCodes } from '../../../src/platforms/messaging/errors.ts';
import type { Scope } from '../../../src/room/room.ts';

const NOW = Date.UTC(2026, 0, 1);

function answered(status: number, body: unknown, headers: Record<string, string> = {}): HttpOutcome {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { kind: 'answered', status, headers, body: Buffer.from(text) };
}

function error(name: string, more: object = {}) {
  const [code, subcode] = name.split('/').map(Number);
  return {
    error: {
      message: `(#${code}) made-up`,
      type: 'OAuthException',
      code,
      error_subcode: subcode,
      fbtrace_id: 'A',
      ...more,
    },
  };
}

function refused(permanent: boolean, scope: Scope, code: string, retryAfterMs: number | null = null) {
  return { kind: 'refused', nack: { permanent, scope, retryAfterMs, code } };
}

/** Code and subcode, whether for good, and whom it concerns. */
const CODES: [string, boolean, Scope][] = [
  ['1', false, 'message'],
  ['2', false, 'message'],
  ['1200', false, 'message'],
  ['100/2018008', false, 'message'],
  ['100/2018047', false, 'message'],
  ['100/2018294', false, 'message'],
  ['4', false, 'channel'],
  ['4/2018022', false, 'channel'],
  ['17', false, 'channel'],
  ['32', false, 'channel'],
  ['341', false, 'channel'],
  ['613', false, 'channel'],
  ['613/1996', false, 'channel'],
  ['80002', false, 'channel'],
  ['80006', false, 'channel'],
  ['3', true, 'channel'],
  ['10', true, 'channel'],
  ['10/1234567', true, 'channel'],
  ['102', true, 'channel'],
  ['190', true, 'channel'],
  ['190/463', true, 'channel'],
  ['200', true, 'channel'],
  ['200/2018027', true, 'channel'],
  ['299', true, 'channel'],
  ['368', true, 'channel'],
  ['803', true, 'channel'],
  ['2022', true, 'channel'],
  ['2500', true, 'channel'],
  ['100/33', true, 'channel'],
  ['10/2018065', true, 'message'],
  ['10/2018108', true, 'message'],
  ['10/2018278', true, 'message'],
  ['10/2534022', true, 'message'],
  ['100', true, 'message'],
  ['100/2018001', true, 'message'],
  ['100/2018109', true, 'message'],
  ['105', true, 'message'],
  ['194', true, 'message'],
  ['200/1545041', true, 'message'],
  ['200/2018028', true, 'message'],
  ['230', true, 'message'],
  ['551', true, 'message'],
  ['551/1545041', true, 'message'],
  ['10903', true, 'message'],
];
const VAGUE = new Set(['1', '2']);
const BY_STATUS = CODES.flatMap(([code, permanent, scope]) =>
  [200, 400, 403, 429, 500].map((status) => [code, status, permanent, scope] as const),
);

describe('an error in the answer', () => {
  it.each(BY_STATUS.filter(([code, status]) => status < 500 || !VAGUE.has(code)))(
    '%s with status %i',
    (code, status, permanent, scope) => {
      expect(classifySend(answered(status, error(code)), NOW)).toMatchObject(refused(permanent, scope, code));
    },
  );

  it.each(['1', '2', '2/1234567', '424242', '424242/7'])('%s with a 5xx does not say whether it was taken', (code) => {
    const unknown = { kind: 'unknown', code: `http_503_${code}`, bytesLeft: true };
    expect(classifySend(answered(503, error(code)), NOW)).toMatchObject(unknown);
  });

  it('that nobody knows is tried again, a bounded number of times', () => {
    expect(classifySend(answered(400, error('424242')), NOW)).toMatchObject(refused(false, 'message', '424242'));
    expect(classifySend(answered(400, error('424242/7')), NOW)).toMatchObject(refused(false, 'message', '424242/7'));
  });

  it('may be written as a text, or lie beside an id', () => {
    expect(classifySend(answered(200, { error: { code: '551' }, message_id: 'm_1' }), NOW)).toEqual(
      refused(true, 'message', '551'),
    );
  });

  it('is covered by this table', () => {
    const tested = new Set(CODES.map(([code]) => code));
    expect(knownCodes().filter((code) => !tested.has(code))).toEqual([]);
  });

  it.each(['messenger', 'instagram'])('is in the table of docs/channels/%s.md', (name) => {
    const page = readFileSync(new URL(`../../../docs/channels/${name}.md`, import.meta.url), 'utf8');
    expect(knownCodes().filter((code) => !page.includes(`\`${code}\``))).toEqual([]);
  });

  const USAGE = { 'x-business-use-case-usage': '{"1":[{"type":"messenger","estimated_time_to_regain_access":9}]}' };

  it.each<[string, string, Record<string, string>, number | null]>([
    ['a limit of the page', '613', USAGE, 540_000],
    ['a limit with the usual header', '4', { 'retry-after': '7' }, 7_000],
    ['a limit with a date', '80006', { 'retry-after': new Date(NOW + 30_000).toUTCString() }, 30_000],
    ['a limit with a header that nobody can read', '613', { 'retry-after': 'soon' }, null],
    ['what one message is told', '1200', USAGE, null],
    ['what is over for good', '190', USAGE, null],
  ])('carries the wait that the headers ask for: %s', (_what, code, headers, waitMs) => {
    expect(classifySend(answered(400, error(code), headers), NOW)).toMatchObject({
      nack: { code, retryAfterMs: waitMs },
    });
  });
});

describe('an answer', () => {
  it.each<[string, unknown, string]>([
    ['of Messenger', { recipient_id: '1', message_id: 'm_AG5Hz2U' }, 'm_AG5Hz2U'],
    ['without the recipient', { message_id: 'm_1' }, 'm_1'],
    [
      'of Instagram, whose ids are long',
      { recipient_id: '1', message_id: `aWdf${'x'.repeat(400)}` },
      `aWdf${'x'.repeat(400)}`,
    ],
    ['with a stray member code', { message_id: 'm_1', code: 7 }, 'm_1'],
  ])('%s is an acceptance without a time', (_what, body, platformId) => {
    const accepted = { kind: 'accepted', platformId, platformAt: null, duplicate: false };
    expect(classifySend(answered(200, body), NOW)).toEqual(accepted);
  });

  it.each<[string, number, unknown, object]>([
    ['without an id', 200, { recipient_id: '1' }, { kind: 'unknown', code: 'answer_unreadable' }],
    ['that is cut off', 200, '{"recipient_id":"1","mess', { kind: 'unknown', code: 'answer_unreadable' }],
    ['with an id that is none', 200, { message_id: 7 }, { kind: 'unknown', code: 'answer_unreadable' }],
    [
      'with an error without a code',
      200,
      { error: 'x', message_id: 'm_1' },
      { kind: 'unknown', code: 'answer_unreadable' },
    ],
    ['with a negative code', 200, { error: { code: -1 } }, { kind: 'unknown', code: 'answer_unreadable' }],
    ['that is a page', 502, '<html>', { kind: 'unknown', code: 'http_502' }],
    ['that is empty', 503, '', { kind: 'unknown', code: 'http_503' }],
    ['that leads elsewhere', 302, '', refused(true, 'channel', 'redirected')],
    ['401 without a word', 401, '', refused(true, 'channel', 'http_401')],
    ['403 of a proxy', 403, '<html>', refused(true, 'channel', 'http_403')],
    ['404 of a wrong address', 404, 'no', refused(false, 'channel', 'http_404')],
    ['429 without a word', 429, '', refused(false, 'channel', 'http_429')],
    ['400 without a word', 400, '', refused(false, 'message', 'http_400')],
    ['413 without a word', 413, '', refused(false, 'message', 'http_413')],
  ])('%s', (_what, status, body, expected) => {
    expect(classifySend(answered(status, body), NOW)).toMatchObject(expected);
  });

  it('that is too large is unknown', () => {
    expect(classifySend({ kind: 'answered', status: 200, headers: {}, body: null }, NOW)).toEqual({
      kind: 'unknown',
      code: 'answer_unreadable',
      bytesLeft: true,
    });
  });

  it('that never came is unknown, or nothing was sent', () => {
    expect(classifySend({ kind: 'no_answer', code: 'reset', bytesLeft: false }, NOW)).toEqual({
      kind: 'unknown',
      code: 'reset',
      bytesLeft: false,
    });
    expect(classifySend({ kind: 'not_sent', code: 'connect_dns' }, NOW)).toEqual(
      refused(false, 'channel', 'connect_dns'),
    );
  });
});

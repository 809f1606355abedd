import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { HttpOutcome } from '../../../src/platforms/http-client.ts';
import { classifySend } from '../../../src/platforms/whatsapp/answer.ts';
import { knownCodes, nackOfStatus } from '../../../src/platforms/whatsapp/errors.ts';
import type { Scope } from '../../../src/room/room.ts';

const NOW = Date.UTC(2026, 0, 1);

type Headers = Record<string, string>;

function answered(status: number, body: unknown, headers: Headers = {}): HttpOutcome {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { kind: 'answered', status, headers, body: Buffer.from(text) };
}

function error(code: unknown, more: object = {}) {
  const data = { messaging_product: 'whatsapp', details: 'made-up' };
  return { error: { message: `(#${code}) made-up`, type: 'OAuthException', code, error_data: data, ...more } };
}

function refused(permanent: boolean, scope: Scope, code: number | string, retryAfterMs: number | null = null) {
  return { kind: 'refused', nack: { permanent, scope, retryAfterMs, code: String(code) } };
}

const USAGE = {
  'x-business-use-case-usage': '{"1":[{"type":"messaging","call_count":100,"estimated_time_to_regain_access":9}]}',
};

/** Code, the HTTP statuses it was seen or documented with, and what it has to mean. */
const CODES: [number, number[], boolean, Scope, number | null][] = [
  [0, [401, 500], true, 'account', null],
  [3, [500, 400], true, 'account', null],
  [10, [403, 400], true, 'account', null],
  [102, [401], true, 'account', null],
  [190, [401, 400], true, 'account', null],
  [200, [403], true, 'account', null],
  [230, [403, 400], true, 'account', null],
  [299, [403, 500], true, 'account', null],
  [131005, [403], true, 'account', null],
  [368, [403], true, 'account', null],
  [131031, [403], true, 'account', null],
  [131042, [400, 403], true, 'account', null],
  [33, [400], true, 'channel', null],
  [803, [404, 400], true, 'channel', null],
  [2500, [400], true, 'channel', null],
  [131037, [400], true, 'channel', null],
  [131045, [500], true, 'channel', null],
  [133006, [400], true, 'channel', null],
  [133010, [400, 403], true, 'channel', null],
  [4, [400, 429], false, 'account', null],
  [613, [429, 400], false, 'account', null],
  [80007, [429, 400], false, 'account', null],
  [130429, [429, 403, 400], false, 'channel', null],
  [133016, [429, 400], false, 'channel', null],
  [131048, [429, 400], false, 'channel', 900_000],
  [131057, [400, 500, 503], false, 'channel', 60_000],
  [133015, [400], false, 'channel', 300_000],
  [131056, [429, 403, 400], false, 'room', null],
  [1, [400], false, 'message', null],
  [131000, [400], false, 'message', null],
  [2, [400], false, 'channel', null],
  [131016, [400], false, 'channel', null],
  [133004, [400], false, 'channel', null],
  [131053, [400, 500], false, 'message', null],
  [132069, [400], false, 'message', null],
  ...[100, 131001, 131002, 131006, 131008, 131009, 131021, 131055, 131060, 135000].map(
    (code): [number, number[], boolean, Scope, null] => [code, [400], true, 'message', null],
  ),
  [131051, [400, 501], true, 'message', null],
  ...[130472, 130497, 131026, 131030, 131043, 131047, 131049, 131050, 131052, 134011].map(
    (code): [number, number[], boolean, Scope, null] => [code, [400, 403], true, 'message', null],
  ),
  ...[132000, 132001, 132005, 132007, 132012, 132015, 132016, 132068, 132999].map(
    (code): [number, number[], boolean, Scope, null] => [code, [400, 404], true, 'message', null],
  ),
];

const BY_STATUS = CODES.flatMap(([code, statuses, permanent, scope, waitMs]) =>
  statuses.map((status) => [code, status, permanent, scope, waitMs] as const),
);

describe('an answer with an error code', () => {
  it.each(BY_STATUS)('%i with HTTP %i: permanent %s, scope %s, wait %s', (code, status, permanent, scope, waitMs) => {
    expect(classifySend(answered(status, error(code)), NOW)).toMatchObject(refused(permanent, scope, code, waitMs));
  });

  it.each(CODES)('%i means the same inside an HTTP 200', (code, _statuses, permanent, scope, waitMs) => {
    expect(classifySend(answered(200, error(code)), NOW)).toMatchObject(refused(permanent, scope, code, waitMs));
  });

  it.each(CODES)('%i means the same in a failed status', (code, _statuses, permanent, scope, waitMs) => {
    expect(nackOfStatus(code)).toEqual({ permanent, scope, retryAfterMs: waitMs, code: String(code) });
  });

  it('is tested for every code of the table, and the guide names each', () => {
    const tested = new Set(CODES.map(([code]) => code));
    expect(knownCodes().filter((code) => !tested.has(code))).toEqual([]);
    const guide = readFileSync(new URL('../../../docs/channels/whatsapp.md', import.meta.url), 'utf8');
    expect(knownCodes().filter((code) => !new RegExp(`\\b${code}\\b`).test(guide))).toEqual([]);
  });

  it.each([
    [1, 500],
    [1, 503],
    [2, 503],
    [2, 500],
    [131000, 500],
    [131016, 500],
    [131016, 503],
    [133004, 503],
    [999_999, 500],
    [999_999, 503],
  ])('%i with HTTP %i may have been accepted', (code, status) => {
    expect(classifySend(answered(status, error(code)), NOW)).toMatchObject({
      kind: 'unknown',
      code: `http_${status}_${code}`,
      bytesLeft: true,
    });
  });

  it.each([400, 404, 429, 200])('that nobody knows, with HTTP %i, is tried again within bounds', (status) => {
    expect(classifySend(answered(status, error(999_999)), NOW)).toMatchObject(refused(false, 'message', 999_999));
  });

  it('that nobody knows, in a failed status, fails the message', () => {
    expect(nackOfStatus(999_999)).toEqual({ permanent: true, scope: 'message', retryAfterMs: null, code: '999999' });
  });

  it.each<[string, number, Headers, number | null]>([
    ['of the account, with the minutes of its headers', 80007, USAGE, 540_000],
    ['of the app, likewise', 4, USAGE, 540_000],
    ['of the Graph API, likewise', 613, USAGE, 540_000],
    ['of the number, with a Retry-After', 130429, { 'retry-after': '5' }, 5_000],
    ['of the account, with a date', 80007, { 'retry-after': 'Thu, 01 Jan 2026 00:00:30 GMT' }, 30_000],
    ['with both, where the minutes are the platform’s own', 4, { ...USAGE, 'retry-after': '5' }, 540_000],
    ['of a number in maintenance, where the answer knows better', 131057, { 'retry-after': '20' }, 20_000],
    ['of a pair, which never waits for the number', 131056, { ...USAGE, 'retry-after': '5' }, null],
  ])('of a limit %s', (_what, code, headers, waitMs) => {
    const result = classifySend(answered(429, error(code), headers), NOW);
    expect(result).toMatchObject({ nack: { permanent: false, retryAfterMs: waitMs } });
  });

  it('of a sender that does not exist stops the channel, and fails no message', () => {
    const body = error(100, { error_subcode: 33 });
    expect(classifySend(answered(400, body), NOW)).toMatchObject(refused(true, 'channel', 100));
  });

  it('never makes a permanent refusal wait', () => {
    expect(classifySend(answered(401, error(190), USAGE), NOW)).toMatchObject(refused(true, 'account', 190));
  });
});

describe('an answer without an error code', () => {
  const accepted = {
    messaging_product: 'whatsapp',
    contacts: [{ input: '+15550100001', wa_id: '15550100001' }],
    messages: [{ id: 'wamid.FAKE0001' }],
  };

  it.each<[string, number, unknown]>([
    ['as documented', 200, accepted],
    ['with a state of pacing', 200, { ...accepted, messages: [{ id: 'wamid.FAKE0001', message_status: 'accepted' }] }],
    [
      'held for an assessment',
      200,
      { messages: [{ id: 'wamid.FAKE0001', message_status: 'held_for_quality_assessment' }] },
    ],
    ['with another 2xx', 201, accepted],
    ['with an error that is null', 200, { ...accepted, error: null }],
  ])('accepts %s', (_what, status, body) => {
    expect(classifySend(answered(status, body), NOW)).toEqual({
      kind: 'accepted',
      platformId: 'wamid.FAKE0001',
      platformAt: null,
      duplicate: false,
    });
  });

  it.each<[string, unknown]>([
    ['no JSON', '<html>hello</html>'],
    ['half of it', JSON.stringify(accepted).slice(0, -5)],
    ['no messages', { contacts: [] }],
    ['an empty list of messages', { messages: [] }],
    ['messages that are no list', { messages: { id: 'wamid.1' } }],
    ['a message without an id', { messages: [{}] }],
    ['a message that is null', { messages: [null] }],
    ['an id that is no text', { messages: [{ id: { a: 1 } }] }],
    ['a list', [accepted]],
    ['null', 'null'],
    ['nothing', ''],
    ['an error that cannot be read', { error: 'no' }],
  ])('is unknown for a 200 with %s', (_what, body) => {
    expect(classifySend(answered(200, body), NOW)).toEqual({
      kind: 'unknown',
      code: 'answer_unreadable',
      bytesLeft: true,
    });
  });

  it('is unknown for a 200 that was too large to read', () => {
    const outcome: HttpOutcome = { kind: 'answered', status: 200, headers: {}, body: null };
    expect(classifySend(outcome, NOW)).toMatchObject({ kind: 'unknown', code: 'answer_unreadable' });
  });

  it.each([500, 502, 503, 504, 599])('is unknown for a %i', (status) => {
    for (const body of ['<html>Bad Gateway</html>', '', '{"error":{"code":"internal"}}']) {
      expect(classifySend(answered(status, body), NOW)).toEqual({
        kind: 'unknown',
        code: `http_${status}`,
        bytesLeft: true,
      });
    }
  });

  it.each([301, 302, 303, 307, 308])('stops the channel for a redirect (%i)', (status) => {
    expect(classifySend(answered(status, ''), NOW)).toEqual(refused(true, 'channel', 'redirected'));
  });

  it.each([401, 403])('stops the channel for a %i', (status) => {
    expect(classifySend(answered(status, 'denied'), NOW)).toEqual(refused(true, 'channel', `http_${status}`));
  });

  it.each([404, 405, 408, 409, 429])('makes the channel wait for a %i: it did not come from the API', (status) => {
    expect(classifySend(answered(status, '', { 'retry-after': '3' }), NOW)).toEqual(
      refused(false, 'channel', `http_${status}`, 3_000),
    );
  });

  it.each([400, 413, 414, 422, 431])('tries the message again, within bounds, for a %i', (status) => {
    expect(classifySend(answered(status, 'no'), NOW)).toEqual(refused(false, 'message', `http_${status}`));
  });
});

describe('no answer', () => {
  it('makes the channel wait where nothing was sent', () => {
    expect(classifySend({ kind: 'not_sent', code: 'connect_refused' }, NOW)).toEqual(
      refused(false, 'channel', 'connect_refused'),
    );
  });

  it.each([true, false])('is unknown where something was (all of it: %s)', (bytesLeft) => {
    expect(classifySend({ kind: 'no_answer', code: 'timeout', bytesLeft }, NOW)).toEqual({
      kind: 'unknown',
      code: 'timeout',
      bytesLeft,
    });
  });
});

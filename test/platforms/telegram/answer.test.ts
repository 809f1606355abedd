import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HttpOutcome } from '../../../src/platforms/http-client.ts';
import { classifySend, migratedTo } from '../../../src/platforms/telegram/answer.ts';
import { RULES } from '../../../src/platforms/telegram/refusals.ts';

const NOW_MS = Date.UTC(2026, 0, 1);

function outcome(status: number, body: unknown, headers: Record<string, string> = {}): HttpOutcome {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return { kind: 'answered', status, headers, body: bytes };
}

const classify = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  classifySend(outcome(status, body, headers), '42', NOW_MS);

const failure = (code: number, description: string, parameters?: object) =>
  classify(code, { ok: false, error_code: code, description, ...(parameters ? { parameters } : {}) });

describe('a refusal', () => {
  const room = { permanent: true, scope: 'room' };
  const message = { permanent: true, scope: 'message' };
  const channel = { permanent: true, scope: 'channel' };
  const later = { permanent: false, scope: 'message' };

  const documented: readonly [number, string, object, string][] = [
    [403, 'Forbidden: bot was blocked by the user', room, '403_bot_blocked'],
    [403, 'Forbidden: user is deactivated', room, '403_user_deactivated'],
    [403, "Forbidden: bot can't initiate conversation with a user", room, '403_not_started'],
    [403, "Forbidden: bot can't send messages to bots", room, '403_recipient_is_bot'],
    [403, 'Forbidden: bot was kicked from the group chat', room, '403_bot_kicked'],
    [403, 'Forbidden: bot was kicked from the supergroup chat', room, '403_bot_kicked'],
    [403, 'Forbidden: bot was kicked from the channel chat', room, '403_bot_kicked'],
    [403, 'Forbidden: bot is not a member of the supergroup chat', room, '403_not_a_member'],
    [403, 'Forbidden: bot is not a member of the channel chat', room, '403_not_a_member'],
    [403, 'Forbidden: the group chat was deleted', room, '403_group_deleted'],
    [403, 'Forbidden: MESSAGE_SOMETHING_FORBIDDEN', room, '403_MESSAGE_SOMETHING_FORBIDDEN'],
    [403, 'Forbidden: for a reason of tomorrow', room, '403'],
    [400, 'Bad Request: chat not found', room, '400_chat_not_found'],
    [400, 'Bad Request: user not found', room, '400_user_not_found'],
    [400, 'Bad Request: chat_id is empty', room, '400_chat_id_empty'],
    [400, 'Bad Request: PEER_ID_INVALID', room, '400_peer_invalid'],
    [400, 'Bad Request: USER_IS_BLOCKED', room, '400_user_is_blocked'],
    [400, 'Bad Request: INPUT_USER_DEACTIVATED', room, '400_user_deactivated'],
    [400, 'Bad Request: USER_IS_BOT', room, '400_recipient_is_bot'],
    [400, 'Bad Request: CHANNEL_PRIVATE', room, '400_channel_private'],
    [400, 'Bad Request: group chat was deactivated', room, '400_group_deactivated'],
    [400, 'Bad Request: have no rights to send a message', room, '400_no_rights'],
    [400, 'Bad Request: need administrator rights in the channel chat', room, '400_no_rights'],
    [400, 'Bad Request: CHAT_WRITE_FORBIDDEN', room, '400_no_rights'],
    [400, 'Bad Request: CHAT_RESTRICTED', room, '400_no_rights'],
    [400, 'Bad Request: CHAT_SEND_GIFS_FORBIDDEN', message, '400_kind_not_allowed'],
    [400, 'Bad Request: not enough rights to send photos to the chat', message, '400_kind_not_allowed'],
    [400, 'Bad Request: VOICE_MESSAGES_FORBIDDEN', message, '400_voice_forbidden'],
    [400, 'Bad Request: message thread not found', message, '400_topic_not_found'],
    [400, 'Bad Request: TOPIC_CLOSED', message, '400_topic_closed'],
    [400, 'Bad Request: message is too long', message, '400_text_too_long'],
    [400, 'Bad Request: message caption is too long', message, '400_caption_too_long'],
    [400, 'Bad Request: message text is empty', message, '400_text_empty'],
    [400, "Bad Request: can't parse entities: unclosed at byte offset 5", message, '400_markup_invalid'],
    [400, "Bad Request: can't parse inline keyboard button", message, '400_reply_markup_invalid'],
    [400, 'Bad Request: BUTTON_URL_INVALID', message, '400_reply_markup_invalid'],
    [400, 'Bad Request: message to be replied not found', message, '400_reply_to_gone'],
    [400, 'Bad Request: failed to get HTTP URL content', later, '400_file_not_fetched'],
    [400, 'Bad Request: WEBPAGE_CURL_FAILED', later, '400_file_not_fetched'],
    [400, 'Bad Request: wrong type of the web page content', message, '400_file_wrong_type'],
    [400, 'Bad Request: wrong file identifier/HTTP URL specified', message, '400_file_id_invalid'],
    [400, 'Bad Request: wrong remote file id specified: Wrong string length', message, '400_file_id_invalid'],
    [400, 'Bad Request: FILE_REFERENCE_EXPIRED', later, '400_file_unavailable'],
    [400, 'Bad Request: file is too big', message, '400_file_too_big'],
    [400, 'Bad Request: PHOTO_INVALID_DIMENSIONS', message, '400_photo_invalid'],
    [400, 'Bad Request: IMAGE_PROCESS_FAILED', message, '400_photo_invalid'],
    [400, 'Bad Request: STICKER_INVALID', message, '400_sticker_invalid'],
    [400, 'Bad Request: PHONE_NUMBER_INVALID', message, '400_phone_number_invalid'],
    [400, 'Bad Request: SOMETHING_NEW_INVALID', message, '400_SOMETHING_NEW_INVALID'],
    [400, 'Bad Request: +1 555 0100 is not what we like', message, '400'],
    [400, 'Logged out', channel, '400_logged_out'],
    [401, 'Unauthorized', channel, '401'],
    [401, 'Unauthorized: invalid token specified', channel, '401'],
    [404, 'Not Found', channel, '404'],
    [404, 'Not Found: method not found', message, '404_method_unknown'],
    [405, 'Method Not Allowed', message, '405'],
    [406, 'Not Acceptable', later, '406'],
    [408, 'Request Timeout', later, '408'],
    [409, 'Conflict: terminated by other getUpdates request', { permanent: false, scope: 'channel' }, '409'],
    [413, 'Request Entity Too Large', message, '413'],
    [421, 'Misdirected Request: unallowed token specified', channel, '421'],
  ];

  it.each(documented)('%i %s', (code, description, verdict, named) => {
    expect(failure(code, description)).toMatchObject({
      kind: 'refused',
      nack: { ...verdict, retryAfterMs: null, code: named },
    });
  });

  it('is documented above for every rule', () => {
    const reached = documented.map(([code, words]) => RULES.find((one) => one.code === code && one.words.test(words)));
    expect(RULES.filter((rule) => !reached.includes(rule))).toEqual([]);
  });

  it('has its code in the guide', () => {
    const guide = readFileSync(new URL('../../../docs/channels/telegram.md', import.meta.url), 'utf8');
    expect(RULES.map(({ code, name }) => `${code}_${name}`).filter((code) => !guide.includes(code))).toEqual([]);
  });

  it.each([
    [400, later],
    [401, channel],
    [403, channel],
    [404, channel],
    [413, message],
  ])('of something before Telegram, without its words: %i', (status, verdict) => {
    const expected = { kind: 'refused', nack: { ...verdict, retryAfterMs: null, code: `http_${status}` } };
    expect(classify(status, '<html>no</html>')).toEqual(expected);
    expect(classify(status, '')).toEqual(expected);
  });

  it.each([301, 302, 307, 308])('by a redirect (%i) stops the channel', (status) => {
    expect(classify(status, '', { location: 'https://elsewhere.test/' })).toEqual({
      kind: 'refused',
      nack: { permanent: true, scope: 'channel', retryAfterMs: null, code: 'redirected' },
    });
  });

  it('keeps the wait that comes with it', () => {
    const body = { ok: false, error_code: 409, description: 'Conflict' };
    expect(classify(409, body, { 'retry-after': '3' })).toMatchObject({ nack: { retryAfterMs: 3_000 } });
  });
});

describe('the wait of a 429', () => {
  const words = 'Too Many Requests: retry after 9';
  it.each<[string, unknown, Record<string, string>, number | null]>([
    ['in the body', { parameters: { retry_after: 7 } }, {}, 7_000],
    ['in the body, before the header', { parameters: { retry_after: 7 } }, { 'retry-after': '5' }, 7_000],
    ['in the body as text', { parameters: { retry_after: '7' } }, {}, 7_000],
    ['in the header', {}, { 'retry-after': '5' }, 5_000],
    ['in the header as a date', {}, { 'retry-after': new Date(NOW_MS + 90_000).toUTCString() }, 90_000],
    ['in the words alone', { description: words }, {}, 9_000],
    ['nowhere', {}, {}, null],
    ['huge', { parameters: { retry_after: 1e9 } }, {}, 3_600_000],
    ['zero', { parameters: { retry_after: 0 } }, {}, null],
    ['negative', { parameters: { retry_after: -1 } }, { 'retry-after': '5' }, 5_000],
    ['no number', { parameters: { retry_after: {} } }, { 'retry-after': 'soon' }, null],
    ['parameters that are none', { parameters: 7 }, {}, null],
  ])('is %s', (_what, more, headers, retryAfterMs) => {
    const body = { ok: false, error_code: 429, ...(more as object) };
    expect(classify(429, body, headers)).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'room', retryAfterMs, code: '429' },
    });
  });

  it('counts from a proxy as well', () => {
    expect(classify(429, '<html>', { 'retry-after': '5' })).toMatchObject({ nack: { retryAfterMs: 5_000 } });
  });
});

describe('an acceptance', () => {
  it.each<[string, unknown, string | null, number | null]>([
    ['with everything', { message_id: 7, date: 5, chat: { id: -1 } }, '-1:7', 5_000],
    ['without its chat', { message_id: 7, date: 5 }, '42:7', 5_000],
    ['without an id', { date: 5 }, null, 5_000],
    ['put off by Telegram', { message_id: 0, date: 5, chat: { id: 1 } }, null, 5_000],
    ['with an id that is none', { message_id: '7', date: 5 }, null, 5_000],
    ['with a time in ms', { message_id: 7, date: 1_700_000_000_000 }, '42:7', null],
    ['with a time that is none', { message_id: 7, date: 'now' }, '42:7', null],
    ['of an album', [{ message_id: 7, date: 5, chat: { id: 1 } }, { message_id: 8 }], '1:7', 5_000],
    ['of an empty album', [], null, null],
    ['that says only true', true, null, null],
  ])('%s', (_what, result, platformId, platformAt) => {
    expect(classify(200, { ok: true, result })).toEqual({ kind: 'accepted', platformId, platformAt, duplicate: false });
  });
});

describe('what stays unknown', () => {
  it.each<[string, number, unknown, string]>([
    ['500', 500, { ok: false, error_code: 500, description: 'Internal Server Error: restart' }, 'http_500'],
    ['502 with a page', 502, '<html>', 'http_502'],
    ['503', 503, '', 'http_503'],
    ['504', 504, '', 'http_504'],
    ['an error 500 inside HTTP 200', 200, { ok: false, error_code: 500 }, 'http_500'],
    ['200 with half an answer', 200, '{"ok":tr', 'answer_unreadable'],
    ['200 with a page', 200, '<html>', 'answer_unreadable'],
    ['200 without ok', 200, { result: {} }, 'answer_unreadable'],
    ['200 with ok in words', 200, { ok: 'true', result: {} }, 'answer_unreadable'],
    ['200 with ok: false alone', 200, { ok: false }, 'answer_unreadable'],
    ['500 that says ok', 500, { ok: true, result: {} }, 'http_500'],
  ])('%s', (_what, status, body, code) => {
    expect(classify(status, body)).toMatchObject({ kind: 'unknown', code, bytesLeft: true });
  });

  it('is an answer that is too large', () => {
    const large: HttpOutcome = { kind: 'answered', status: 200, headers: {}, body: null };
    expect(classifySend(large, '42', NOW_MS)).toEqual({ kind: 'unknown', code: 'answer_unreadable', bytesLeft: true });
  });

  it.each([true, false])('is no answer (bytes left: %s)', (bytesLeft) => {
    const result = classifySend({ kind: 'no_answer', code: 'timeout', bytesLeft }, '42', NOW_MS);
    expect(result).toEqual({ kind: 'unknown', code: 'timeout', bytesLeft });
  });
});

describe('a new id', () => {
  const migrated = (id: string, more = '"ok":false,"error_code":400,') =>
    outcome(400, `{${more}"parameters":{"migrate_to_chat_id":${id}}}`);

  it.each([
    ['-1001234567890', '-1001234567890'],
    ['"-1001234567890"', '-1001234567890'],
    ['-1009007199254740993', '-1009007199254740993'],
    ['1.5', null],
    ['"@name"', null],
    ['0', null],
    ['null', null],
  ])('is read from %s', (given, id) => {
    expect(migratedTo(migrated(given))).toBe(id);
  });

  it('is only read from a refusal that is one', () => {
    expect(migratedTo(migrated('-5', '"ok":true,'))).toBeNull();
    expect(migratedTo(migrated('-5', '"ok":false,"error_code":500,'))).toBeNull();
    expect(migratedTo({ kind: 'not_sent', code: 'connect_refused' })).toBeNull();
    expect(migratedTo({ kind: 'no_answer', code: 'reset', bytesLeft: true })).toBeNull();
  });
});

describe('any answer', () => {
  it('is classified, and never becomes a permanent refusal by being 5xx or unreadable', () => {
    const error = fc.record({
      ok: fc.constantFrom(true, false),
      error_code: fc.anything(),
      description: fc.anything(),
    });
    const body = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.jsonValue().map((value) => Buffer.from(JSON.stringify(value))),
      error.map((value) =>
        Buffer.from(JSON.stringify(value, (_key, one) => (typeof one === 'bigint' ? String(one) : one))),
      ),
    );
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 599 }), body, (status, bytes) => {
        const result = classifySend(outcome(status, bytes), '42', NOW_MS);
        if (result.kind === 'refused') expect(result.nack.code).toMatch(/^[\w]{1,64}$/);
        if (status >= 500 && !String(bytes).includes('error_code')) expect(result.kind).toBe('unknown');
      }),
    );
  });
});

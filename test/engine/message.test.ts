import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MESSAGE_LIMITS, type NewMessageDraft, parseMessage, splitBody, stampWith } from '../../src/engine/message.ts';
import type { RoomlineError } from '../../src/errors.ts';

const utf8 = new TextEncoder();

function parse(raw: string | Uint8Array, limits = MESSAGE_LIMITS) {
  const bytes = typeof raw === 'string' ? utf8.encode(raw) : raw;
  return parseMessage(bytes, limits, (tenant, channel) =>
    channel === 'support' && tenant !== 'stranger' ? { checkContent: null } : null,
  );
}

function accepted(raw: string | Uint8Array): NewMessageDraft {
  const result = parse(raw);
  if ('error' in result) throw result.error;
  return result.ok;
}

function refused(raw: string | Uint8Array): RoomlineError {
  const result = parse(raw);
  if ('ok' in result) throw new Error('was accepted');
  return result.error;
}

function message(change: object = {}): string {
  return JSON.stringify({ channel: 'support', room: 'r1', content: { text: 'Hello' }, ...change });
}

/** With a piece of JSON that `JSON.stringify` would not write, in place of the text value `@`. */
function rawMessage(change: object, json: string): string {
  return message(change).replace('"@"', json);
}

function bodyOf(draft: NewMessageDraft): string {
  return Buffer.from(draft.body).toString();
}

describe('a message that keeps every rule', () => {
  it('gets the defaults where it says nothing', () => {
    const draft = accepted(message());
    expect(draft).toMatchObject({
      key: { tenant: 'default', channel: 'support', room: 'r1' },
      messageId: null,
      notBefore: null,
      expiresAt: null,
      ackTimeoutMs: null,
      failurePolicy: null,
      supersedes: null,
    });
    expect(bodyOf(draft)).toBe('{"to":"r1","content":{"text":"Hello"}}');
    expect(Buffer.from(draft.digest)).toEqual(createHash('sha256').update(draft.body).digest());
  });

  it('is another message under another order, or without one', () => {
    const drafts = [undefined, 1, 2, 12].map((order) => accepted(message(order === undefined ? {} : { order })));
    expect(drafts.map(({ order }) => order)).toEqual([undefined, 1, 2, 12]);
    expect(new Set(drafts.map(bodyOf)).size).toBe(1);
    expect(new Set(drafts.map(({ digest }) => Buffer.from(digest).toString('hex'))).size).toBe(4);
    expect(accepted(message({ order: 2 })).digest).toEqual(drafts[2]?.digest);
  });

  it('carries everything that it says', () => {
    const draft = accepted(
      message({
        tenant: 'acme',
        messageId: 'm-1',
        to: '+15550100001',
        notBefore: 1_700_000_000_000,
        expiresAt: '2030-01-01T01:00:00.250+01:00',
        ackTimeoutMs: 8_000,
        failurePolicy: 'hold',
        supersedes: 'm-0',
      }),
    );
    expect(draft).toMatchObject({
      key: { tenant: 'acme', channel: 'support', room: 'r1' },
      messageId: 'm-1',
      notBefore: 1_700_000_000_000,
      expiresAt: Date.UTC(2030, 0, 1, 0, 0, 0, 250),
      ackTimeoutMs: 8_000,
      failurePolicy: 'hold',
      supersedes: 'm-0',
    });
    expect(bodyOf(draft)).toBe('{"to":"+15550100001","content":{"text":"Hello"}}');
  });

  it('is the same message by its digest, whatever it supersedes', () => {
    const digest = (change: object) => Buffer.from(accepted(message({ messageId: 'm-2', ...change })).digest);
    expect(digest({ supersedes: 'm-1' })).toEqual(digest({}));
  });

  it.each([
    ['one byte', 'x'],
    ['256 bytes', 'x'.repeat(256)],
    ['256 bytes in 64 characters', '😀'.repeat(64)],
    ['an emoji of 11 code points', '👩🏽‍❤️‍💋‍👨🏿'],
    ['a right-to-left mark', 'a\u200fb'],
    ['a path', '../../etc/passwd'],
    ['SQL', "'; DROP TABLE rooms; --"],
    ['a quotation mark and a backslash', '"\\'],
    ['a name of Object.prototype', 'constructor'],
  ])('takes a room id of %s', (_what, room) => {
    const draft = accepted(message({ room, messageId: room }));
    expect(draft.key.room).toBe(room);
    expect(draft.messageId).toBe(room);
    expect(JSON.parse(bodyOf(draft))).toEqual({ to: room, content: { text: 'Hello' } });
  });

  it('keeps content as it is but for white space', () => {
    const content = '{ "a" : [1, 2.50, -0.1, 1E3, true, null, "ü \\u00fc \\ud83d\\ude00"], "b": {} }';
    const draft = accepted(rawMessage({ content: '@' }, content));
    expect(bodyOf(draft)).toBe('{"to":"r1","content":{"a":[1,2.5,-0.1,1000,true,null,"ü ü 😀"],"b":{}}}');
  });

  it('keeps the largest exact whole numbers', () => {
    const draft = accepted(rawMessage({ content: '@' }, '{"a":9007199254740991,"b":-9007199254740991}'));
    expect(bodyOf(draft)).toContain('{"a":9007199254740991,"b":-9007199254740991}');
  });

  it('keeps a member called __proto__ as plain data', () => {
    const draft = accepted(rawMessage({ content: '@' }, '{"__proto__":{"polluted":true},"toJSON":"x"}'));
    expect(bodyOf(draft)).toBe('{"to":"r1","content":{"__proto__":{"polluted":true},"toJSON":"x"}}');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('counts the last of repeated members', () => {
    const draft = accepted('{"channel":"support","room":"a","room":"b","content":{"x":1,"x":2}}');
    expect(bodyOf(draft)).toBe('{"to":"b","content":{"x":2}}');
  });

  it('gives the same digest to the same recipient and content, however written', () => {
    const one = accepted(rawMessage({ content: '@' }, '{"text":"ä","n":10}'));
    const other = accepted(rawMessage({ content: '@', messageId: 'm' }, ' { "text" : "\\u00e4", "n" : 1e1 } '));
    expect(Buffer.from(one.digest)).toEqual(Buffer.from(other.digest));
    expect(Buffer.from(one.digest)).not.toEqual(Buffer.from(accepted(message({ to: 'else' })).digest));
  });

  it('takes 32 levels', () => {
    const content = `{"a":${'['.repeat(30)}${']'.repeat(30)}}`;
    expect(bodyOf(accepted(rawMessage({ content: '@' }, content)))).toContain(content);
  });

  it('takes content of exactly the limit', () => {
    const text = 'x'.repeat(MESSAGE_LIMITS.maxContentBytes - '{"text":""}'.length);
    expect(accepted(message({ content: { text } })).body.length).toBeGreaterThan(MESSAGE_LIMITS.maxContentBytes);
    expect(refused(message({ content: { text: `${text}x` } }))).toMatchObject({
      code: 'payload_too_large',
      field: 'content',
    });
  });
});

describe('the id of the request that brought a message', () => {
  it('goes with its body and changes nothing else of it', () => {
    const draft = accepted(message({ messageId: 'm' }));
    const stamped = stampWith('trace.1:2_3-4')(draft);
    expect(JSON.parse(bodyOf(stamped))).toEqual({ requestId: 'trace.1:2_3-4', to: 'r1', content: { text: 'Hello' } });
    expect({ ...stamped, body: draft.body }).toEqual(draft);
    // As a store gives it back: somewhere within larger memory.
    const stored = Buffer.concat([Buffer.from('before'), stamped.body, Buffer.from('after')]).subarray(6, -5);
    expect(splitBody(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength))).toEqual({
      requestId: 'trace.1:2_3-4',
      body: Buffer.from(draft.body),
    });
  });

  it('is never read from what the publisher wrote', () => {
    for (const change of [{ to: '{"requestId":"x",' }, { content: { requestId: 'x' } }, { room: '"requestId":"x"' }]) {
      const { body } = accepted(message(change));
      expect(splitBody(body)).toEqual({ requestId: null, body });
    }
  });
});

describe('a message that breaks a rule', () => {
  const deep = 200_000;

  it.each<[string, string | Uint8Array, string, string?]>([
    ['nothing', '', 'body_malformed_json'],
    ['no JSON', 'hello', 'body_malformed_json'],
    ['two documents', '{}{}', 'body_malformed_json'],
    ['a raw control character', message().replace('Hello', 'Hel\u0001lo'), 'body_malformed_json'],
    ['a byte order mark', `\ufeff${message()}`, 'body_malformed_json'],
    ['the bytes FF FE', Buffer.from([0xff, 0xfe]), 'body_not_utf8'],
    ['overlong UTF-8', Buffer.concat([Buffer.from('"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"')]), 'body_not_utf8'],
    ['a surrogate in UTF-8', Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 'body_not_utf8'],
    ['UTF-16', Buffer.from(message(), 'utf16le'), 'body_malformed_json'],
    ['a list', '[]', 'field_type', 'body'],
    ['a number', '7', 'field_type', 'body'],
    ['null', 'null', 'field_type', 'body'],
    ['deep lists as the message', '['.repeat(deep) + ']'.repeat(deep), 'field_type', 'body'],
    ['no channel', message({ channel: undefined }), 'field_missing', 'channel'],
    ['no room', message({ room: undefined }), 'field_missing', 'room'],
    ['no content', message({ content: undefined }), 'field_missing', 'content'],
    ['an unknown field', message({ priority: 1 }), 'field_unknown', 'priority'],
    ['an unknown field that shows nothing', message({ 'a\u0000 b': 1 }), 'field_unknown', '(unprintable)'],
    ['__proto__ as a field', rawMessage({ x: '@' }, '1').replace('"x"', '"__proto__"'), 'field_unknown', '__proto__'],
    ['a channel that is a number', message({ channel: 7 }), 'field_type', 'channel'],
    ['a room that is null', message({ room: null }), 'field_type', 'room'],
    ['a room that is an object', message({ room: {} }), 'field_type', 'room'],
    ['a message id that is a number', message({ messageId: 1 }), 'field_type', 'messageId'],
    ['content that is a text', message({ content: 'Hello' }), 'field_type', 'content'],
    ['content that is a list', message({ content: [] }), 'field_type', 'content'],
    ['content that is null', message({ content: null }), 'field_type', 'content'],
    ['an empty room', message({ room: '' }), 'field_invalid', 'room'],
    ['an empty recipient', message({ to: '' }), 'field_invalid', 'to'],
    ['a room of 257 bytes', message({ room: 'x'.repeat(257) }), 'id_too_long', 'room'],
    ['a room of 257 bytes in 86 characters', message({ room: `${'€'.repeat(85)}xx` }), 'id_too_long', 'room'],
    ['a room of 13,000 bytes', message({ room: 'x'.repeat(13_000) }), 'id_too_long', 'room'],
    ['a message id of 257 bytes', message({ messageId: 'x'.repeat(257) }), 'id_too_long', 'messageId'],
    ['a room with a line break', message({ room: 'a\nb' }), 'id_invalid', 'room'],
    ['a room with a C1 control', message({ room: 'a\u0085b' }), 'id_invalid', 'room'],
    ['a room with NUL', message({ room: 'a\0b' }), 'text_nul_or_surrogate', 'room'],
    ['NUL in content', message({ content: { text: 'a\0' } }), 'text_nul_or_surrogate', 'content'],
    ['NUL in a name', message({ content: { 'a\0': 1 } }), 'text_nul_or_surrogate', 'content'],
    ['a lone surrogate', rawMessage({ content: { a: ['@'] } }, '"\\ud800"'), 'text_nul_or_surrogate', 'content'],
    ['a reversed pair', rawMessage({ content: { a: '@' } }, '"\\ude00\\ud83d"'), 'text_nul_or_surrogate', 'content'],
    ['a surrogate as a name', '{"channel":"support","room":"r","content":{"\\udfff":1}}', 'text_nul_or_surrogate'],
    ['an infinite number', rawMessage({ content: { a: '@' } }, '1e400'), 'number_not_finite', 'content'],
    ['2^53', rawMessage({ content: { a: [{ b: '@' }] } }, '9007199254740992'), 'number_not_finite', 'content'],
    ['2^53 + 1', rawMessage({ content: { a: '@' } }, '9007199254740993'), 'number_not_finite', 'content'],
    ['-(2^53 + 1)', rawMessage({ content: { a: '@' } }, '-9007199254740993'), 'number_not_finite', 'content'],
    ['an infinite time', rawMessage({ expiresAt: '@' }, '1e999'), 'number_not_finite', 'expiresAt'],
    [
      'deep content',
      rawMessage({ content: '@' }, `{"a":${'['.repeat(deep)}${']'.repeat(deep)}}`),
      'body_too_deep',
      'content',
    ],
    [
      'content of 33 levels',
      rawMessage({ content: '@' }, `{"a":${'['.repeat(31)}${']'.repeat(31)}}`),
      'body_too_deep',
      'content',
    ],
    ['a channel that nobody configured', message({ channel: 'sales' }), 'channel_unknown', 'channel'],
    ['a tenant without the channel', message({ tenant: 'stranger' }), 'channel_unknown', 'channel'],
    ['a negative time', message({ notBefore: -1 }), 'field_invalid', 'notBefore'],
    ['seconds', message({ expiresAt: 1_700_000_000 }), 'field_invalid', 'expiresAt'],
    ['half a millisecond', message({ notBefore: 1_700_000_000_000.5 }), 'field_invalid', 'notBefore'],
    ['a time after 9999', message({ expiresAt: 253_402_300_800_000 }), 'field_invalid', 'expiresAt'],
    ['a time that is true', message({ expiresAt: true }), 'field_type', 'expiresAt'],
    ['a time without offset', message({ expiresAt: '2030-01-01T00:00:00' }), 'field_invalid', 'expiresAt'],
    ['a date alone', message({ expiresAt: '2030-01-01' }), 'field_invalid', 'expiresAt'],
    ['30 February', message({ expiresAt: '2030-02-30T00:00:00Z' }), 'field_invalid', 'expiresAt'],
    ['month 13', message({ expiresAt: '2030-13-01T00:00:00Z' }), 'field_invalid', 'expiresAt'],
    ['hour 25', message({ expiresAt: '2030-01-01T25:00:00Z' }), 'field_invalid', 'expiresAt'],
    [
      'an end before the beginning',
      message({ notBefore: 1_700_000_000_005, expiresAt: 1_700_000_000_005 }),
      'field_invalid',
      'expiresAt',
    ],
    ['an ack timeout of 0', message({ ackTimeoutMs: 0 }), 'field_invalid', 'ackTimeoutMs'],
    ['an ack timeout of 2 days', message({ ackTimeoutMs: 172_800_000 }), 'field_invalid', 'ackTimeoutMs'],
    ['an ack timeout that is a text', message({ ackTimeoutMs: '5s' }), 'field_type', 'ackTimeoutMs'],
    ['an unknown failure policy', message({ failurePolicy: 'give_up' }), 'field_invalid', 'failurePolicy'],
    ['its own id as superseded', message({ messageId: 'm', supersedes: 'm' }), 'field_invalid', 'supersedes'],
    ['a superseded id that is a number', message({ supersedes: 1 }), 'field_type', 'supersedes'],
    ['a superseded id that is empty', message({ supersedes: '' }), 'field_invalid', 'supersedes'],
    ['a superseded id of 257 bytes', message({ supersedes: 'x'.repeat(257) }), 'id_too_long', 'supersedes'],
    ['10 MB', Buffer.alloc(10_000_000, ' '), 'body_too_large'],
  ])('%s is refused by name', (_what, raw, code, field) => {
    const error = refused(raw);
    expect(error.code).toBe(code);
    if (field !== undefined) expect(error.field).toBe(field);
    if (field !== undefined) expect(error.rule).toBeTypeOf('string');
  });

  it('shows nothing of the message in its error', () => {
    const secret = 'canary-4711';
    const raws = [
      message({ room: `${secret}\n` }),
      message({ content: { [`${secret}\0`]: secret } }),
      message({ content: { text: secret }, channel: secret }),
      `{"channel": "${secret}" ${secret}`,
      message({ failurePolicy: secret }),
      message({ [`${secret} with spaces`]: 1 }),
    ];
    for (const raw of raws) {
      const { message: text, detail, field, rule } = refused(raw);
      expect(JSON.stringify({ text, detail, field, rule })).not.toContain(secret);
    }
  });

  it('stays quick for 100,000 members with whole numbers as names', () => {
    const content = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [String(index * 7919), 0]));
    const startedAt = performance.now();
    expect(refused(message({ content })).code).toMatch(/^(payload|body)_too_large$/);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

describe('any input', () => {
  it('gives a draft or a coded error, and what it accepts can be read back', () => {
    const value = fc.oneof(
      fc.jsonValue({ maxDepth: 40 }),
      fc.string({ unit: 'binary' }),
      fc.double(),
      fc.constantFrom('support', 'default', '\0', '\ud800', 2 ** 53 + 2),
    );
    const field = fc.constantFrom('tenant', 'channel', 'room', 'messageId', 'to', 'content', 'expiresAt', 'other');
    fc.assert(
      fc.property(fc.dictionary(field, value, { maxKeys: 4 }), (change) => {
        const raw = message(change);
        const result = parse(raw);
        if ('error' in result) {
          expect(result.error.status).toBeGreaterThanOrEqual(400);
          return;
        }
        const given = JSON.parse(raw);
        const { to, content } = JSON.parse(bodyOf(result.ok));
        expect({ to, content }).toEqual({ to: given.to ?? given.room, content: given.content });
        expect(bodyOf(result.ok).isWellFormed()).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('never throws on bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (raw) => {
        expect('error' in parse(raw)).toBe(true);
      }),
    );
  });
});

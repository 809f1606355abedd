import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../../src/errors.ts';
import { checkContent } from '../../../src/platforms/telegram/content.ts';
import { readRequest } from '../../../src/platforms/telegram/request.ts';

function fault(content: object, to = '42'): { field: string | undefined; rule: string | undefined } | null {
  try {
    checkContent(to, content as Record<string, unknown>);
    return null;
  } catch (error) {
    if (!(error instanceof RoomlineError)) throw error;
    expect(error.code).toBe('content_invalid');
    return { field: error.field, rule: error.rule };
  }
}

const FILE = 'AgACAgIAAxkBAAIB_file-id';
const photo = (more: object = {}) => ({ method: 'sendPhoto', photo: FILE, ...more });
const album = (...media: unknown[]) => ({ method: 'sendMediaGroup', media });
const item = (type = 'photo', more: object = {}) => ({ type, media: FILE, ...more });

describe('content that is taken', () => {
  it.each<[string, object]>([
    ['a text', { text: 'Hello' }],
    ['a text with its method', { method: 'sendMessage', text: 'Hello' }],
    ['4096 characters', { text: 'x'.repeat(4_096) }],
    ['4096 emojis', { text: '😀'.repeat(4_096) }],
    ['a longer text with markup', { text: '<b>x</b>'.repeat(600), parse_mode: 'HTML' }],
    ['markup by list', { text: 'x', entities: [{ type: 'bold', offset: 0, length: 1 }] }],
    ['buttons', { text: 'x', reply_markup: { inline_keyboard: [[{ text: 'a', callback_data: 'b' }]] } }],
    ['an answer', { text: 'x', reply_parameters: { message_id: 5 }, message_thread_id: 3, protect_content: true }],
    ['what Telegram adds tomorrow', { text: 'x', of_tomorrow: { a: [1] } }],
    ['a photo by id', photo()],
    ['a photo by address', photo({ photo: 'https://example.test/a.jpg?b=c#d' })],
    ['a caption of 1024', photo({ caption: 'x'.repeat(1_024) })],
    ['an empty caption', photo({ caption: '' })],
    ['a document', { method: 'sendDocument', document: FILE, disable_content_type_detection: true }],
    ['a video', { method: 'sendVideo', video: FILE, width: 640, height: 480, duration: 9, cover: FILE }],
    ['an animation', { method: 'sendAnimation', animation: FILE, has_spoiler: true }],
    ['audio', { method: 'sendAudio', audio: FILE, performer: 'a', title: 'b' }],
    ['a voice message', { method: 'sendVoice', voice: FILE }],
    ['a sticker', { method: 'sendSticker', sticker: FILE, emoji: '😀' }],
    ['a place', { method: 'sendLocation', latitude: -90, longitude: 180, horizontal_accuracy: 1_500 }],
    ['a place on the move', { method: 'sendLocation', latitude: 0, longitude: 0, live_period: 60, heading: 360 }],
    ['one for ever', { method: 'sendLocation', latitude: 0, longitude: 0, live_period: 0x7fffffff }],
    ['a contact', { method: 'sendContact', phone_number: '+1 (555) 0100-001', first_name: 'A', vcard: '' }],
    ['an album', album(item('photo'), item('video', { caption: 'x' }))],
    ['an album of documents', album(item('document'), item('document'))],
    ['an album of ten', album(...Array.from({ length: 10 }, () => item()))],
    ['a poll', { method: 'sendPoll', question: 'q', options: [] }],
    ['a copy', { method: 'copyMessage', from_chat_id: '1', message_id: 2 }],
  ])('%s', (_what, content) => {
    expect(fault(content)).toBeNull();
    expect(readRequest(Buffer.from(JSON.stringify({ to: '42', content })))).not.toBeNull();
  });

  it.each(['1', '-1', '-1001234567890', '9007199254740993', '@name', `@${'n'.repeat(32)}`])('for %s', (to) => {
    expect(fault({ text: 'x' }, to)).toBeNull();
  });
});

describe('content that is refused', () => {
  const EMPTY = '1 to 4096 characters that are not all white space';
  const A_FILE = 'a file id, or an https address of at most 2048 characters';

  it.each<[string, object, string, string]>([
    ['nothing', {}, 'content.text', 'required'],
    ['an empty text', { text: '' }, 'content.text', EMPTY],
    ['white space', { text: ' \n\t' }, 'content.text', EMPTY],
    ['a text that is none', { text: 7 }, 'content.text', 'a text'],
    ['a text of another platform', { type: 'text', text: { body: 'x' } }, 'content.text', 'a text'],
    ['4097 characters', { text: 'x'.repeat(4_097) }, 'content.text', 'at most 4096 characters'],
    [
      'absurdly much markup',
      { text: 'x'.repeat(16_385), parse_mode: 'HTML' },
      'content.text',
      'at most 16384 characters with markup',
    ],
    ['unknown markup', { text: 'x', parse_mode: 'BBCode' }, 'content.parse_mode', 'MarkdownV2, HTML or Markdown'],
    ['entities that are no list', { text: 'x', entities: {} }, 'content.entities', 'a list'],
    ['an entity that is none', { text: 'x', entities: [{}, 1] }, 'content.entities[1]', 'an object'],
    ['a flag in words', { text: 'x', disable_notification: 'yes' }, 'content.disable_notification', 'true or false'],
    ['buttons in a text', { text: 'x', reply_markup: '{}' }, 'content.reply_markup', 'an object'],
    [
      'a topic that is none',
      { text: 'x', message_thread_id: 1.5 },
      'content.message_thread_id',
      'a whole number from 1 to 9007199254740991',
    ],
    ['a recipient of its own', { chat_id: 1, text: 'x' }, 'content.chat_id', 'absent: the recipient is "to"'],
    ['a method that is none', { method: 7 }, 'content.method', 'a text'],
    ['a photo without photo', { method: 'sendPhoto' }, 'content.photo', 'required'],
    ['a photo by http', photo({ photo: 'http://example.test/a.jpg' }), 'content.photo', A_FILE],
    ['an upload', photo({ photo: 'attach://a' }), 'content.photo', A_FILE],
    ['a local file', photo({ photo: 'file:///etc/passwd' }), 'content.photo', A_FILE],
    ['an address with a space', photo({ photo: 'https://example.test/a b' }), 'content.photo', A_FILE],
    ['an address that is none', photo({ photo: 'https://' }), 'content.photo', A_FILE],
    ['an endless address', photo({ photo: `https://e.test/${'x'.repeat(2_048)}` }), 'content.photo', A_FILE],
    ['an endless id', photo({ photo: 'x'.repeat(513) }), 'content.photo', A_FILE],
    ['an empty id', photo({ photo: '' }), 'content.photo', A_FILE],
    ['a caption of 1025', photo({ caption: 'x'.repeat(1_025) }), 'content.caption', 'at most 1024 characters'],
    ['a caption that is none', photo({ caption: null }), 'content.caption', 'a text'],
    [
      'a place beyond the pole',
      { method: 'sendLocation', latitude: 91, longitude: 0 },
      'content.latitude',
      'a number from -90 to 90',
    ],
    ['a place without its half', { method: 'sendLocation', latitude: 1 }, 'content.longitude', 'required'],
    [
      'a place that moves too short',
      { method: 'sendLocation', latitude: 1, longitude: 1, live_period: 59 },
      'content.live_period',
      'a whole number from 60 to 86400, or a whole number from 2147483647 to 2147483647',
    ],
    [
      'a number that is none',
      { method: 'sendContact', phone_number: 'call me', first_name: 'A' },
      'content.phone_number',
      'a telephone number',
    ],
    [
      'a card of 2049 bytes',
      { method: 'sendContact', phone_number: '+123', first_name: 'A', vcard: `${'ä'.repeat(1_024)}x` },
      'content.vcard',
      'a text of at most 2048 bytes',
    ],
    [
      'a contact without a name',
      { method: 'sendContact', phone_number: '+123', first_name: '' },
      'content.first_name',
      'a text of 1 to 256 characters',
    ],
    ['an album of one', album(item()), 'content.media', 'a list of 2 to 10 items'],
    ['an album of eleven', album(...Array(11).fill(item())), 'content.media', 'a list of 2 to 10 items'],
    ['an album of nothing', album(1, 2), 'content.media[0]', 'an object'],
    [
      'an album with an upload',
      album(item(), item('photo', { media: 'attach://b' })),
      'content.media[1].media',
      A_FILE,
    ],
    [
      'an album with a long caption',
      album(item(), item('photo', { caption: 'x'.repeat(1_025) })),
      'content.media[1].caption',
      'at most 1024 characters',
    ],
    [
      'an album that mixes documents',
      album(item('photo'), item('document')),
      'content.media[1].type',
      'photo, video, live_photo here; an album of document or audio holds nothing else',
    ],
    [
      'documents that mix photos',
      album(item('document'), item('photo')),
      'content.media[1].type',
      'document here; an album of document or audio holds nothing else',
    ],
  ])('%s', (_what, content, field, rule) => {
    expect(fault(content)).toEqual({ field, rule });
    expect(readRequest(Buffer.from(JSON.stringify({ to: '42', content })))).toBeNull();
  });

  it.each(['sendChatAction', 'deleteMessage', 'setWebhook', 'getMe', 'constructor', 'sendMessage/../x', ''])(
    'the method %j',
    (method) => {
      expect(fault({ method, text: 'x' })).toMatchObject({ field: 'content.method', rule: /^one of sendMessage, / });
    },
  );

  it.each([
    '',
    '0',
    '-0',
    '01',
    '+15550100001',
    '1.5',
    '12a',
    '@',
    '@1ab',
    '@a b',
    `@${'n'.repeat(33)}`,
    '1'.repeat(20),
  ])('for %j', (to) => {
    expect(fault({ text: 'x' }, to)).toMatchObject({ field: 'to' });
  });
});

describe('any content', () => {
  it('is taken or refused with its code, and what is taken can be sent', () => {
    const content = fc.oneof(
      fc.dictionary(
        fc.constantFrom('text', 'method', 'photo', 'media', 'caption', 'parse_mode', '__proto__'),
        fc.jsonValue(),
      ),
      fc.record({
        method: fc.constantFrom('sendMessage', 'sendPhoto', 'sendMediaGroup', 'sendLocation', 'sendContact'),
        text: fc.jsonValue(),
        photo: fc.jsonValue(),
        media: fc.array(fc.jsonValue(), { maxLength: 12 }),
        latitude: fc.double(),
      }),
    );
    fc.assert(
      fc.property(content, (given) => {
        const stored = Buffer.from(JSON.stringify({ to: '42', content: given }));
        const refused = fault(JSON.parse(String(stored)).content) !== null;
        expect(readRequest(stored) === null).toBe(refused);
      }),
    );
  });
});

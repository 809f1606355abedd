/** Bytes and JSON as a whole: what no field is to blame for. */
import { CANARY } from '../rig.ts';
import { type Entry, entry, message, refused, spliced } from './entry.ts';

const bytes = (...parts: (string | readonly number[])[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Uint8Array.from(part))));

/** The message with these bytes inside its text. */
const within = (...inner: number[]): Uint8Array => {
  const [head = '', tail = ''] = message().split('-text');
  return bytes(head, inner, tail);
};

const nested = (open: string, close: string, times: number): string => `${open.repeat(times)}${close.repeat(times)}`;
const arrays = (levels: number): string => nested('[', ']', levels);

export const ENCODINGS: readonly Entry[] = [
  entry('nothing', '', refused('body_malformed_json')),
  entry('white space', ' \n\t ', refused('body_malformed_json')),
  entry('no JSON', `${CANARY} without quotes`, refused('body_malformed_json')),
  entry('half a document', '{"channel":"main",', refused('body_malformed_json')),
  entry('two documents', `${message()}${message()}`, refused('body_malformed_json')),
  entry('a comma at the end', message().replace(/}$/, ',}'), refused('body_malformed_json')),
  entry('a comment', `${message()}// ${CANARY}`, refused('body_malformed_json')),
  entry('single quotation marks', message().replaceAll('"', "'"), refused('body_malformed_json')),
  entry('NaN', spliced({ content: '@' }, '{"a":NaN}'), refused('body_malformed_json')),
  entry('Infinity', spliced({ content: '@' }, '{"a":-Infinity}'), refused('body_malformed_json')),
  entry('a hexadecimal number', spliced({ content: '@' }, '{"a":0x10}'), refused('body_malformed_json')),
  entry('a number with a leading zero', spliced({ content: '@' }, '{"a":01}'), refused('body_malformed_json')),
  entry('a raw line break in a text', message().replace('-text', '\n'), refused('body_malformed_json')),
  entry('a raw NUL in a text', message().replace('-text', '\u0000'), refused('body_malformed_json')),
  entry('a broken escape', message().replace('-text', '\\x41'), refused('body_malformed_json')),
  entry('half an escape', message().replace('-text', '\\u12'), refused('body_malformed_json')),
  entry('a byte order mark', bytes([0xef, 0xbb, 0xbf], message()), refused('body_malformed_json')),
  entry('a form', 'channel=main&room=r&content=x', refused('body_malformed_json')),
  entry(
    'XML with an entity',
    '<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>',
    refused('body_malformed_json'),
  ),
  entry('a text', '"message"', refused('field_type', 'body')),
  entry('a number', '5', refused('field_type', 'body')),
  entry('null', 'null', refused('field_type', 'body')),
  entry('a list', `[${message()}]`, refused('field_type', 'body')),
  entry('an empty list', '[]', refused('field_type', 'body')),
  entry('an empty object', '{}', refused('field_missing', 'channel')),
  entry('200,000 arrays inside each other', arrays(200_000), refused('field_type', 'body')),
  entry('200,000 arrays that do not end', '['.repeat(200_000), refused('body_malformed_json')),
  entry('200,000 objects that do not end', '{"a":'.repeat(200_000), refused('body_malformed_json')),
  entry('200,000 arrays as content', spliced({ content: '@' }, arrays(200_000)), refused('body_too_deep', 'content')),
  entry(
    '100,000 objects as content',
    spliced({ content: '@' }, `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`),
    refused('body_too_deep', 'content'),
  ),
  entry('200,000 arrays under an unknown name', spliced({ x: '@' }, arrays(200_000)), refused('field_unknown', 'x')),
  entry('200,000 arrays as room', spliced({ room: '@' }, arrays(200_000)), refused('body_too_deep', 'room')),
  entry('32 levels', spliced({ content: '@' }, `{"a":${arrays(30)}}`), 'accepted'),
  entry('33 levels', spliced({ content: '@' }, `{"a":${arrays(31)}}`), refused('body_too_deep', 'content')),

  entry('the bytes FF FE', Uint8Array.of(0xff, 0xfe), refused('body_not_utf8')),
  entry('FF FE within a text', within(0xff, 0xfe), refused('body_not_utf8')),
  entry('UTF-16, little end first', Buffer.from(message(), 'utf16le'), refused('body_malformed_json')),
  entry('UTF-16 with its mark', bytes([0xff, 0xfe], [...Buffer.from(message(), 'utf16le')]), refused('body_not_utf8')),
  entry('Latin-1', Buffer.from(message().replace('-text', 'ü'), 'latin1'), refused('body_not_utf8')),
  entry('an overlong slash', within(0xc0, 0xaf), refused('body_not_utf8')),
  entry('an overlong NUL', within(0xc0, 0x80), refused('body_not_utf8')),
  entry('an overlong quotation mark', within(0xe0, 0x80, 0xa2), refused('body_not_utf8')),
  entry('an overlong form of four bytes', within(0xf0, 0x80, 0x80, 0xaf), refused('body_not_utf8')),
  entry('a surrogate in UTF-8', within(0xed, 0xa0, 0x80), refused('body_not_utf8')),
  entry('a surrogate pair in UTF-8', within(0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80), refused('body_not_utf8')),
  entry('a code point beyond Unicode', within(0xf4, 0x90, 0x80, 0x80), refused('body_not_utf8')),
  entry('a form of five bytes', within(0xf8, 0x88, 0x80, 0x80, 0x80), refused('body_not_utf8')),
  entry('a continuation alone', within(0x80), refused('body_not_utf8')),
  entry('a character that breaks off', within(0xe2, 0x82), refused('body_not_utf8')),
  entry('a character that breaks off at the end', bytes(message(), [0xe2, 0x82]), refused('body_not_utf8')),
  entry('compressed bytes', bytes([31, 139, 8, 0, 0, 0, 0, 0, 0, 3]), refused('body_not_utf8')),

  entry('an escaped NUL', message().replace('-text', '\\u0000'), refused('text_nul_or_surrogate', 'content')),
  entry(
    'an escaped high surrogate',
    message().replace('-text', '\\ud800'),
    refused('text_nul_or_surrogate', 'content'),
  ),
  entry(
    'an escaped low surrogate',
    message().replace('-text', '\\udfff x'),
    refused('text_nul_or_surrogate', 'content'),
  ),
  entry(
    'escaped surrogates in the wrong order',
    message().replace('-text', '\\udc00\\ud83d'),
    refused('text_nul_or_surrogate', 'content'),
  ),
  entry('an escaped pair', message().replace('-text', '\\ud83d\\ude00'), 'accepted'),
  entry(
    'a NUL in a member name',
    spliced({ content: '@' }, '{"a\\u0000":1}'),
    refused('text_nul_or_surrogate', 'content'),
  ),
  entry(
    'a surrogate in a member name',
    spliced({ content: '@' }, '{"\\udead":1}'),
    refused('text_nul_or_surrogate', 'content'),
  ),
  entry(
    'a NUL far inside',
    spliced({ content: '@' }, '{"a":[[[{"b":["\\u0000"]}]]]}'),
    refused('text_nul_or_surrogate', 'content'),
  ),
  entry('a NUL in the tenant', message({ tenant: '\0' }), refused('text_nul_or_surrogate', 'tenant')),
  entry('a NUL in the channel', message({ channel: 'main\0' }), refused('text_nul_or_surrogate', 'channel')),
  entry('a NUL in a superseded id', message({ supersedes: 'm\0' }), refused('text_nul_or_surrogate', 'supersedes')),
  entry('a NUL in the policy', message({ failurePolicy: 'hold\0' }), refused('text_nul_or_surrogate', 'failurePolicy')),
  entry(
    'a NUL in a time',
    message({ notBefore: '2026-01-01T00:00:00Z\0' }),
    refused('text_nul_or_surrogate', 'notBefore'),
  ),
  entry('a NUL in an unknown name', message({ 'a\0': 1 }), refused('field_unknown', '(unprintable)')),
  entry(
    'every other control character',
    message({ content: { text: String.fromCharCode(...Array.from({ length: 31 }, (_, at) => at + 1)) } }),
    'accepted',
  ),
  entry('non-characters', message({ content: { text: '\ufffe\uffff\u{1fffe}' } }), 'accepted'),
  entry('a replacement character', message({ content: { text: '\ufffd' } }), 'accepted'),
  entry('line and paragraph separators', message({ content: { text: '\u2028\u2029' } }), 'accepted'),
];

/** Names, numbers, times and sizes within a message that is good JSON. */
import { CANARY } from '../rig.ts';
import { type Entry, entry, message, ROOM, refused, spliced } from './entry.ts';

const content = (name: string, json: string, verdict: Entry['verdict']): Entry =>
  entry(name, spliced({ content: '@' }, json), verdict);

const infinite = refused('number_not_finite', 'content');
const integerKeys = (count: number): string =>
  `{${Array.from({ length: count }, (_, at) => `"${at}":${at % 10}`).join(',')}}`;
const MAX_CONTENT = 262_144;
const contentOf = (bytes: number): string => 'x'.repeat(bytes - '{"text":""}'.length);

const NAMES: readonly Entry[] = [
  ...(['channel', 'room', 'content'] as const).map((field) =>
    entry(`without ${field}`, message({ [field]: undefined }), refused('field_missing', field)),
  ),
  entry('a misspelt name', message({ rom: 'r' }), refused('field_unknown', 'rom')),
  entry('a name in other capitals', message({ Room: 'r' }), refused('field_unknown', 'Room')),
  entry('an empty name', message({ '': 1 }), refused('field_unknown', '(unprintable)')),
  entry('a name of 64 characters', message({ ['n'.repeat(64)]: 1 }), refused('field_unknown', 'n'.repeat(64))),
  entry('a name of 65 characters', message({ ['n'.repeat(65)]: 1 }), refused('field_unknown', '(unprintable)')),
  entry(
    'a name of 100,000 characters',
    message({ ['n'.repeat(100_000)]: 1 }),
    refused('field_unknown', '(unprintable)'),
  ),
  entry('a name of markup', message({ '<b>': 1 }), refused('field_unknown', '(unprintable)')),
  entry(
    'a recipient as name',
    message({ [`${CANARY}_4917000`]: 'hello' }),
    refused('field_unknown', `${CANARY}_4917000`),
  ),
  entry('__proto__', `{"__proto__":{"room":"r"},"channel":"main","content":{}}`, refused('field_unknown', '__proto__')),
  entry('__proto__ twice', `{"__proto__":1,"__proto__":{"polluted":1}}`, refused('field_unknown', '__proto__')),
  entry(
    'constructor',
    message({ constructor: { prototype: { polluted: true } } }),
    refused('field_unknown', 'constructor'),
  ),
  entry('toString', message({ toString: 'x' }), refused('field_unknown', 'toString')),
  entry('hasOwnProperty', message({ hasOwnProperty: 1 }), refused('field_unknown', 'hasOwnProperty')),
  entry(
    '100,000 integer-like names',
    integerKeys(100_000).replace(/}$/, `,${message().slice(1)}`),
    refused('field_unknown', '0'),
  ),
  entry('an order below nought', message({ order: -1 }), refused('field_invalid', 'order')),
  entry('an order between two numbers', message({ order: 1.5 }), refused('field_invalid', 'order')),
  entry('an order beyond exact numbers', message({ order: 2 ** 53 }), refused('number_not_finite', 'order')),
  entry('an order in words', message({ order: '1' }), refused('field_type', 'order')),
  entry('a sequence', message({ sequence: -1 }), refused('field_unknown', 'sequence')),
  entry('a shard', message({ shard: 0 }), refused('field_unknown', 'shard')),
  entry('a digest', message({ digest: 'x' }), refused('field_unknown', 'digest')),
  entry('a room twice', `{"room":"first","channel":"main","content":{},"room":"${ROOM}-last"}`, 'accepted'),
  entry(
    'a room twice, wrong at last',
    `{"room":"${ROOM}","channel":"main","content":{},"room":5}`,
    refused('field_type', 'room'),
  ),
  entry('a room twice, wrong at first', `{"room":5,"channel":"main","content":{},"room":"${ROOM}"}`, 'accepted'),
  entry('a name by its escapes', message().replace('"room"', '"\\u0072oom"'), 'accepted'),
  entry(
    'a name twice, once by its escapes',
    `{"channel":"main","room":"a","\\u0072oom":"${ROOM}-escaped","content":{}}`,
    'accepted',
  ),
];

const WORDS: readonly Entry[] = [
  entry('another channel', message({ channel: 'nowhere' }), refused('channel_unknown', 'channel')),
  entry('an empty channel', message({ channel: '' }), refused('channel_unknown', 'channel')),
  entry(
    'a channel of 100,000 characters',
    message({ channel: 'x'.repeat(100_000) }),
    refused('channel_unknown', 'channel'),
  ),
  entry('a channel called __proto__', message({ channel: '__proto__' }), refused('channel_unknown', 'channel')),
  entry('a channel called constructor', message({ channel: 'constructor' }), refused('channel_unknown', 'channel')),
  entry('a channel with its tenant', message({ channel: 'default/main' }), refused('channel_unknown', 'channel')),
  entry('a channel in capitals', message({ channel: 'MAIN' }), refused('channel_unknown', 'channel')),
  entry('a channel with a space', message({ channel: 'main ' }), refused('channel_unknown', 'channel')),
  entry('a channel as a list', message({ channel: ['main'] }), refused('field_type', 'channel')),
  entry('a channel as null', message({ channel: null }), refused('field_type', 'channel')),
  entry('the default tenant by its name', message({ tenant: 'default' }), 'accepted'),
  entry('another tenant', message({ tenant: 'acme' }), 'accepted'),
  entry('an unknown tenant', message({ tenant: 'stranger' }), refused('channel_unknown', 'channel')),
  entry('an empty tenant', message({ tenant: '' }), refused('channel_unknown', 'channel')),
  entry(
    'a tenant that swallows the channel',
    message({ tenant: 'default/main', channel: '' }),
    refused('channel_unknown', 'channel'),
  ),
  entry('a tenant as null', message({ tenant: null }), refused('field_type', 'tenant')),
  entry('a tenant as a number', message({ tenant: 0 }), refused('field_type', 'tenant')),
  entry('the policy hold', message({ failurePolicy: 'hold' }), 'accepted'),
  entry('the policy move_on', message({ failurePolicy: 'move_on' }), 'accepted'),
  entry('an unknown policy', message({ failurePolicy: 'retry' }), refused('field_invalid', 'failurePolicy')),
  entry('an empty policy', message({ failurePolicy: '' }), refused('field_invalid', 'failurePolicy')),
  entry('a policy in capitals', message({ failurePolicy: 'HOLD' }), refused('field_invalid', 'failurePolicy')),
  entry('a policy as null', message({ failurePolicy: null }), refused('field_type', 'failurePolicy')),
  entry(
    'its own id as superseded',
    message({ messageId: 'm', supersedes: 'm' }),
    refused('field_invalid', 'supersedes'),
  ),
  entry('another id as superseded', message({ messageId: 'm', supersedes: 'M' }), 'accepted'),
  entry('a superseded id, and none of its own', message({ supersedes: 'm' }), 'accepted'),
  entry('a policy as a list', message({ failurePolicy: ['hold'] }), refused('field_type', 'failurePolicy')),
];

const CONTENTS: readonly Entry[] = [
  content('an empty content', '{}', 'accepted'),
  content('a text as content', `"${CANARY}"`, refused('field_type', 'content')),
  content('a list as content', '[{}]', refused('field_type', 'content')),
  content('null as content', 'null', refused('field_type', 'content')),
  content('a number as content', '1', refused('field_type', 'content')),
  content('white space within content', `{ "a" :\n[ 1 ,\t2 ] }`, 'accepted'),
  content('a member called __proto__', '{"__proto__":{"polluted":true}}', 'accepted'),
  content('a member called __proto__ far inside', '{"a":[{"__proto__":{"polluted":true}}]}', 'accepted'),
  content('a member called constructor', '{"constructor":{"prototype":{"polluted":true}}}', 'accepted'),
  content('a member called toJSON', '{"toJSON":"x","a":1}', 'accepted'),
  content('an empty member name', '{"":{"":""}}', 'accepted'),
  content('a repeated member', '{"a":1,"a":2}', 'accepted'),
  content('20,000 integer-like members', integerKeys(20_000), 'accepted'),
  content('80,000 integer-like members', integerKeys(80_000), refused('payload_too_large', 'content')),
  content(
    '20,000 members that differ in their end',
    `{${Array.from({ length: 20_000 }, (_, at) => `"k${at}":0`).join(',')}}`,
    'accepted',
  ),
  content('a list of 100,000', `{"a":[${'0,'.repeat(99_999)}0]}`, 'accepted'),
  content('a list that is too long', `{"a":[${'0,'.repeat(131_072)}0]}`, refused('payload_too_large', 'content')),
  content('nought below nought', '{"a":-0}', 'accepted'),
  content('a number that underflows', '{"a":1e-400}', 'accepted'),
  content('the least number', '{"a":5e-324}', 'accepted'),
  content('the largest number', '{"a":1.7976931348623157e308}', infinite),
  content('1e400', '{"a":1e400}', infinite),
  content('-1e400', '{"a":[-1e400]}', infinite),
  content('1e999999999999', '{"a":1e999999999999}', infinite),
  content('2^53', '{"a":9007199254740992}', infinite),
  content('2^53+1', '{"a":9007199254740993}', infinite),
  content('-(2^53+1)', '{"a":-9007199254740993}', infinite),
  content('2^53-1', '{"a":9007199254740991}', 'accepted'),
  content('2^64', '{"a":18446744073709551616}', infinite),
  content('a fraction beyond 2^53', '{"a":9007199254740993.5}', infinite),
  content('a number of 100,000 digits', `{"a":${'9'.repeat(100_000)}}`, infinite),
  content('a fraction of 100,000 digits', `{"a":0.${'9'.repeat(100_000)}}`, 'accepted'),
  content('a number of another spelling', '{"a":1.0e2}', 'accepted'),
  entry('content at its limit', message({ content: { text: contentOf(MAX_CONTENT) } }), 'accepted'),
  entry(
    'content one byte beyond it',
    message({ content: { text: contentOf(MAX_CONTENT + 1) } }),
    refused('payload_too_large', 'content'),
  ),
  entry(
    'content at its limit in fewer characters',
    message({ content: { text: `${'ü'.repeat((MAX_CONTENT - 12) / 2)}x` } }),
    'accepted',
  ),
  entry(
    'content beyond it in fewer characters',
    message({ content: { text: 'ü'.repeat(140_000) } }),
    refused('payload_too_large', 'content'),
  ),
  content('content that is smaller once written anew', `{"text":"${'\\u0041'.repeat(150_000)}"}`, 'accepted'),
  entry('a message of exactly a megabyte, most of it white space', message().padEnd(1_048_576), 'accepted'),
  entry('one byte beyond a megabyte', message().padEnd(1_048_577), refused('body_too_large')),
  entry('a message of 10 MB', message({ content: { text: 'x'.repeat(10_000_000) } }), refused('body_too_large')),
];

const TIME_RULE_BROKEN: readonly (readonly [string, unknown])[] = [
  ['-1', -1],
  ['a fraction', 1.5],
  ['beyond the year 9999', 253_402_300_800_000],
  ['2^53-1', Number.MAX_SAFE_INTEGER],
  ['an empty text', ''],
  ['a number as text', '1700000000000'],
  ['a date alone', '2026-01-01'],
  ['no offset', '2026-01-01T00:00:00'],
  ['a space in place of the T', '2026-01-01 00:00:00Z'],
  ['a 30 February', '2026-02-30T00:00:00Z'],
  ['a 29 February of no leap year', '2027-02-29T00:00:00Z'],
  ['a month 13', '2026-13-01T00:00:00Z'],
  ['a month 0', '2026-00-01T00:00:00Z'],
  ['a day 0', '2026-01-00T00:00:00Z'],
  ['an hour 25', '2026-01-01T25:00:00Z'],
  ['a minute 60', '2026-01-01T00:60:00Z'],
  ['a second 60', '2026-06-30T23:59:60Z'],
  ['an offset of 99 hours', '2026-01-01T00:00:00+99:00'],
  ['before 1970', '1969-12-31T23:59:59Z'],
  ['the year 10000', '+010000-01-01T00:00:00Z'],
  ['other digits', '２０２６-01-01T00:00:00Z'],
  ['100,000 digits of a second', `2026-01-01T00:00:00.${'0'.repeat(100_000)}Z`],
  ['a date with a line break', '2026-01-01T00:00:00Z\n'],
  ['a word', 'tomorrow'],
  ['nought', 0],
  ['nought below nought', -0],
  ['seconds', 1_767_225_600],
  ['the most that could be seconds', 99_999_999_999],
];
const TIMES_ACCEPTED: readonly (readonly [string, unknown])[] = [
  ['the least that can be no seconds', 100_000_000_000],
  ['now', 1_767_225_600_000],
  ['the last ms of 9999', 253_402_300_799_999],
  ['ISO 8601 in UTC', '2030-01-01T00:00:00Z'],
  ['ISO 8601 with an offset', '2030-01-01T00:00:00.123456789+05:30'],
  ['a leap day', '2028-02-29T12:00:00Z'],
];
const WRONG_TYPES: readonly (readonly [string, unknown])[] = [
  ['null', null],
  ['true', true],
  ['a list', [0]],
  ['an object', { ms: 0 }],
];

const TIMES: readonly Entry[] = (['notBefore', 'expiresAt'] as const).flatMap((field) => [
  ...TIME_RULE_BROKEN.map(([name, value]) =>
    entry(`${field}: ${name}`, message({ [field]: value }), refused('field_invalid', field)),
  ),
  ...TIMES_ACCEPTED.map(([name, value]) => entry(`${field}: ${name}`, message({ [field]: value }), 'accepted')),
  ...WRONG_TYPES.map(([name, value]) =>
    entry(`${field}: ${name}`, message({ [field]: value }), refused('field_type', field)),
  ),
  entry(`${field}: 1e400`, spliced({ [field]: '@' }, '1e400'), refused('number_not_finite', field)),
  entry(`${field}: 2^53`, spliced({ [field]: '@' }, '9007199254740992'), refused('number_not_finite', field)),
]);

const PAIRS: readonly Entry[] = [
  entry(
    'an expiry that is the start',
    message({ notBefore: 1_700_000_000_005, expiresAt: 1_700_000_000_005 }),
    refused('field_invalid', 'expiresAt'),
  ),
  entry(
    'an expiry before the start',
    message({ notBefore: 1_700_000_000_006, expiresAt: 1_700_000_000_005 }),
    refused('field_invalid', 'expiresAt'),
  ),
  entry(
    'an expiry 1 ms after the start',
    message({ notBefore: 1_700_000_000_005, expiresAt: 1_700_000_000_006 }),
    'accepted',
  ),
  entry(
    'start and expiry in other forms',
    message({ notBefore: '2030-01-01T01:00:00+01:00', expiresAt: Date.UTC(2030, 0, 1) }),
    refused('field_invalid', 'expiresAt'),
  ),
];

const ACK_TIMEOUTS: readonly Entry[] = [
  ...[1, 1_000, 86_400_000].map((value) =>
    entry(`ackTimeoutMs: ${value}`, message({ ackTimeoutMs: value }), 'accepted'),
  ),
  ...[0, -1, 0.5, 86_400_001, Number.MAX_SAFE_INTEGER].map((value) =>
    entry(`ackTimeoutMs: ${value}`, message({ ackTimeoutMs: value }), refused('field_invalid', 'ackTimeoutMs')),
  ),
  ...[null, '5000', true, [5_000], {}].map((value) =>
    entry(
      `ackTimeoutMs: ${JSON.stringify(value)}`,
      message({ ackTimeoutMs: value }),
      refused('field_type', 'ackTimeoutMs'),
    ),
  ),
  entry('ackTimeoutMs: 1e400', spliced({ ackTimeoutMs: '@' }, '1e400'), refused('number_not_finite', 'ackTimeoutMs')),
  entry(
    'ackTimeoutMs: 2^53+1',
    spliced({ ackTimeoutMs: '@' }, '9007199254740993'),
    refused('number_not_finite', 'ackTimeoutMs'),
  ),
];

export const STRUCTURES: readonly Entry[] = [...NAMES, ...WORDS, ...CONTENTS, ...TIMES, ...PAIRS, ...ACK_TIMEOUTS];

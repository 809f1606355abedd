/** Bodies of webhook calls, to be signed rightly: what one says of messages, and how much of it can be read. */
import { CANARY } from '../rig.ts';
import { type Entry, entry, refused } from './entry.ts';

export interface StatusEntry extends Entry {
  /** How many statuses the answer counts. */
  readonly received: number;
}

const counted = (name: string, raw: string | Uint8Array, received: number): StatusEntry => ({
  ...entry(name, raw, 'accepted'),
  received,
});
const failing = (name: string, raw: string | Uint8Array, ...verdict: Parameters<typeof refused>): StatusEntry => ({
  ...entry(name, raw, refused(...verdict)),
  received: 0,
});
const one = (name: string, item: unknown): StatusEntry => counted(name, JSON.stringify({ statuses: [item] }), 1);
const raw = (name: string, json: string): StatusEntry => counted(name, `{"statuses":[${json}]}`, 1);

const delivered = { id: `${CANARY}-gw`, status: 'delivered', at: 1_767_225_600_000 };
const watermark = { watermark: 1_767_225_600_000, to: `${CANARY}-nobody`, status: 'read' };
const nested = (times: number): string => `${'['.repeat(times)}${']'.repeat(times)}`;

export const STATUSES: readonly StatusEntry[] = [
  failing('nothing', '', 'body_malformed_json'),
  failing('no JSON', CANARY, 'body_malformed_json'),
  failing('half a document', '{"statuses":[', 'body_malformed_json'),
  failing('FF FE', Uint8Array.of(0xff, 0xfe), 'body_not_utf8'),
  failing('an overlong slash', Uint8Array.of(0x22, 0xc0, 0xaf, 0x22), 'body_not_utf8'),
  failing('compressed bytes', Uint8Array.of(31, 139, 8, 0, 0), 'body_not_utf8'),
  failing('null', 'null', 'field_missing', 'statuses'),
  failing('a list', '[]', 'field_missing', 'statuses'),
  failing('a text', '"statuses"', 'field_missing', 'statuses'),
  failing('an empty object', '{}', 'field_missing', 'statuses'),
  failing('statuses in capitals', '{"Statuses":[]}', 'field_missing', 'statuses'),
  failing('statuses only behind __proto__', '{"__proto__":{"statuses":[]}}', 'field_missing', 'statuses'),
  failing('statuses as null', '{"statuses":null}', 'field_type', 'statuses'),
  failing('statuses as an object', '{"statuses":{"0":{},"length":1}}', 'field_type', 'statuses'),
  failing('statuses as a text', `{"statuses":"${CANARY}"}`, 'field_type', 'statuses'),
  failing('5,001 statuses', JSON.stringify({ statuses: Array(5_001).fill(delivered) }), 'body_too_large', 'statuses'),
  failing('500,000 empty statuses', `{"statuses":[${'0,'.repeat(499_999)}0]}`, 'body_too_large', 'statuses'),
  failing('200,000 arrays that do not end', `{"statuses":${'['.repeat(200_000)}`, 'body_malformed_json'),
  failing(
    '200,000 arrays and a long number',
    `{"statuses":${nested(200_000)},"x":12345678901234567890}`,
    'body_too_deep',
  ),
  failing('more than a megabyte', `{"statuses":[]}${' '.repeat(1_048_576)}`, 'body_too_large'),
  counted('no status', '{"statuses":[]}', 0),
  counted('other members', `{"statuses":[],"other":"${CANARY}","__proto__":{"x":1}}`, 0),
  counted('statuses twice', '{"statuses":5,"statuses":[]}', 0),
  counted('a byte order mark', `\ufeff{"statuses":[]}`, 0),
  counted('200,000 arrays as one status', `{"statuses":${nested(200_000)}}`, 1),
  counted(
    '100,000 integer-like members',
    `{"statuses":[],${Array.from({ length: 90_000 }, (_, at) => `"${at}":0`).join(',')}}`,
    0,
  ),
  counted(
    '5,000 statuses, one of them bad',
    JSON.stringify({
      statuses: [...Array.from({ length: 4_999 }, (_, at) => ({ id: `m${at}`, status: 'read' })), null],
    }),
    5_000,
  ),
  counted('5,000 bad statuses', `{"statuses":[${'null,'.repeat(4_999)}null]}`, 5_000),
  counted('one id 2,000 times', JSON.stringify({ statuses: Array(2_000).fill(delivered) }), 2_000),
  counted('one watermark 500 times', JSON.stringify({ statuses: Array(500).fill(watermark) }), 500),
  counted('good and bad in turn', JSON.stringify({ statuses: [delivered, 5, delivered, [], delivered, 'x'] }), 6),

  ...[null, 5, true, 'delivered', [], [delivered]].map((item) =>
    one(`a status of ${JSON.stringify(item).slice(0, 20)}`, item),
  ),
  one('an empty status', {}),
  one('no status word', { id: 'gw' }),
  ...[
    'DELIVERED',
    'Delivered',
    'queued',
    'accepted',
    'none',
    '',
    '__proto__',
    'constructor',
    'toString',
    'deleted',
    null,
    0,
    true,
    ['read'],
    {},
  ].map((status) => one(`the status ${JSON.stringify(status)}`, { id: 'gw', status })),
  one('no name', { status: 'delivered' }),
  one('an empty id', { ...delivered, id: '' }),
  one('an id of 512 characters', { ...delivered, id: 'x'.repeat(512) }),
  one('an id of 512 wide characters', { ...delivered, id: '\uffff'.repeat(512) }),
  one('an id of 513 characters', { ...delivered, id: 'x'.repeat(513) }),
  one('an id of 100,000 characters', { ...delivered, id: 'x'.repeat(100_000) }),
  one('an id with NUL', { ...delivered, id: 'a\u0000' }),
  one('an id with a line break', { ...delivered, id: 'a\n' }),
  one('an id with half a surrogate pair', { ...delivered, id: '\ud800' }),
  one('an id of SQL', { ...delivered, id: "'; DROP TABLE rooms; --" }),
  one('an id called __proto__', { ...delivered, id: '__proto__' }),
  one('a number as id', { ...delivered, id: 7 }),
  one('a number below nought as id', { ...delivered, id: -0 }),
  one('a fraction as id', { ...delivered, id: 0.5 }),
  raw('a long number as id', '{"id":12345678901234567890,"status":"read"}'),
  raw('a number of 100,000 digits as id', `{"id":${'9'.repeat(100_000)},"status":"read"}`),
  raw('1e400 as id', '{"id":1e400,"status":"read"}'),
  one('a list as id', { ...delivered, id: ['gw'] }),
  one('an object as id', { ...delivered, id: { toString: 'gw' } }),
  one('a foreign reference', { reference: 'A'.repeat(26), status: 'delivered' }),
  one('a reference of another form', { reference: '../../x', status: 'delivered' }),
  one('an empty reference', { reference: '', status: 'delivered' }),
  one('a reference of 41 characters', { reference: 'A'.repeat(41), status: 'delivered' }),
  one('a reference of 100,000 characters', { reference: 'A'.repeat(100_000), status: 'delivered' }),
  one('a number as reference', { reference: 5, status: 'delivered' }),
  one('a reference with a line break', { reference: `${'A'.repeat(26)}\n`, status: 'delivered' }),
  ...[-1, 0, 0.5, 1_767_225_600, 4_102_444_800_000, Number.MAX_SAFE_INTEGER, '2026', null, [], {}].map((at) =>
    one(`the time ${JSON.stringify(at)}`, { ...delivered, id: `at-${JSON.stringify(at)}`, at }),
  ),
  raw('the time 1e400', '{"id":"at-1e400","status":"read","at":1e400}'),
  raw('the time -1e400', '{"id":"at--1e400","status":"read","at":-1e400}'),
  raw('the time 2^53+1', '{"id":"at-2^53","status":"read","at":9007199254740993}'),
  ...[1, 'true', null, {}].map((cumulative) =>
    one(`cumulative ${JSON.stringify(cumulative)}`, { ...delivered, cumulative }),
  ),
  one('cumulative, of an id that nobody knows', { ...delivered, cumulative: true }),
  one('a failure without an error', { id: 'failed-1', status: 'failed' }),
  ...[null, 'blocked', [], 5].map((error, at) =>
    one(`a failure with the error ${JSON.stringify(error)}`, { id: `failed-2-${at}`, status: 'failed', error }),
  ),
  one('a failure of an unknown scope', { id: 'failed-3', status: 'failed', error: { scope: 'world', code: 'x' } }),
  one('a failure of the whole account', {
    id: 'failed-4',
    status: 'failed',
    error: { scope: 'account', permanent: true, code: 'x' },
  }),
  one('a failure with a text in its code', {
    id: 'failed-5',
    status: 'failed',
    error: { code: `no such user ${CANARY}\n` },
  }),
  one('a failure with a code of 100,000 characters', {
    id: 'failed-6',
    status: 'failed',
    error: { code: 'x'.repeat(100_000) },
  }),
  one('a failure with a code called __proto__', { id: 'failed-7', status: 'failed', error: { code: '__proto__' } }),
  ...[-1, 0.5, 1e300, '5', null].map((retryAfterMs) =>
    one(`a failure to be retried after ${retryAfterMs}`, {
      id: `failed-8-${retryAfterMs}`,
      status: 'failed',
      error: { retryAfterMs, permanent: false },
    }),
  ),
  raw('a failure to be retried after 1e400', '{"id":"failed-9","status":"failed","error":{"retryAfterMs":1e400}}'),
  raw('an error behind __proto__', '{"id":"failed-10","status":"failed","error":{"__proto__":{"scope":"account"}}}'),
  raw('a status behind __proto__', '{"__proto__":{"id":"gw-1","status":"delivered"}}'),

  one('a watermark of nobody', watermark),
  one('a watermark of the future', { ...watermark, watermark: Number.MAX_SAFE_INTEGER }),
  one('a watermark of nought', { ...watermark, watermark: 0 }),
  one('a watermark below nought', { ...watermark, watermark: -1 }),
  one('a watermark with a fraction', { ...watermark, watermark: 1.5 }),
  one('a watermark as text', { ...watermark, watermark: '1767225600000' }),
  one('a watermark as null', { ...watermark, watermark: null }),
  raw('a watermark of 1e400', `{"watermark":1e400,"to":"x","status":"read"}`),
  one('a watermark without a recipient', { ...watermark, to: undefined }),
  one('a watermark for a number', { ...watermark, to: 5 }),
  one('a watermark for an empty recipient', { ...watermark, to: '' }),
  one('a watermark for NUL', { ...watermark, to: '\0' }),
  one('a watermark for half a surrogate pair', { ...watermark, to: '\ud800' }),
  one('a watermark for 256 wide characters', { ...watermark, to: '\uffff'.repeat(256) }),
  one('a watermark for 13,000 characters', { ...watermark, to: 'x'.repeat(13_000) }),
  one('a watermark of a failure', { ...watermark, status: 'failed' }),
  one('a watermark of an unknown status', { ...watermark, status: 'seen' }),
  one('a watermark that names a message', { ...watermark, ...delivered }),
];

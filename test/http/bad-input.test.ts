/**
 * What is wrong with the query, the path, the body or the headers of the routes that list, count, steer and configure;
 * messages and webhooks have a corpus of their own (test/fuzz/corpus). One server for the cases of a table.
 */
import { request as httpRequest } from 'node:http';
import { expect, it } from 'vitest';
import { ERRORS, type ErrorCode } from '../../src/errors.ts';
import { CHANNEL } from '../support/engine.ts';
import { bearer, keyEntries } from './fixture.ts';
import { startWhole } from './whole.ts';

interface Case {
  readonly method?: string;
  readonly path: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Any code of the catalogue with a status below 500 where none is given. */
  readonly code?: ErrorCode;
}

const LONG = 'x'.repeat(300);
const ROOM = `/v1/rooms/${CHANNEL.channel}/r-1`;
const LISTS: readonly (readonly [string, readonly string[]])[] = [
  [`${ROOM}/messages?`, ['limit', 'before']],
  [`${ROOM}/timeline?`, ['limit']],
  ['/v1/rooms?', ['limit', 'olderThan']],
  ['/v1/dead-letters?tenant=default&', ['limit']],
  ['/v1/failures?tenant=default&', ['limit', 'since']],
  ['/v1/charts?', ['from', 'to', 'step']],
  ['/v1/ops/audit?', ['limit', 'before']],
  ['/v1/ops/shards?', ['limit', 'after']],
];
const NUMBERS = [
  'abc',
  '1.5',
  '-1',
  '1e400',
  'Infinity',
  'NaN',
  '0x1g',
  '99999999999999999999',
  '1,2',
  '%00',
  '１',
  'true',
  '[]',
];
const CURSORS = [
  'x',
  '.',
  '..',
  '1.x',
  '.1',
  '1.1.1.1',
  'held.1.x',
  '-1.-1',
  'held.99999999999999999999.1',
  LONG,
  '%00',
  '%F0%9F%98%80',
  "'",
];
const IDS = [
  'x',
  '%2e%2e%2f',
  LONG,
  '%00',
  '0',
  '-1',
  '1.5',
  'AAEAAAAAAAEAAQ-x7f3k2',
  '__proto__',
  '%20',
  "'",
  '%F0%9F%98%80',
];
const BODIES: readonly (readonly [string, ErrorCode])[] = [
  ['{', 'body_malformed_json'],
  ['{}{}', 'body_malformed_json'],
  ["{'a':1}", 'body_malformed_json'],
  ['{"a":NaN}', 'body_malformed_json'],
  ['\ufeff{}', 'body_malformed_json'],
  ['[]', 'field_type'],
  ['null', 'field_type'],
  ['"x"', 'field_type'],
  ['1', 'field_type'],
  ['{"unheard":1}', 'field_unknown'],
  ['{"constructor":1}', 'field_unknown'],
  ['{"__proto__":1}', 'field_unknown'],
  ['{"dryRun":"yes"}', 'field_type'],
  ['{"dryRun":1}', 'field_type'],
  ['{"dryRun":[true]}', 'field_type'],
  [`{"x":${'['.repeat(100)}${']'.repeat(100)}}`, 'body_too_deep'],
];
const REBALANCES: readonly (readonly [string, ErrorCode])[] = [
  ['{"weights":[]}', 'field_type'],
  ['{"weights":{"":1}}', 'field_invalid'],
  ['{"weights":{"a":"1"}}', 'field_type'],
  ['{"weights":{"a":-1}}', 'weight_invalid'],
  [`{"weights":{"${LONG}":1}}`, 'id_too_long'],
  ['{"pins":{}}', 'field_type'],
  ['{"pins":[1]}', 'field_type'],
  ['{"pins":[{"name":"a"}]}', 'field_missing'],
  ['{"pins":[{"shard":1}]}', 'field_missing'],
  ['{"pins":[{"shard":"1","name":"a"}]}', 'field_type'],
  ['{"pins":[{"shard":-1,"name":"a"}]}', 'shard_out_of_range'],
  ['{"pins":[{"first":0,"name":"a"}]}', 'field_missing'],
  ['{"pins":[{"shard":1,"first":2,"name":"a"}]}', 'field_invalid'],
  ['{"pins":[{"shard":1,"name":"a"},{"shard":1,"name":"b"}]}', 'shard_repeated'],
  ['{"pins":[{"shard":1,"name":"a","x":1}]}', 'field_unknown'],
  ['{"moves":[{"shard":1}]}', 'field_missing'],
  ['{"moves":[{"shard":1,"worker":1}]}', 'field_type'],
  ['{"moves":[{"shard":1,"worker":"nobody"}]}', 'worker_not_found'],
  ['{"ifMembership":"1"}', 'field_type'],
  ['{"ifMembership":1.5}', 'field_invalid'],
  ['{"ifMembership":-1}', 'field_invalid'],
];
const SELECTIONS = [
  '{}',
  '{"ids":[1],"filter":{}}',
  '{"ids":"1"}',
  '{"ids":[]}',
  '{"ids":["1"]}',
  '{"ids":[1.5]}',
  '{"ids":[-1]}',
  '{"ids":[1],"limit":1}',
  '{"filter":[]}',
  '{"filter":{"unheard":1}}',
  '{"filter":{},"limit":0}',
  '{"filter":{},"limit":"1"}',
  '{"filter":{"room":"r"}}',
  '{"filter":{"kind":"x"}}',
  '{"filter":{"from":-1}}',
];
const MATCHES = ['"', '"1', '1"', 'W/"1"', '"1","2"', '-1', '1.5', 'x', '9999999999999999'];
const KEYS = [
  'Bearer',
  'Bearer rl_',
  `Bearer rl_aaaaaaaa_${'a'.repeat(43)}`,
  `Bearer ${LONG}`,
  'Basic eDp5',
  'Bearer x y',
  'rl_aaaaaaaa_x',
  'Digest a=b',
];
const SETTINGS = [
  '[]',
  'null',
  '{"platform":1}',
  '{"platform":"pigeon"}',
  '{"accessToken":"plain"}',
  '{"accessToken":{"env":"PATH"}}',
  '{"accessToken":{"file":"../../x"}}',
  '{"ackTimeoutMs":-1}',
  '{"unheard":1}',
  `{"a":${'{"b":'.repeat(20)}1${'}'.repeat(20)}}`,
  '{"a":"\\u0000"}',
  '{"a":"\\ud800"}',
];

const JSON_TYPE = { 'content-type': 'application/json' };
const post =
  (path: string) =>
  ([body, code]: readonly [string, ErrorCode?]): Case => ({
    method: 'POST',
    path,
    body,
    headers: JSON_TYPE,
    ...(code === undefined ? {} : { code }),
  });

const TABLES: Readonly<Record<string, readonly Case[]>> = {
  'numbers in a query': LISTS.flatMap(([path, names]) =>
    names.flatMap((name) =>
      [...NUMBERS.map((value) => `${name}=${encoded(value)}`), `${name}=1&${name}=x`].map((query) => ({
        path: path + query,
      })),
    ),
  ),
  'unknown parameters': LISTS.flatMap(([path]) =>
    ['unheard=1', '__proto__=1', 'LIMIT=1', 'limit[]=1'].map(
      (query): Case => ({ path: path + query, code: 'field_unknown' }),
    ),
  ),
  'page markers': [`${ROOM}/timeline?`, '/v1/rooms?', '/v1/dead-letters?tenant=default&'].flatMap((path) =>
    CURSORS.map((cursor) => ({ path: `${path}cursor=${encoded(cursor)}` })),
  ),
  ids: IDS.flatMap((id) => [
    { path: `/v1/messages/${id}` },
    { method: 'POST', path: `/v1/messages/${id}/cancel` },
    { path: `/v1/dead-letters/${id}` },
    { path: `/v1/rooms/${id}/r-1` },
    { path: `/v1/rooms/${CHANNEL.channel}/${id}` },
    { path: `/v1/ops/channels/default/${id}` },
    { method: 'DELETE', path: `/v1/ops/workers/${id}/drain` },
  ]),
  'bodies of orders': [`${ROOM}/pause`, '/v1/dead-letters/1/discard', '/v1/ops/shards/rebalance'].flatMap((path) =>
    BODIES.map(post(path)),
  ),
  rebalances: REBALANCES.map(post('/v1/ops/shards/rebalance')),
  'selections of dead letters': ['replay', 'discard'].flatMap((what) =>
    SELECTIONS.map((body) => post(`/v1/dead-letters:${what}`)([body])),
  ),
  'settings of channels': SETTINGS.map((body) => ({
    method: 'PUT',
    path: '/v1/ops/channels/default/new',
    body,
    headers: JSON_TYPE,
  })),
  preconditions: MATCHES.flatMap((match): Case[] => [
    {
      method: 'DELETE',
      path: '/v1/ops/channels/default/support',
      headers: { 'if-match': match },
      code: 'field_invalid',
    },
    { ...post('/v1/ops/shards/rebalance')(['{}', 'field_invalid']), headers: { ...JSON_TYPE, 'if-match': match } },
  ]),
  keys: KEYS.flatMap((authorization) =>
    ['/v1/channels', '/v1/pipeline', '/metrics'].map(
      (path): Case => ({ path, headers: { authorization }, code: 'unauthorized' }),
    ),
  ),
  'content types': [
    'text/plain',
    'x',
    'application/xml',
    'multipart/form-data; boundary=x',
    'application/x-www-form-urlencoded',
  ].map(
    (type): Case => ({
      method: 'POST',
      path: `${ROOM}/pause`,
      body: '{}',
      headers: { 'content-type': type },
      code: 'unsupported_media_type',
    }),
  ),
  methods: ['PUT', 'PATCH', 'DELETE'].flatMap((method) =>
    ['/v1/rooms', '/v1/dead-letters', '/v1/openapi.json', '/docs', '/v1/ops/audit'].map(
      (path): Case => ({ method, path, code: 'method_not_allowed' }),
    ),
  ),
};

/** Percent signs that stand already are kept. */
function encoded(value: string): string {
  return value.includes('%') ? value : encodeURIComponent(value);
}

function ask(
  url: string,
  { method = 'GET', path, body, headers = {} }: Case,
): Promise<{ status: number; text: string }> {
  const { hostname, port } = new URL(url);
  const answered = Promise.withResolvers<{ status: number; text: string }>();
  const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
  const all = { ...bearer('read'), ...length, ...headers };
  const client = httpRequest({ hostname, port, method, path, headers: all, timeout: 5_000 }, (response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.once('end', () =>
      answered.resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
    );
  });
  client.once('timeout', () => client.destroy(new Error(`no answer to ${method} ${path}`)));
  client.once('error', answered.reject);
  client.end(body);
  return answered.promise;
}

it.each(Object.entries(TABLES))(
  '%s: every case is refused with its code, and changes nothing',
  async (_what, cases) => {
    const keys = keyEntries((entry) => ({ ...entry, scopes: ['publish', 'read', 'operate'] }));
    const { server, steered, backend } = await startWhole({ keys });
    await steered.process.publish('r-1', ['m-1']);
    const wrong: string[] = [];
    for (const one of cases) {
      const { status, text } = await ask(server.url, one);
      const { code } = JSON.parse(text) as { code?: ErrorCode };
      const right = code !== undefined && ERRORS[code].status === status && status < 500 && (one.code ?? code) === code;
      if (!right) wrong.push(`${one.method ?? 'GET'} ${one.path} ${one.body ?? ''} -> ${status} ${text.slice(0, 200)}`);
    }
    expect(wrong).toEqual([]);
    expect(await steered.audited()).toEqual([]);
    expect(backend.logged.filter(({ event }) => event === 'http.request_failed')).toEqual([]);
  },
);

it('the tables hold at least 300 cases', () => {
  expect(Object.values(TABLES).flat().length).toBeGreaterThanOrEqual(300);
});

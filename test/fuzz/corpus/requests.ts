/** Requests around a body that may well be right: methods, headers, paths, queries. */
import type { ErrorCode } from '../../../src/errors.ts';
import { bearer, JSON_PUBLISH, KEYS } from '../rig.ts';
import { message } from './entry.ts';
import { IDS, pathVerdict } from './ids.ts';

export interface RequestEntry {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Uint8Array | null;
  readonly status: number;
  readonly code: ErrorCode | null;
  readonly field?: string;
}

type Wish = Partial<Pick<RequestEntry, 'method' | 'path' | 'headers' | 'field'>> & {
  readonly body?: string | Uint8Array | null;
};

function publish(name: string, code: ErrorCode | null, status: number, wish: Wish = {}): RequestEntry {
  const { body = message(), ...rest } = wish;
  const raw = typeof body === 'string' ? Buffer.from(body) : body;
  return {
    name: `publish: ${name}`,
    method: 'POST',
    path: '/v1/messages',
    headers: JSON_PUBLISH,
    body: raw,
    status,
    code,
    ...rest,
  };
}

function get(path: string, code: ErrorCode | null, status: number, wish: Wish = {}): RequestEntry {
  const { field, method = 'GET', headers = bearer('read') } = wish;
  const found = {
    name: `${method} ${path.slice(0, 60)} of ${path.length} characters: ${code ?? status}`,
    method,
    path,
    headers,
    body: null,
    status,
    code,
  };
  return field === undefined ? found : { ...found, field };
}

const media = (type: string | null): Record<string, string> =>
  type === null ? { ...bearer('publish') } : { ...bearer('publish'), 'content-type': type };
const key = KEYS.publish.key;
const authorized = (authorization: string | string[]) => ({ 'content-type': 'application/json', authorization });

const PUBLISHING: readonly RequestEntry[] = [
  publish('as it should be', null, 202),
  ...[
    'application/json; charset=utf-8',
    'APPLICATION/JSON',
    'application/json;',
    ' application/json ',
    'application/json; charset=utf-16',
  ].map((type) => publish(`type ${JSON.stringify(type)}`, null, 202, { headers: media(type) })),
  ...[
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/json-patch+json',
    'application/jsonp',
    'application/vnd.api+json',
    'json',
    '*/*',
    'nonsense/',
    '/',
    ';',
    'text/json',
    'application/json, text/plain',
    '__proto__',
    `application/${'x'.repeat(10_000)}`,
  ].map((type) => publish(`type ${type.slice(0, 40)}`, 'unsupported_media_type', 415, { headers: media(type) })),
  publish('no type', 'unsupported_media_type', 415, { headers: media(null) }),
  publish('no body', 'body_malformed_json', 400, { body: null }),
  publish('no body and no type', 'body_malformed_json', 400, { body: null, headers: media(null) }),
  ...['gzip', 'deflate', 'br', 'zstd', 'gzip, gzip', 'GZIP', 'chunked', ''].map((encoding) =>
    publish(`encoding ${JSON.stringify(encoding)}`, 'unsupported_media_type', 415, {
      headers: { ...JSON_PUBLISH, 'content-encoding': encoding },
      field: 'content-encoding',
    }),
  ),
  publish('encoding identity', null, 202, { headers: { ...JSON_PUBLISH, 'content-encoding': 'identity' } }),
  publish('no key', 'unauthorized', 401, { headers: { 'content-type': 'application/json' } }),
  ...[
    '',
    'Bearer',
    'Bearer ',
    `Basic ${key}`,
    key,
    `Bearer ${key}x`,
    `Bearer ${key.slice(0, -1)}`,
    `Bearer  ${key}`,
    `Bearer ${key} ${key}`,
    `Bearer ${key},Bearer ${key}`,
    `Bearer ${key.toUpperCase()}`,
    `Bearer ${'x'.repeat(10_000)}`,
    'Bearer rl_aaaaaaaa_',
    'Bearer __proto__',
    `Digest username="${key}"`,
    'Bearer ÿ',
  ].map((authorization, at) => publish(`wrong key ${at}`, 'unauthorized', 401, { headers: authorized(authorization) })),
  publish('the scheme in small letters', null, 202, { headers: authorized(`bearer ${key}`) }),
  publish('the key of a reader', 'forbidden_scope', 403, { headers: { ...JSON_PUBLISH, ...bearer('read') } }),
  publish('the key of an operator', 'forbidden_scope', 403, { headers: { ...JSON_PUBLISH, ...bearer('operate') } }),
  publish('a wrong key before a broken body', 'unauthorized', 401, { headers: authorized('Bearer x'), body: '{' }),
  publish('a key in the query', 'unauthorized', 401, {
    path: `/v1/messages?key=${key}`,
    headers: { 'content-type': 'application/json' },
  }),
  publish('a query', 'field_unknown', 400, { path: '/v1/messages?x=1&__proto__=2' }),
  publish('a harmful request id', null, 202, { headers: { ...JSON_PUBLISH, 'x-request-id': '<script>' } }),
  publish('a forged method', null, 202, { headers: { ...JSON_PUBLISH, 'x-http-method-override': 'DELETE' } }),
  publish('a forged path', null, 202, {
    headers: { ...JSON_PUBLISH, 'x-original-url': '/metrics', 'x-forwarded-host': 'evil' },
  }),
  publish('a header called __proto__', null, 202, {
    headers: Object.fromEntries([...Object.entries(JSON_PUBLISH), ['__proto__', 'x']]),
  }),
  publish('a body on a path that does not exist', 'not_found', 404, { path: '/v1/message' }),
  publish('a slash at the end', 'method_not_allowed', 405, { path: '/v1/messages/' }),
  publish('two slashes', 'not_found', 404, { path: '//v1/messages' }),
  publish('the path in capitals', 'not_found', 404, { path: '/V1/MESSAGES' }),
  ...['PUT', 'PATCH', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'].map((method) =>
    publish(`method ${method}`, 'method_not_allowed', 405, { method, body: null }),
  ),
  ...['PROPFIND', 'MKCOL', 'SEARCH', 'PURGE', 'LINK', 'REPORT', 'M-SEARCH'].map((method) =>
    publish(`method ${method}`, 'not_found', 404, { method, body: null }),
  ),
];

const query = (text: string, status: number, code: ErrorCode | null, field?: string): RequestEntry[] =>
  ['/v1/rooms/main/nobody', '/v1/rooms/main/nobody/messages'].map((path) =>
    get(`${path}?${text}`, code, status, field === undefined ? {} : { field }),
  );
const page = (text: string, code: ErrorCode, status: number, field?: string): RequestEntry =>
  get(`/v1/rooms/main/nobody/messages?${text}`, code, status, field === undefined ? {} : { field });

const QUERIES: readonly RequestEntry[] = [
  ...query('', 404, 'room_not_found'),
  ...query('tenant=default', 404, 'room_not_found'),
  ...query('tenant=stranger', 404, 'room_not_found'),
  ...query('tenant=', 400, 'field_invalid', 'tenant'),
  ...query('tenant', 400, 'field_invalid', 'tenant'),
  ...query('tenant=%00', 400, 'text_nul_or_surrogate', 'tenant'),
  ...query('tenant=%0A', 400, 'id_invalid', 'tenant'),
  ...query(`tenant=${'x'.repeat(257)}`, 400, 'id_too_long', 'tenant'),
  ...query('tenant=a&tenant=b', 400, 'field_type', 'tenant'),
  ...query('tenant[]=a', 400, 'field_unknown', 'query'),
  ...query('tenant[x]=a', 400, 'field_unknown', 'query'),
  ...query('Tenant=default', 400, 'field_unknown', 'query'),
  ...query('__proto__=x', 400, 'field_unknown', 'query'),
  ...query('__proto__[tenant]=x', 400, 'field_unknown', 'query'),
  ...query('constructor=x', 400, 'field_unknown', 'query'),
  ...query('other=1', 400, 'field_unknown', 'query'),
  ...query('&&&', 404, 'room_not_found'),
  ...query('tenant=%ff', 404, 'room_not_found'),
  ...query('tenant=%', 404, 'room_not_found'),
  ...query('tenant=default%23x', 404, 'room_not_found'),
  ...query(Array.from({ length: 300 }, (_, at) => `a${at}=1`).join('&'), 400, 'field_unknown', 'query'),
  ...['0', '-1', '201', '1e9', '99999999999999999999'].map((limit) =>
    page(`limit=${limit}`, 'field_invalid', 400, 'limit'),
  ),
  ...['', '1.5', 'ten', 'null', 'true', 'NaN', 'Infinity', '-Infinity', '1,000', '1%00', '%EF%BC%91'].map((limit) =>
    page(`limit=${limit}`, 'field_type', 400, 'limit'),
  ),
  page('limit=1&limit=2', 'field_type', 400, 'limit'),
  ...['0', '-1', '9007199254740993', '1e300'].map((before) => page(`before=${before}`, 'field_invalid', 400, 'before')),
  ...['', 'x', '1.5', '{}', '[1]', 'Infinity', '-Infinity'].map((before) =>
    page(`before=${before}`, 'field_type', 400, 'before'),
  ),
  page('before=1', 'room_not_found', 404),
  page('before=9007199254740991&limit=200', 'room_not_found', 404),
];

const PATHS: readonly RequestEntry[] = [
  ...IDS.filter(([, id]) => id !== '' && id.isWellFormed() && id.length < 700).map(([name, id, verdict]) => {
    const path = `/v1/rooms/twin/${encodeURIComponent(id)}`;
    const long = encodeURIComponent(id).length > 2_000;
    const { code, field } = long ? { code: 'field_invalid' as const, field: 'url' } : pathVerdict(verdict);
    const found = get(path, code, code === 'room_not_found' ? 404 : 400, field === undefined ? {} : { field });
    return { ...found, name: `GET a room ${name}` };
  }),
  get('/v1/rooms/main/', 'field_invalid', 400, { field: 'room' }),
  get('/v1/rooms//x', 'field_invalid', 400, { field: 'channel' }),
  get('/v1/rooms/main', 'not_found', 404),
  get('/v1/rooms/twin/..', 'room_not_found', 404),
  get('/v1/rooms/main/../../metrics', 'not_found', 404),
  get('/v1/rooms/nowhere/x', 'room_not_found', 404),
  get('/v1/rooms/__proto__/constructor', 'room_not_found', 404),
  get('/v1/rooms/main/%ff', 'field_invalid', 400, { field: 'url' }),
  get('/v1/rooms/main/%', 'field_invalid', 400, { field: 'url' }),
  get('/v1/rooms/main/%zz', 'field_invalid', 400, { field: 'url' }),
  get('/v1/rooms/main/%ED%A0%80', 'field_invalid', 400, { field: 'url' }),
  get('/v1/rooms/main/%C0%AF', 'field_invalid', 400, { field: 'url' }),
  get(`/v1/rooms/main/${'x'.repeat(768)}`, 'id_too_long', 400, { field: 'room' }),
  get(`/v1/rooms/main/${'x'.repeat(769)}`, 'id_too_long', 400, { field: 'url' }),
  get(`/v1/channels?${'x'.repeat(2_048)}`, 'field_invalid', 400, { field: 'url' }),
  get(`/v1/rooms/${'x'.repeat(257)}/x`, 'id_too_long', 400, { field: 'channel' }),
  get('/v1/rooms/main/\u00ff', 'field_invalid', 400, { field: 'request' }),
  get('/v1/rooms/main/x;y=1', 'room_not_found', 404),
  get('/v1/rooms/main/x/messages/', 'field_invalid', 400, { field: 'messageId' }),
  ...['x', '..', '%00', '%0A', `${'A'.repeat(26)}`, 'A'.repeat(700), '%F0%9F%98%80', '__proto__', "';--"].map((id) =>
    get(`/v1/messages/${id}`, 'message_not_found', 404),
  ),
  get('/v1/messages/%ff', 'field_invalid', 400, { field: 'url' }),
  get('/v1/messages/%2e%2e%2f%2e%2e%2fmetrics', 'message_not_found', 404),
  get('/v1/channels', null, 200),
  get('/v1/channels?x=1', null, 200),
  get('/v1/channels', 'forbidden_scope', 403, { headers: bearer('publish') }),
  get('/v1/channels', 'unauthorized', 401, { headers: {} }),
  get('/v1/channels', null, 200, { method: 'HEAD' }),
  get('/v1/channels', 'method_not_allowed', 405, { method: 'DELETE' }),
  get('/healthz', null, 200, { headers: {} }),
  get('/healthz?x=%ff', null, 200, { headers: {} }),
  get('/readyz', null, 200, { headers: {} }),
  get('/metrics', 'unauthorized', 401, { headers: {} }),
  get('/metrics', 'forbidden_scope', 403),
  get('/..', 'not_found', 404),
  get('/%', 'field_invalid', 400, { field: 'url' }),
  get('/.env', 'not_found', 404),
  get('/v1', 'not_found', 404),
  get('*', 'not_found', 404, { method: 'OPTIONS' }),
  get('/v1/webhooks/default/main', 'signature_invalid', 401),
  get('/v1/webhooks/default/main', 'method_not_allowed', 405, { method: 'PUT' }),
];

export const REQUESTS: readonly RequestEntry[] = [...PUBLISHING, ...QUERIES, ...PATHS];

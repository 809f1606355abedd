/** Bytes on a connection that no HTTP client would send, each complete. */
import type { ErrorCode } from '../../../src/errors.ts';
import { bearer, KEYS } from '../rig.ts';
import { message } from './entry.ts';

export interface WireEntry {
  readonly name: string;
  readonly bytes: string;
  /** Status of the one answer; null where the connection only closes. */
  readonly status: number | null;
  /** Null for an answer that is no refusal. */
  readonly code: ErrorCode | null;
}

const BODY = message();
const KEY = bearer('publish').authorization;

const post = (headers: string, body = BODY, line = 'POST /v1/messages HTTP/1.1'): string =>
  `${line}\r\nhost: x\r\nauthorization: ${KEY}\r\ncontent-type: application/json\r\nconnection: close\r\n${headers}\r\n${body}`;
const length = (body: string): string => `content-length: ${Buffer.byteLength(body)}\r\n`;
const chunked = (chunks: string, headers = ''): string => post(`transfer-encoding: chunked\r\n${headers}`, chunks);
const hex = (value: number): string => value.toString(16);
const whole = `${hex(BODY.length)}\r\n${BODY}\r\n0\r\n\r\n`;
const get = (line: string, headers = ''): string =>
  `${line}\r\nhost: x\r\nauthorization: Bearer ${KEYS.read.key}\r\nconnection: close\r\n${headers}\r\n`;

const entry = (name: string, bytes: string, status: number | null, code: ErrorCode | null = null): WireEntry => ({
  name,
  bytes,
  status,
  code,
});
const broken = (name: string, bytes: string): WireEntry => entry(name, bytes, 400, 'field_invalid');

export const WIRE: readonly WireEntry[] = [
  entry('as it should be', post(length(BODY)), 202),
  entry('in one chunk', chunked(whole), 202),
  entry('in chunks of one byte', chunked(`${[...BODY].map((each) => `1\r\n${each}\r\n`).join('')}0\r\n\r\n`), 202),
  entry('a chunk with an extension', chunked(whole.replace('\r\n', ';name=value\r\n')), 202),
  entry(
    'chunks with a trailer',
    chunked(whole.replace(/\r\n\r\n$/, '\r\nauthorization: x\r\n__proto__: x\r\n\r\n')),
    202,
  ),
  entry('an absolute target', get('GET http://evil.example/v1/channels HTTP/1.1'), 200),
  entry('HTTP/1.0', get('GET /v1/channels HTTP/1.0'), 200),
  entry('an expectation that is met', post(`expect: 100-continue\r\n${length(BODY)}`), 202),
  broken('an expectation that nobody meets', post(`expect: a-miracle\r\n${length(BODY)}`)),
  entry('no host', `GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n`, 400, 'field_missing'),
  broken('garbage', '\u0000\u0001\u0002\r\n\r\n'),
  broken('the start of TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
  broken('the start of SSH', 'SSH-2.0-OpenSSH_9.7\r\n'),
  broken('the start of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  broken('a command of another server', '*1\r\n$4\r\nPING\r\n'),
  broken('an unknown method', 'BREW / HTTP/1.1\r\nhost: x\r\n\r\n'),
  broken('a method of 10,000 letters', `${'X'.repeat(10_000)} / HTTP/1.1\r\nhost: x\r\n\r\n`),
  broken('a version that does not exist', get('GET /healthz HTTP/9.9')),
  broken('no target', get('GET HTTP/1.1')),
  broken('a space within the target', get('GET /v1/rooms/main/a b HTTP/1.1')),
  broken('a NUL within the target', get('GET /v1/\u0000 HTTP/1.1')),
  broken('a space before the colon of a header', post(`x-a : b\r\n${length(BODY)}`)),
  broken('a folded header', post(`x-a: b\r\n c\r\n${length(BODY)}`).replace('x-a: b\r\n c', 'x-a: b\r\n\tc\u0000')),
  broken('a header without a name', post(`: b\r\n${length(BODY)}`)),
  broken('a header without a colon', post(`nonsense\r\n${length(BODY)}`)),
  broken('a NUL in a header', post(`x-a: \u0000\r\n${length(BODY)}`)),
  broken('a bare carriage return in a header', post(`x-a: b\rc: d\r\n${length(BODY)}`)),
  broken('headers of 17,000 bytes', post(`x: ${'x'.repeat(17_000)}\r\n${length(BODY)}`)),
  broken(
    '2,000 headers',
    post(`${Array.from({ length: 2_000 }, (_, at) => `x-${at}: y\r\n`).join('')}${length(BODY)}`),
  ),
  entry(
    '99 headers more',
    post(`${Array.from({ length: 90 }, (_, at) => `x-${at}: y\r\n`).join('')}${length(BODY)}`),
    202,
  ),
  broken('two lengths', post(`content-length: 2\r\ncontent-length: 3\r\n`, '{}')),
  broken('two equal lengths', post(`${length(BODY)}${length(BODY)}`)),
  broken('a length and chunks', post(`${length(BODY)}transfer-encoding: chunked\r\n`, whole)),
  broken('chunks and a length', post(`transfer-encoding: chunked\r\n${length(BODY)}`, whole)),
  broken('a length below nought', post('content-length: -1\r\n')),
  broken('a length with a sign', post('content-length: +5\r\n')),
  broken('a length in hexadecimal', post('content-length: 0x5\r\n')),
  broken('a length with a fraction', post('content-length: 5.0\r\n')),
  broken('a length of 100 digits', post(`content-length: ${'9'.repeat(100)}\r\n`)),
  broken('a list of lengths', post('content-length: 5, 5\r\n')),
  entry('a length beyond the limit', post('content-length: 999999999\r\n'), 413, 'body_too_large'),
  entry('a length that is shorter than the body', post('content-length: 2\r\n', '{}{"channel"'), 400, 'field_missing'),
  entry('a message with garbage behind it', `${post(length(BODY))}garbage`, 202),
  broken('chunks of no length', chunked('zz\r\n')),
  broken('a chunk below nought', chunked('-5\r\nhello\r\n0\r\n\r\n')),
  broken('a chunk that is longer than it says', chunked('2\r\nhello\r\n0\r\n\r\n')),
  broken('a chunk of 2^64 bytes', chunked('ffffffffffffffff1\r\nx')),
  broken('a chunk extension of 100,000 bytes', chunked(`1;${'x'.repeat(100_000)}\r\n{\r\n0\r\n\r\n`)),
  broken('an encoding beside chunks', post('transfer-encoding: chunked, identity\r\n', whole)),
  broken('an unknown transfer encoding', post(`transfer-encoding: nonsense\r\n`, whole)),
  entry(
    'a trick with the name of the encoding',
    post(`transfer-encoding : chunked\r\n${length(BODY)}`, whole),
    400,
    'field_invalid',
  ),
  entry(
    'a wrong key and an announced megabyte',
    post('content-length: 1000000\r\n', '{').replace(KEY, 'Bearer x'),
    401,
    'unauthorized',
  ),
  entry(
    'an upgrade',
    get('GET /healthz HTTP/1.1', 'upgrade: websocket\r\nsec-websocket-key: x\r\n').replace(
      'connection: close',
      'connection: upgrade, close',
    ),
    200,
  ),
  entry('a tunnel', 'CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: x\r\n\r\n', null),
  entry(
    'headers called __proto__ and constructor',
    post(`__proto__: x\r\nconstructor: y\r\n__proto__: z\r\n${length(BODY)}`),
    202,
  ),
];

/** Connections as hostile or broken clients use them, on the real server and engine. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ERRORS, type ErrorCode } from '../../src/errors.ts';
import { eventually } from '../support/events.ts';
import { message } from './corpus/entry.ts';
import { WIRE } from './corpus/wire.ts';
import { startMemoryRig } from './memory.ts';
import { bearer, type Rig } from './rig.ts';
import { Tally } from './tally.ts';

const BODY = message();
const HEAD = `POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: ${bearer('publish').authorization}\r\ncontent-type: application/json\r\n`;
const WHOLE = `${HEAD}content-length: ${Buffer.byteLength(BODY)}\r\n\r\n${BODY}`;

interface Parsed {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** The answers on a connection; an interim one is left out. */
function answersIn(text: string): Parsed[] {
  return text
    .split(/(?=HTTP\/1\.1 \d{3} )/)
    .map((one) => {
      const at = one.indexOf('\r\n\r\n');
      return { status: Number(one.slice(9, 12)), head: one.slice(0, at).toLowerCase(), body: one.slice(at + 4) };
    })
    .filter(({ status }) => status >= 200);
}

function codeOf({ status, head, body }: Parsed): ErrorCode {
  expect(head, body).toContain('content-type: application/problem+json');
  const { code } = JSON.parse(body) as { code: ErrorCode };
  expect(ERRORS[code].status).toBe(status);
  return code;
}

const KEY = `authorization: ${bearer('publish').authorization}\r\n`;
const BATCH = `POST /v1/messages:batch HTTP/1.1\r\nhost: x\r\n${KEY}content-type: application/json\r\n`;
const WEBHOOK = 'POST /v1/webhooks/default/main HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
const ORDER = `POST /v1/rooms/main/r-1/pause HTTP/1.1\r\nhost: x\r\nauthorization: ${bearer('operate').authorization}\r\ncontent-type: application/json\r\n`;
/** What an attacker without a key would have another one's connection carry. */
const INNER = `POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;
const CLOSING = 'GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n';

interface Smuggled {
  readonly name: string;
  readonly bytes: string;
  readonly codes: readonly ErrorCode[];
}

/** A length and chunks contradict each other, on every kind of route; what is behind a whole request is one of its own. */
const SMUGGLED: readonly Smuggled[] = [
  ...[BATCH, WEBHOOK, ORDER].flatMap((head): Smuggled[] => {
    const name = head.slice(0, head.indexOf(' HTTP'));
    return [
      ['a length, then chunks', 'content-length: 4\r\ntransfer-encoding: chunked\r\n'],
      ['chunks, then a length', 'transfer-encoding: chunked\r\ncontent-length: 4\r\n'],
      ['two lengths', 'content-length: 2\r\ncontent-length: 200\r\n'],
      ['a name that is nearly the encoding', 'transfer-encoding : chunked\r\ncontent-length: 2\r\n'],
      ['an encoding that is nearly chunked', 'transfer-encoding: xchunked\r\ncontent-length: 2\r\n'],
    ].map(([how, headers]) => ({
      name: `${name}, ${how}`,
      bytes: `${head}${headers}\r\n0\r\n\r\n${INNER}`,
      codes: ['field_invalid'],
    }));
  }),
  {
    name: 'behind the last chunk',
    bytes: `${HEAD}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n${INNER}`,
    codes: ['field_missing', 'unauthorized'],
  },
  {
    name: 'as the body of a GET',
    bytes: `GET /v1/nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: ${INNER.length}\r\n\r\n${INNER}${CLOSING}`,
    codes: ['not_found', 'not_found'],
  },
  {
    name: 'as the body of a request that is refused before its body is read',
    bytes: `POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${WHOLE.length}\r\n\r\n${WHOLE}${CLOSING}`,
    codes: ['unauthorized', 'not_found'],
  },
];

/** Times for those who send slowly. */
const HASTY = { headersTimeoutMs: 200, requestTimeoutMs: 200, connectionsCheckingIntervalMs: 20 };

describe('On the wire', () => {
  const tally = new Tally();
  const sockets: Socket[] = [];
  let rig: Rig;

  const open = (): { socket: Socket; closed: Promise<string> } => {
    const { hostname, port } = new URL(rig.server.url);
    const socket = connect(Number(port), hostname);
    sockets.push(socket);
    const { promise, resolve } = Promise.withResolvers<string>();
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => resolve(text));
    socket.on('close', () => resolve(text));
    return { socket, closed: promise };
  };

  beforeEach(async () => {
    rig = await startMemoryRig({ maxConnections: 150 });
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    expect(rig.failures).toEqual([]);
    expect(rig.logged.join('')).not.toContain('kanarienvogel');
    await rig.stop();
  });
  afterAll(() => tally.print('On the wire'));

  test.for(WIRE)('$name', async ({ bytes, status, code }) => {
    tally.add('complete');
    const { socket, closed } = open();
    socket.write(bytes, 'latin1');
    const answers = answersIn(await closed);
    await rig.quiet();
    if (status === null) return expect(answers).toEqual([]);
    expect(answers.map((one) => one.status)).toEqual([status]);
    if (code !== null) {
      expect(codeOf(answers[0] as Parsed)).toBe(code);
      expect(rig.watched.changes).toBe(0);
    }
  });

  test('every beginning of a request, closed by the client, changes nothing', async () => {
    for (let end = 0; end < WHOLE.length; end += 3) {
      tally.add('beginnings');
      const { socket, closed } = open();
      socket.end(WHOLE.slice(0, end), 'latin1');
      for (const answer of answersIn(await closed)) expect(codeOf(answer)).toBe('field_invalid');
    }
    await rig.quiet();
    expect(rig.watched.changes).toBe(0);
  });

  test('every beginning of a request, cut off by a reset, changes nothing', async () => {
    for (let end = 1; end < WHOLE.length; end += 7) {
      tally.add('resets');
      const { socket, closed } = open();
      socket.write(WHOLE.slice(0, end), 'latin1');
      await once(socket, 'connect');
      socket.resetAndDestroy();
      await closed;
    }
    await rig.quiet();
    expect(rig.watched.changes).toBe(0);
    expect(rig.logged.join('')).not.toContain('http.request_failed');
  });

  test.for([
    ['headers', 'GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: '],
    ['a body', `${HEAD}content-length: 100000\r\n\r\n{`],
    ['chunks', `${HEAD}transfer-encoding: chunked\r\n\r\n`],
  ] as const)('slow %s end with 408, and keep nobody else waiting', async ([what, start]) => {
    await rig.stop();
    rig = await startMemoryRig(HASTY);
    const drips = Array.from({ length: 50 }, () => {
      tally.add('slow');
      const one = open();
      one.socket.write(start);
      const timer = setInterval(
        () => one.socket.writable && one.socket.write(what === 'chunks' ? '1\r\nx\r\n' : 'x'),
        10,
      );
      return one.closed.finally(() => clearInterval(timer));
    });
    const startedAt = performance.now();
    expect((await fetch(`${rig.server.url}/healthz`)).status).toBe(200);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    for (const text of await Promise.all(drips)) expect(answersIn(text).map(codeOf)).toEqual(['request_timeout']);
    expect(rig.watched.changes).toBe(0);
  });

  test('a body without end is cut off at the limit', async () => {
    tally.add('endless');
    const { socket, closed } = open();
    socket.write(`${HEAD}transfer-encoding: chunked\r\n\r\n`);
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    const more = setInterval(() => socket.writable && socket.write(chunk), 1);
    const answers = answersIn(await closed);
    clearInterval(more);
    expect(answers.map(codeOf)).toEqual(['body_too_large']);
  });

  test('good and bad requests in one write are answered in turn, the bad ones alone refused', async () => {
    const bad = `${HEAD}content-length: 2\r\n\r\n{}`;
    const last = WHOLE.replace('host: x', 'host: x\r\nconnection: close');
    tally.add('pipelined', 61);
    const { socket, closed } = open();
    socket.write(`${(WHOLE + bad).repeat(30)}${last}`);
    const statuses = answersIn(await closed).map(({ status }) => status);
    expect(statuses).toEqual([...Array(30).fill([202, 400]).flat(), 202]);
  });

  test('garbage behind a message is refused after the message is answered', async () => {
    tally.add('pipelined', 2);
    const { socket, closed } = open();
    socket.write(`${WHOLE}garbage\r\n\r\n`);
    expect(answersIn(await closed).map(({ status }) => status)).toEqual([202, 400]);
    await rig.quiet();
    expect(rig.watched.changes).toBeGreaterThan(0);
  });

  test('a request smuggled behind a shorter length is a request of its own, without the key', async () => {
    tally.add('smuggled');
    const inner = `POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;
    const { socket, closed } = open();
    socket.write(`${HEAD}content-length: 2\r\n\r\n{}${inner}`);
    expect(answersIn(await closed).map(codeOf)).toEqual(['field_missing', 'unauthorized']);
    expect(rig.watched.changes).toBe(0);
  });

  test.for(SMUGGLED)('no request comes in smuggled: $name', async ({ bytes, codes }) => {
    tally.add('smuggled');
    const { socket, closed } = open();
    socket.write(bytes, 'latin1');
    expect(answersIn(await closed).map(codeOf)).toEqual(codes);
    await rig.quiet();
    expect(rig.watched.changes).toBe(0);
  });

  test.for([
    ['a batch', `${BATCH}content-length: 100000\r\n\r\n{"messages":[`],
    ['a webhook', `${WEBHOOK}content-length: 100000\r\n\r\n{`],
    ['an order', `${ORDER}content-length: 100000\r\n\r\n{`],
  ] as const)('a slow body of %s ends with 408', async ([, start]) => {
    await rig.stop();
    rig = await startMemoryRig(HASTY);
    tally.add('slow');
    const { socket, closed } = open();
    socket.write(start);
    const timer = setInterval(() => socket.writable && socket.write(' '), 10);
    expect(answersIn(await closed.finally(() => clearInterval(timer))).map(codeOf)).toEqual(['request_timeout']);
    expect(rig.watched.changes).toBe(0);
  });

  test('a client that closes its half still gets its answer', async () => {
    tally.add('half-closed');
    const { socket, closed } = open();
    socket.end(WHOLE);
    expect(answersIn(await closed).map(({ status }) => status)).toEqual([202]);
  });

  test('a client that takes no answer holds up no other', async () => {
    tally.add('slow readers');
    const { socket } = open();
    socket.pause();
    socket.write(`GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n`.repeat(5_000));
    expect((await fetch(`${rig.server.url}/healthz`)).status).toBe(200);
  });

  test('idle connections beyond the cap are closed, and those before it go on', async () => {
    const kept = open();
    await once(kept.socket, 'connect');
    kept.socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n');
    tally.add('idle', 1_000);
    const idle = Array.from({ length: 1_000 }, open);
    let closed = 0;
    for (const one of idle) void one.closed.then(() => closed++);
    await eventually('those beyond the cap are closed', () => closed >= 850);
    kept.socket.write('connection: close\r\n\r\n');
    expect(answersIn(await kept.closed).map(({ status }) => status)).toEqual([200]);
  });
});

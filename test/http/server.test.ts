import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../src/errors.ts';
import { eventually } from '../support/events.ts';
import { stressService } from '../support/stress.ts';
import { bearer, jsonOf, makeServer, open, PUBLISH, problemIn, startServer } from './fixture.ts';

const MESSAGE = JSON.stringify({ channel: 'support', room: 'r', content: {} });

function post(body: string, headers = ''): string {
  return `POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: ${PUBLISH.authorization}\r\ncontent-type: application/json\r\nconnection: close\r\n${headers}\r\n${body}`;
}

describe('the server as a service', () => {
  it('keeps the contract of services', async () => {
    await stressService(() => makeServer().server.service);
  });

  it('fails to start where its port is taken', async () => {
    const { server } = await startServer();
    const second = makeServer({ port: Number(new URL(server.url).port) });
    await expect(second.server.service.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await second.server.service.stop();
    expect(() => second.server.url).toThrow(/not been started/);
  });

  it('answers what is open before it stops, and nothing after', async () => {
    const { backend, server, call } = await startServer();
    const arrived = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    backend.onPublish = async () => {
      arrived.resolve();
      await finish.promise;
      return { kind: 'accepted', address: { shard: 1, id: 1 }, sequence: 1, reference: 'ref', duplicate: false };
    };
    // A connection without a request is not waited for.
    const silent = open(server.url);
    await once(silent.socket, 'connect');
    const keptAlive = open(server.url);
    keptAlive.socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(keptAlive.socket, 'data');
    const publishing = call('/v1/messages', { method: 'POST', headers: PUBLISH, body: MESSAGE });
    await arrived.promise;
    const { url } = server;
    const stopping = server.service.stop();
    finish.resolve();
    expect((await publishing).status).toBe(202);
    await stopping;
    await Promise.all([silent.answer, keptAlive.answer]);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });

  it('does not wait for a body that never comes', async () => {
    const { server } = await startServer();
    const uploading = open(server.url);
    uploading.socket.write('POST /v1/webhooks/default/support HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{');
    // Its headers are read by the time that a later request on another connection is answered.
    await fetch(`${server.url}/healthz`);
    await server.service.stop();
    expect(await uploading.answer).toBe('');
  });
});

describe('every refusal is a problem document', () => {
  it.each<[string, string, RequestInit, number, string]>([
    ['an unknown path', '/v2/nothing', {}, 404, 'not_found'],
    ['an unknown path with a body', '/v2/nothing', { method: 'POST', body: '{' }, 404, 'not_found'],
    ['a wrong method', '/v1/messages', { method: 'DELETE' }, 405, 'method_not_allowed'],
    ['a wrong method with a body', '/healthz', { method: 'POST', body: 'x' }, 405, 'method_not_allowed'],
    ['a GET on webhooks that answers no question', '/v1/webhooks/default/support', {}, 401, 'signature_invalid'],
    ['a PUT on webhooks', '/v1/webhooks/default/support', { method: 'PUT' }, 405, 'method_not_allowed'],
    ['no key', '/v1/channels', {}, 401, 'unauthorized'],
    ['a wrong scope', '/v1/channels', { headers: bearer('publish') }, 403, 'forbidden_scope'],
    [
      'text',
      '/v1/messages',
      { method: 'POST', headers: bearer('publish'), body: MESSAGE },
      415,
      'unsupported_media_type',
    ],
    [
      'a form',
      '/v1/messages',
      { method: 'POST', headers: bearer('publish'), body: new URLSearchParams({ a: '1' }) },
      415,
      'unsupported_media_type',
    ],
    [
      'a compressed body',
      '/v1/messages',
      { method: 'POST', headers: { ...PUBLISH, 'content-encoding': 'gzip' }, body: new Uint8Array([31, 139, 8, 0]) },
      415,
      'unsupported_media_type',
    ],
    [
      'a body too large',
      '/v1/messages',
      { method: 'POST', headers: PUBLISH, body: 'x'.repeat(1_048_577) },
      413,
      'body_too_large',
    ],
    ['no body', '/v1/messages', { method: 'POST', headers: PUBLISH }, 400, 'body_malformed_json'],
    ['a broken escape in the path', '/v1/messages/%ff', { headers: bearer('read') }, 400, 'field_invalid'],
    ['an endless identifier', `/v1/messages/${'x'.repeat(1_000)}`, { headers: bearer('read') }, 400, 'id_too_long'],
    ['an endless URL', `/v1/channels?${'x'.repeat(2_100)}`, { headers: bearer('read') }, 400, 'field_invalid'],
  ])('%s', async (_what, path, init, status, code) => {
    const { call, backend } = await startServer();
    const response = await call(path, init);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    const problem = await jsonOf(response);
    expect(problem).toMatchObject({ type: `urn:roomline:error:${code}`, status, code });
    expect(problem.requestId).toBe(response.headers.get('x-request-id'));
    expect(backend.published).toEqual([]);
  });

  it('names the methods that an address supports', async () => {
    const { call } = await startServer();
    expect((await call('/v1/messages')).headers.get('allow')).toBe('POST');
    expect((await call('/v1/channels', { method: 'PUT' })).headers.get('allow')).toBe('GET, HEAD');
  });

  it('refuses a wrong key before it reads the body', async () => {
    const { raw } = await startServer();
    const answer = await raw(
      'POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: 1000000\r\n\r\n{',
    );
    expect(problemIn(answer)).toMatchObject({ code: 'unauthorized' });
    expect(answer).toMatch(/www-authenticate: Bearer/i);
  });

  it('hides what failed inside, and logs it without its text', async () => {
    const { backend, call } = await startServer();
    backend.onPublish = async () => {
      throw Object.assign(new Error('SELECT secret FROM host 10.0.0.1'), { code: '57P01' });
    };
    const response = await call('/v1/messages', { method: 'POST', headers: PUBLISH, body: MESSAGE });
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ code: 'internal', retryable: true });
    expect(text).not.toMatch(/SELECT|10\.0\.0\.1|57P01/);
    expect(backend.logged.at(-1)).toMatchObject({
      event: 'http.request_failed',
      fields: { method: 'POST', route: '/v1/messages', status: 500, code: '57P01' },
    });
    expect(JSON.stringify(backend.logged)).not.toContain('SELECT');
  });
});

describe('request ids', () => {
  it('are taken over where they are harmless', async () => {
    const { call } = await startServer();
    const response = await call('/v1/nothing', { headers: { 'x-request-id': 'trace.1:2_3-4' } });
    expect(response.headers.get('x-request-id')).toBe('trace.1:2_3-4');
    expect(await response.json()).toMatchObject({ requestId: 'trace.1:2_3-4' });
  });

  it.each(['', 'a b', '<script>', 'x'.repeat(65)])('are made anew in place of "%s"', async (given) => {
    const { call } = await startServer();
    const response = await call('/healthz', { headers: { 'x-request-id': given } });
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('broken and hostile requests', () => {
  it.each([
    ['garbage', '\u0000\u0001\u0002\r\n\r\n', 'field_invalid'],
    ['the start of TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'field_invalid'],
    ['an unknown method', 'BREW / HTTP/1.1\r\nhost: x\r\n\r\n', 'field_invalid'],
    ['endless headers', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'x'.repeat(17_000)}\r\n\r\n`, 'field_invalid'],
    ['two lengths', post('{}', 'content-length: 2\r\ncontent-length: 3\r\n'), 'field_invalid'],
    ['a length and chunks', post('0\r\n\r\n', 'content-length: 2\r\ntransfer-encoding: chunked\r\n'), 'field_invalid'],
    ['a broken chunk', post('zz\r\n', 'transfer-encoding: chunked\r\n'), 'field_invalid'],
  ])('%s gets a problem document', async (_what, bytes, code) => {
    const { raw, backend } = await startServer();
    const answer = await raw(bytes);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(problemIn(answer)).toMatchObject({ code, status: 400 });
    expect(backend.published).toEqual([]);
  });

  it('a header called __proto__ changes nothing', async () => {
    const { raw, backend } = await startServer();
    const answer = await raw(
      post(MESSAGE, `__proto__: polluted\r\nconstructor: x\r\ncontent-length: ${MESSAGE.length}\r\n`),
    );
    expect(answer).toMatch(/^HTTP\/1\.1 202 /);
    expect(({} as { polluted?: string }).polluted).toBeUndefined();
    const headers = `__proto__: x\r\nwebhook-signature: v1,x\r\nconnection: close\r\ncontent-length: 2\r\n`;
    expect(await raw(`POST /v1/webhooks/default/support HTTP/1.1\r\nhost: x\r\n${headers}\r\n{}`)).toMatch(/ 200 /);
    expect(backend.webhooks[0]?.headers).toMatchObject({ 'webhook-signature': 'v1,x' });
  });

  it('a body without end is cut off at the limit', async () => {
    const { server } = await startServer({ bodyLimitBytes: 4_096 });
    const { socket, answer } = open(server.url);
    socket.write(post('', 'transfer-encoding: chunked\r\n'));
    const chunk = `400\r\n${'x'.repeat(0x400)}\r\n`;
    const more = setInterval(() => socket.writable && socket.write(chunk), 1);
    const text = await answer;
    clearInterval(more);
    expect(problemIn(text)).toMatchObject({ code: 'body_too_large', status: 413 });
  });

  it('a body that is too large by its length is not read', async () => {
    const { raw } = await startServer({ bodyLimitBytes: 4_096 });
    expect(problemIn(await raw(post('', 'content-length: 999999999\r\n')))).toMatchObject({ code: 'body_too_large' });
  });

  it.each([
    ['headers', 'GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: '],
    ['a body', post('{', 'content-length: 1000\r\n')],
  ])('slow %s end with 408', async (_what, start) => {
    const { server, backend } = await startServer({
      headersTimeoutMs: 150,
      requestTimeoutMs: 150,
      connectionsCheckingIntervalMs: 25,
    });
    const { socket, answer } = open(server.url);
    socket.write(start);
    const drip = setInterval(() => socket.writable && socket.write('x'), 20);
    const text = await answer;
    clearInterval(drip);
    expect(text).toMatch(/^HTTP\/1\.1 408 /);
    expect(problemIn(text)).toMatchObject({ code: 'request_timeout', retryable: true });
    expect(backend.published).toEqual([]);
  });

  it('a client that leaves within its body is forgotten', async () => {
    const { server, backend, call } = await startServer({ maxOpenRequests: 1 });
    const { socket } = open(server.url);
    socket.write(post('{"channel"', 'content-length: 100\r\n'));
    await once(socket, 'connect');
    socket.destroy();
    await eventually(
      'the place is free again',
      async () => (await call('/v1/channels', { headers: bearer('read') })).ok,
    );
    expect(backend.published).toEqual([]);
    expect(backend.logged.filter(({ event }) => event === 'http.request_failed')).toEqual([]);
  });

  it('pipelined requests are answered in order', async () => {
    const { raw, backend } = await startServer();
    const one = post(MESSAGE, `content-length: ${MESSAGE.length}\r\n`).replace('connection: close\r\n', '');
    const last = post(MESSAGE, `content-length: ${MESSAGE.length}\r\n`);
    const answer = await raw(one + one + last);
    expect(answer.match(/HTTP\/1\.1 202 /g)).toHaveLength(3);
    expect([...answer.matchAll(/"sequence":(\d)/g)].map(([, sequence]) => sequence)).toEqual(['1', '2', '3']);
    expect(backend.published).toHaveLength(3);
  });

  it('a client that has closed its half still gets its answer', async () => {
    const { server } = await startServer();
    const { socket, answer } = open(server.url);
    socket.end(post(MESSAGE, `content-length: ${MESSAGE.length}\r\n`));
    expect(await answer).toMatch(/^HTTP\/1\.1 202 /);
  });

  it('connections beyond the cap are closed', async () => {
    const { server } = await startServer({ maxConnections: 1 });
    const first = open(server.url);
    first.socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(first.socket, 'data');
    const { hostname, port } = new URL(server.url);
    const second = connect(Number(port), hostname);
    second.on('error', () => {});
    await once(second, 'close');
    expect(first.socket.readyState).toBe('open');
  });

  it('the last request that a connection may bring is told so', async () => {
    const { server } = await startServer({ maxRequestsPerSocket: 2 });
    const { socket } = open(server.url);
    const answers: string[] = [];
    for (let request = 1; request <= 2; request++) {
      socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n');
      const [chunk] = await once(socket, 'data');
      answers.push(String(chunk).toLowerCase());
    }
    expect(answers[0]).toContain('connection: keep-alive');
    expect(answers[1]).toContain('connection: close');
  });
});

describe('too much at once', () => {
  it('is refused with 503 and a time to wait, before the body is read', async () => {
    const { backend, call } = await startServer({ maxOpenRequests: 2 });
    const release = Promise.withResolvers<void>();
    let inside = 0;
    const full = Promise.withResolvers<void>();
    backend.onPublish = async () => {
      if (++inside === 2) full.resolve();
      await release.promise;
      return { kind: 'accepted', address: { shard: 1, id: 1 }, sequence: 1, reference: 'ref', duplicate: false };
    };
    const publish = () => call('/v1/messages', { method: 'POST', headers: PUBLISH, body: MESSAGE });
    const open = [publish(), publish()];
    await full.promise;
    const refused = await publish();
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('1');
    expect(await refused.json()).toMatchObject({ code: 'overloaded', retryable: true });
    expect((await call('/healthz')).status).toBe(200);
    release.resolve();
    expect((await Promise.all(open)).map((response) => response.status)).toEqual([202, 202]);
    expect((await publish()).status).toBe(202);
  });

  it('is refused as intake says, with its time to wait', async () => {
    const { backend, call } = await startServer();
    backend.onPublish = async () => {
      throw new RoomlineError('overloaded', { detail: 'intake is full', retryAfterMs: 2_500 });
    };
    const response = await call('/v1/messages', { method: 'POST', headers: PUBLISH, body: MESSAGE });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('3');
    expect(await response.json()).toMatchObject({ code: 'overloaded', retryAfterMs: 2_500 });
  });

  it('is answered with 503 where the engine takes too long', async () => {
    const { backend, call } = await startServer({ answerTimeoutMs: 80 });
    const release = Promise.withResolvers<never>();
    backend.onPublish = () => release.promise;
    const response = await call('/v1/messages', { method: 'POST', headers: PUBLISH, body: MESSAGE });
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: 'not_ready', retryable: true });
    // What fails after the answer is nobody's crash.
    release.reject(new Error('too late'));
    expect((await call('/healthz')).status).toBe(200);
  });
});

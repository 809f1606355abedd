import { once } from 'node:events';
import { request as ask, createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import { splitBody } from '../../src/engine/message.ts';
import type { IntakeResult } from '../../src/engine/ports.ts';
import { RoomlineError } from '../../src/errors.ts';
import { BodyBudget } from '../../src/http/guard.ts';
import { bearer, jsonOf, open, PUBLISH, startServer } from './fixture.ts';

interface Result {
  readonly index: number;
  readonly id?: string;
  readonly sequence?: number;
  readonly error?: { readonly code: string; readonly status: number; readonly field?: string; readonly rule?: string };
}

const item = (change: object = {}) => ({ channel: 'support', room: 'r', content: { text: 'Hello' }, ...change });
const batch = (...messages: unknown[]) => JSON.stringify({ messages });

const post = (body: string | Uint8Array<ArrayBuffer>, headers: object = {}) => ({
  method: 'POST',
  headers: { ...PUBLISH, ...headers },
  body,
});

const ADDRESS = { shard: 1, id: 1 };
const accepted = (sequence: number): IntakeResult => ({
  kind: 'accepted',
  address: ADDRESS,
  sequence,
  reference: `ref-${sequence}`,
  duplicate: false,
});

async function send(body: string | Uint8Array<ArrayBuffer>, headers: object = {}) {
  const running = await startServer();
  const response = await running.call('/v1/messages:batch', post(body, headers));
  return { ...running, response, answer: await jsonOf(response) };
}

/** A value of `depth` arrays inside each other. */
const nested = (depth: number) => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);

describe('POST /v1/messages:batch', () => {
  it('answers each message in the order of the batch', async () => {
    const { backend, response, answer } = await send(
      batch(item({ messageId: 'a' }), item({ room: 's' }), item({ messageId: 'b' })),
    );
    expect(response.status).toBe(202);
    expect(answer).toEqual({
      accepted: 3,
      refused: 0,
      results: [
        {
          index: 0,
          id: 'ref-1-1',
          room: 'r',
          sequence: 1,
          duplicate: false,
          status: '/v1/messages/ref-1-1',
          mode: 'direct',
        },
        {
          index: 1,
          id: 'ref-2-1',
          room: 's',
          sequence: 1,
          duplicate: false,
          status: '/v1/messages/ref-2-1',
          mode: 'direct',
        },
        {
          index: 2,
          id: 'ref-1-2',
          room: 'r',
          sequence: 2,
          duplicate: false,
          status: '/v1/messages/ref-1-2',
          mode: 'direct',
        },
      ],
    });
    expect(backend.published.map(({ messageId }) => messageId)).toEqual(['a', null, 'b']);
    const stored = splitBody(backend.published[0]?.body ?? new Uint8Array());
    expect(Buffer.from(stored.body).toString()).toBe('{"to":"r","content":{"text":"Hello"}}');
  });

  const bad: readonly [string, unknown, number, string, string | undefined][] = [
    ['null', null, 400, 'field_type', 'body'],
    ['a text', 'message', 400, 'field_type', 'body'],
    ['a number', 7, 400, 'field_type', 'body'],
    ['a list', [item()], 400, 'field_type', 'body'],
    ['a batch', { messages: [item()] }, 400, 'field_unknown', 'messages'],
    ['empty', {}, 400, 'field_missing', 'channel'],
    ['without content', item({ content: undefined }), 400, 'field_missing', 'content'],
    ['without room', item({ room: undefined }), 400, 'field_missing', 'room'],
    ['with a room that is a number', item({ room: 7 }), 400, 'field_type', 'room'],
    ['with an empty room', item({ room: '' }), 400, 'field_invalid', 'room'],
    ['with a room that is too long', item({ room: 'x'.repeat(257) }), 400, 'id_too_long', 'room'],
    ['with a control character in its room', item({ room: 'a\tb' }), 400, 'id_invalid', 'room'],
    ['with a message id that is a list', item({ messageId: ['a'] }), 400, 'field_type', 'messageId'],
    ['for an unknown channel', item({ channel: 'sales' }), 422, 'channel_unknown', 'channel'],
    ['for a foreign tenant', item({ tenant: 'other' }), 422, 'channel_unknown', 'channel'],
    ['with an unknown field', item({ prioritised: true }), 400, 'field_unknown', 'prioritised'],
    ['with content that is a list', item({ content: [] }), 400, 'field_type', 'content'],
    ['with NUL', item({ content: { text: '\0' } }), 400, 'text_nul_or_surrogate', 'content'],
    ['with a lone surrogate', item({ content: { text: '\ud800' } }), 400, 'text_nul_or_surrogate', 'content'],
    ['with a lone surrogate in a name', item({ content: { '\udc00': 1 } }), 400, 'text_nul_or_surrogate', 'content'],
    ['with a number that is too large', item({ content: { n: 2 ** 60 } }), 400, 'number_not_finite', 'content'],
    ['too deep', item({ content: { text: nested(40) } }), 400, 'body_too_deep', 'content'],
    ['of 1 MiB', item({ content: { text: 'x'.repeat(1_048_576) } }), 413, 'payload_too_large', 'content'],
    ['with a timeout of nothing', item({ ackTimeoutMs: 0 }), 400, 'field_invalid', 'ackTimeoutMs'],
    ['with an unknown policy', item({ failurePolicy: 'retry' }), 400, 'field_invalid', 'failurePolicy'],
    [
      'expired before it begins',
      item({ notBefore: 1_700_000_000_002, expiresAt: 1_700_000_000_001 }),
      400,
      'field_invalid',
      'expiresAt',
    ],
    ['with a day that does not exist', item({ notBefore: '2026-02-30T00:00:00Z' }), 400, 'field_invalid', 'notBefore'],
    ['that supersedes itself', item({ messageId: 'a', supersedes: 'a' }), 400, 'field_invalid', 'supersedes'],
  ];
  it.each(bad)('refuses a message that is %s alone', async (_what, message, status, code, field) => {
    const text = batch(item({ messageId: 'a' }), '~', item({ messageId: 'b' }));
    // What JSON cannot say with `undefined` is left out by it.
    const { backend, response, answer } = await send(text.replace('"~"', JSON.stringify(message)));
    expect(response.status).toBe(202);
    expect(answer).toMatchObject({ accepted: 2, refused: 1 });
    const [first, refused, last] = answer.results as Result[];
    expect([first, last]).toMatchObject([
      { index: 0, sequence: 1 },
      { index: 2, sequence: 2 },
    ]);
    expect(refused).toMatchObject({ index: 1, error: { code, status } });
    expect(refused?.error?.field).toBe(field);
    expect(backend.published.map(({ messageId }) => messageId)).toEqual(['a', 'b']);
    expect(await backend.metrics.render()).toContain(`roomline_intake_refused_total{source="http",code="${code}"} 1`);
  });

  it('refuses alone what is nested a hundred thousand times', async () => {
    const deep = `{"channel":"support","room":"r","content":{"n":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`;
    const { answer } = await send(`{"messages":[${deep},${JSON.stringify(item())}]}`);
    expect(answer).toMatchObject({ accepted: 1, refused: 1, results: [{ error: { code: 'body_too_deep' } }, {}] });
  });

  it('says of a refused message what the endpoint for one says of it', async () => {
    const { call } = await startServer();
    const headers = { 'x-request-id': 'r-1' };
    const one = await call('/v1/messages', post(JSON.stringify(item({ room: 7 })), headers));
    const many = await call('/v1/messages:batch', post(batch(item({ room: 7 })), headers));
    expect(await many.json()).toEqual({ accepted: 0, refused: 1, results: [{ index: 0, error: await one.json() }] });
  });

  it.each<[string, string | Uint8Array<ArrayBuffer>, number, string, string | undefined]>([
    ['empty', '', 400, 'body_malformed_json', undefined],
    ['cut off', '{"messages":[{"channel":"support"', 400, 'body_malformed_json', undefined],
    ['not UTF-8', new Uint8Array([0xff, 0xfe]), 400, 'body_not_utf8', undefined],
    [
      'with NaN',
      '{"messages":[{"channel":"support","room":"r","content":{"n":NaN}}]}',
      400,
      'body_malformed_json',
      undefined,
    ],
    ['followed by more', `${batch(item())}{}`, 400, 'body_malformed_json', undefined],
    [
      'a line for each message',
      `${JSON.stringify(item())}\n${JSON.stringify(item())}`,
      400,
      'body_malformed_json',
      undefined,
    ],
    ['a list', JSON.stringify([item()]), 400, 'field_type', 'body'],
    ['null', 'null', 400, 'field_type', 'body'],
    ['one message', JSON.stringify(item()), 400, 'field_unknown', 'channel'],
    ['an empty object', '{}', 400, 'field_missing', 'messages'],
    ['with messages that are an object', '{"messages":{"0":{}}}', 400, 'field_type', 'messages'],
    ['with messages that are a text', '{"messages":"[]"}', 400, 'field_type', 'messages'],
    ['with messages that are null', '{"messages":null}', 400, 'field_type', 'messages'],
    ['with more than messages', '{"messages":[],"atomic":true}', 400, 'field_unknown', 'atomic'],
    ['with __proto__', '{"__proto__":{"messages":[]}}', 400, 'field_unknown', '__proto__'],
    ['of no messages', batch(), 400, 'field_invalid', 'messages'],
    ['of 5,001 messages', batch(...Array.from({ length: 5_001 }, () => 0)), 413, 'batch_too_large', 'messages'],
    ['far too deep', `{"messages":${'['.repeat(200_000)}${']'.repeat(200_000)}}`, 202, '', undefined],
  ])('refuses as a whole what is %s', async (_what, text, status, code, field) => {
    const { backend, response, answer } = await send(text);
    expect(response.status).toBe(status);
    if (status === 202) {
      expect(answer).toMatchObject({ accepted: 0, refused: 1, results: [{ index: 0, error: { code: 'field_type' } }] });
      return;
    }
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    expect(answer).toMatchObject({ code });
    expect(answer.field).toBe(field);
    expect(backend.published).toEqual([]);
  });

  it('takes 5,000 messages', async () => {
    const { backend, response, answer } = await send(
      batch(...Array.from({ length: 5_000 }, (_, index) => item({ messageId: `m-${index}`, room: `r-${index % 7}` }))),
    );
    expect(response.status).toBe(202);
    expect(answer).toMatchObject({ accepted: 5_000, refused: 0 });
    expect((answer.results as Result[]).map(({ index }) => index)).toEqual([...Array(5_000).keys()]);
    expect(backend.published.map(({ messageId }) => messageId)).toEqual([...Array(5_000).keys()].map((i) => `m-${i}`));
  });

  it('reads neither packed bodies nor other types', async () => {
    const { call } = await startServer();
    const packed = new Uint8Array(gzipSync(batch(item())));
    for (const headers of [{ 'content-encoding': 'gzip' }, { 'content-type': 'application/x-ndjson' }]) {
      const response = await call('/v1/messages:batch', post(packed, headers));
      expect(response.status).toBe(415);
      expect(await response.json()).toMatchObject({ code: 'unsupported_media_type' });
    }
    const unmarked = await call('/v1/messages:batch', post(packed));
    expect(unmarked.status).toBe(400);
  });

  it('wants the scope publish, and the method POST', async () => {
    const { call } = await startServer();
    const as = (scope: 'read' | 'operate') => ({ ...post(batch(item())), headers: { ...PUBLISH, ...bearer(scope) } });
    expect((await call('/v1/messages:batch', as('read'))).status).toBe(403);
    expect((await call('/v1/messages:batch', as('operate'))).status).toBe(403);
    expect((await call('/v1/messages:batch', { method: 'POST', body: batch(item()) })).status).toBe(401);
    const other = await call('/v1/messages:batch', { headers: PUBLISH });
    expect(other.status).toBe(405);
    expect(other.headers.get('allow')).toBe('POST');
  });

  it('takes larger bodies than the endpoint for one, up to a limit of its own', async () => {
    const { call } = await startServer({ bodyLimitBytes: 1_024, batchBodyLimitBytes: 8_192 });
    const text = 'x'.repeat(3_000);
    expect((await call('/v1/messages:batch', post(batch(item({ content: { text } }))))).status).toBe(202);
    const large = await call('/v1/messages:batch', post(batch(...Array(4).fill(item({ content: { text } })))));
    expect(large.status).toBe(413);
    expect(await large.json()).toMatchObject({ code: 'body_too_large' });
  });

  it('refuses further bodies while those that are open take up all that they may', async () => {
    const { call, server, backend } = await startServer({ batchBodyLimitBytes: 1_024 });
    const head = (length: number) =>
      [
        'POST /v1/messages:batch HTTP/1.1',
        'host: x',
        ...Object.entries(PUBLISH).map(([name, value]) => `${name}: ${value}`),
        `content-length: ${length}`,
        'connection: close',
        '',
        '',
      ].join('\r\n');
    const body = batch(item());
    const text = `${body}${' '.repeat(1_024 - body.length)}`;
    const held = Array.from({ length: 8 }, () => open(server.url));
    for (const { socket } of held) socket.write(`${head(1_024)}${text.slice(0, 10)}`);
    let response = await call('/v1/messages:batch', post(body));
    while (response.status === 202) response = await call('/v1/messages:batch', post(body));
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ code: 'overloaded' });
    for (const { socket } of held) socket.write(text.slice(10));
    for (const { answer } of held) expect(await answer).toContain('202 Accepted');
    const before = backend.published.length;
    expect((await call('/v1/messages:batch', post(body))).status).toBe(202);
    expect(backend.published.length).toBe(before + 1);
  });

  it('is refused as a whole as intake says, with its time to wait', async () => {
    const { backend, call } = await startServer();
    backend.onPublishAll = async () => {
      throw new RoomlineError('overloaded', { detail: 'intake is full', retryAfterMs: 3_000 });
    };
    const response = await call('/v1/messages:batch', post(batch(item(), item())));
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('3');
    expect(await response.json()).toMatchObject({ code: 'overloaded', retryable: true });
  });

  it('tells conflicts and what the store refuses of single messages, and nothing of why', async () => {
    const { backend, call } = await startServer();
    backend.onPublishAll = async () => [
      { kind: 'conflict', sequence: 4, reference: 'ref-9' },
      { kind: 'refused', error: new Error('canary of the database') },
      { kind: 'refused', error: new RoomlineError('not_ready') },
      accepted(5),
    ];
    const response = await call('/v1/messages:batch', post(batch(item(), item(), item(), item())));
    expect(response.status).toBe(202);
    const text = await response.text();
    expect(text).not.toContain('canary');
    expect(JSON.parse(text)).toMatchObject({
      accepted: 1,
      refused: 3,
      results: [
        { index: 0, error: { code: 'message_id_conflict', status: 409, field: 'messageId' } },
        { index: 1, error: { code: 'internal', status: 500 } },
        { index: 2, error: { code: 'not_ready', status: 503, retryable: true } },
        { index: 3, id: 'ref-5', sequence: 5 },
      ],
    });
  });

  it('publishes nothing where no message is valid', async () => {
    const { backend, call } = await startServer();
    backend.onPublishAll = async () => {
      throw new Error('not reached');
    };
    const response = await call('/v1/messages:batch', post(batch({}, {})));
    expect(await response.json()).toMatchObject({ accepted: 0, refused: 2 });
  });

  it('keeps the order of what one connection sends without waiting for answers', async () => {
    const { backend, server } = await startServer();
    const request = (path: string, text: string, last = false) =>
      [
        `POST ${path} HTTP/1.1`,
        'host: x',
        ...Object.entries(PUBLISH).map(([name, value]) => `${name}: ${value}`),
        `content-length: ${Buffer.byteLength(text)}`,
        ...(last ? ['connection: close'] : []),
        '',
        text,
      ].join('\r\n');
    const ids = (name: string) => Array.from({ length: 1_000 }, (_, index) => `${name}-${index}`);
    const many = (name: string) => batch(...ids(name).map((messageId) => item({ messageId })));
    const { socket, answer } = open(server.url);
    socket.write(request('/v1/messages:batch', many('a')));
    socket.write(request('/v1/messages', JSON.stringify(item({ messageId: 'between' }))));
    socket.write(request('/v1/messages:batch', 'broken'));
    socket.write(request('/v1/messages:batch', many('b')));
    socket.write(request('/v1/messages', JSON.stringify(item({ messageId: 'last' })), true));
    await answer;
    expect(backend.published.map(({ messageId }) => messageId)).toEqual([...ids('a'), 'between', ...ids('b'), 'last']);
  });

  it('writes neither recipients nor content to the log', async () => {
    const { backend } = await send(batch(item({ to: 'canary-1\n' }), item({ content: { 'canary-2': '\0' } }), item()));
    expect(backend.logged).toContainEqual({
      event: 'http.items_refused',
      fields: { requestId: expect.any(String), code: 'text_nul_or_surrogate', count: 1 },
    });
    expect(JSON.stringify(backend.logged)).not.toContain('canary');
  });
});

describe('a request id', () => {
  it('is kept with the messages that the request brought', async () => {
    const { call } = await startServer();
    const headers = { 'x-request-id': 'trace:1' };
    const one = await jsonOf(await call('/v1/messages', post(JSON.stringify(item()), headers)));
    const many = await jsonOf(await call('/v1/messages:batch', post(batch(item()), headers)));
    for (const id of [one.id, (many.results as Result[])[0]?.id]) {
      const view = await jsonOf(await call(`/v1/messages/${id}`, { headers: bearer('read') }));
      expect(view.requestId).toBe('trace:1');
    }
  });

  it('is made where none was given, and is that of the answer', async () => {
    const { call } = await startServer();
    const response = await call('/v1/messages:batch', post(batch(item())));
    const view = await jsonOf(await call('/v1/messages/ref-1-1', { headers: bearer('read') }));
    expect(view.requestId).toBe(response.headers.get('x-request-id'));
    expect(view.requestId).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('an idempotency key', () => {
  const key = (value: string) => ({ 'idempotency-key': value });

  it('stands for the message id that is not given', async () => {
    const { backend, call } = await startServer();
    await call('/v1/messages', post(JSON.stringify(item()), key('k-1')));
    await call('/v1/messages', post(JSON.stringify(item({ messageId: 'own' })), key('k-1')));
    await call('/v1/messages:batch', post(batch(item(), {}, item({ messageId: 'mine' }), item()), key('k-2')));
    expect(backend.published.map(({ messageId }) => messageId)).toEqual(['k-1', 'own', 'k-2:0', 'mine', 'k-2:3']);
  });

  it.each(['', ' ', 'a b', 'ü', 'x'.repeat(251), 'a, b'])('is refused as "%s"', async (value) => {
    const { call, backend } = await startServer();
    for (const [path, text] of [
      ['/v1/messages', JSON.stringify(item())],
      ['/v1/messages:batch', batch(item())],
    ] as const) {
      const response = await call(path, post(text, key(value)));
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ code: 'field_invalid', field: 'idempotency-key' });
    }
    expect(backend.published).toEqual([]);
  });
});

describe('the room for large bodies', () => {
  it('is not taken for ever by a caller who has gone before it is asked', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const client = ask({ port, host: '127.0.0.1', method: 'POST', headers: { 'content-length': 600 } });
    client.on('error', () => undefined);
    client.write('[');
    const [raw, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
    const closed = once(response, 'close');
    client.destroy();
    await closed;
    const budget = new BodyBudget(1_000, 600);
    const of = (one: ServerResponse) =>
      budget.guard({ headers: raw.headers, raw: one.req } as FastifyRequest, { raw: one } as unknown as FastifyReply);
    // A guard before it, which asks what all processes share, has let the request through only now.
    await of(response).catch(() => undefined);
    const other = ask({ port, host: '127.0.0.1', method: 'POST', headers: { 'content-length': 600 } });
    other.on('error', () => undefined);
    onTestFinished(() => void other.destroy());
    other.write('[');
    const [, open] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
    await expect(of(open)).resolves.toBeUndefined();
  });
});

import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PlatformChannel, SendRequest } from '../../src/engine/ports.ts';
import { createPlatformChannel } from '../../src/platforms/registry.ts';
import { answer, type Behaviour, type Gateway, startGateway } from './gateway.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const ACCEPTED = { id: 'gw-1', acceptedAt: 1_700_000_000_000 };
const BODY = Buffer.from('{"to":"+15550100001","content":{"text":"Grüße","list":[1,2]}}');

const request: SendRequest = {
  reference: 'AAAAAAAAAAAqAAAAAAAHq83vEjRW',
  body: BODY,
  attempt: 2,
  worker: 'worker-7f',
  generation: 3,
  timeoutMs: 5_000,
};

let gateway: Gateway;
let channel: PlatformChannel;

function open(baseUrl: string, change: { lookup?: boolean; maxConcurrentSends?: number } = {}): PlatformChannel {
  const secret = (text: string) => ({ reveal: () => text });
  return createPlatformChannel(
    'generic',
    {
      baseUrl,
      accessToken: secret('token-1'),
      webhookSecrets: [secret('a secret of the webhook')],
      lookup: true,
      maxConcurrentSends: 4,
      sendTimeoutMs: 5_000,
      ...change,
    },
    { wallClockMs: () => NOW_MS, webhookUrl: null },
  );
}

beforeEach(async () => {
  gateway = await startGateway(answer(200, ACCEPTED));
  channel = open(gateway.baseUrl);
});

afterEach(async () => {
  await channel.close();
  await gateway.close();
});

async function sendTo(behaviour: Behaviour, change: Partial<SendRequest> = {}) {
  gateway.behave(behaviour);
  return channel.send({ ...request, ...change });
}

describe('the request', () => {
  it('carries what the protocol says, with the stored bytes unchanged', async () => {
    expect(await channel.send(request)).toEqual({
      kind: 'accepted',
      platformId: 'gw-1',
      platformAt: 1_700_000_000_000,
      duplicate: false,
    });
    const [call] = gateway.received;
    expect(call).toMatchObject({ method: 'POST', url: '/v1/messages' });
    expect(call?.headers).toMatchObject({
      authorization: 'Bearer token-1',
      'content-type': 'application/json',
      'idempotency-key': request.reference,
      'roomline-attempt': '2',
      'roomline-worker': 'worker-7f',
      'roomline-generation': '3',
      'content-length': String(call?.body.length),
    });
    expect(call?.body.toString()).toBe(`{"reference":"${request.reference}",${BODY.toString().slice(1)}`);
  });

  it('hands on the id of the request that published the message', async () => {
    await channel.send(request);
    await channel.send({ ...request, requestId: 'trace-1' });
    expect(gateway.received.map(({ headers }) => headers['x-request-id'])).toEqual([undefined, 'trace-1']);
  });

  it('goes below the path of the base URL', async () => {
    const below = open(`${gateway.baseUrl}/gateway/eu/`);
    await below.send(request);
    expect(gateway.received[0]?.url).toBe('/gateway/eu/v1/messages');
    await below.close();
  });

  it('reuses its connections', async () => {
    for (let i = 0; i < 20; i++) await channel.send(request);
    expect(gateway.received).toHaveLength(20);
    // The next request may go out before the client has put the connection of the last one back.
    expect(gateway.connections).toBeLessThanOrEqual(2);
  });

  it('never shares a connection with an unanswered one, and opens no more than it may', async () => {
    let waiting: (() => void)[] = [];
    let open = 0;
    let most = 0;
    const perConnection = new Map<number, number>();
    gateway.behave((response, { connection }) => {
      open++;
      most = Math.max(most, open);
      perConnection.set(connection, (perConnection.get(connection) ?? 0) + 1);
      expect(perConnection.get(connection)).toBe(1);
      waiting.push(() => {
        open--;
        perConnection.set(connection, 0);
        response.end('{"id":"x"}');
      });
      if (waiting.length < 4) return;
      const batch = waiting;
      waiting = [];
      for (const finish of batch) finish();
    });
    const results = await Promise.all(Array.from({ length: 12 }, () => channel.send(request)));
    expect(results.every((result) => result.kind === 'accepted')).toBe(true);
    expect(most).toBe(4);
    expect(gateway.connections).toBe(4);
  });

  it('refuses a token that no header can carry', () => {
    const config = {
      baseUrl: gateway.baseUrl,
      accessToken: { reveal: () => 'to ken\r\nx: y' },
      webhookSecrets: [],
      lookup: false,
      maxConcurrentSends: 1,
      sendTimeoutMs: 1_000,
    };
    expect(() => createPlatformChannel('generic', config, { wallClockMs: () => NOW_MS, webhookUrl: null })).toThrow(
      /config_invalid/,
    );
  });
});

describe('answers that accept', () => {
  it.each<[string, unknown, object]>([
    ['without a time', { id: 'gw-1' }, { platformId: 'gw-1', platformAt: null, duplicate: false }],
    ['of a known reference', { ...ACCEPTED, duplicate: true }, { platformId: 'gw-1', duplicate: true }],
    ['with a whole number as id', { id: 42 }, { platformId: '42' }],
    ['with a large whole number as id', '{"id": 12345678901234567890}', { platformId: '12345678901234567890' }],
    ['with the longest id', { id: 'x'.repeat(512) }, { platformId: 'x'.repeat(512) }],
    ['with a time that is none', { id: 'a', acceptedAt: 'now' }, { platformId: 'a', platformAt: null }],
    ['with an error that is null', { id: 'a', error: null }, { platformId: 'a' }],
    ['with more fields', { id: 'a', price: { amount: 1 }, __proto__: 1 }, { platformId: 'a' }],
  ])('%s', async (_what, body, expected) => {
    expect(await sendTo(answer(201, body))).toMatchObject({ kind: 'accepted', ...expected });
  });

  it('in pieces and without a length', async () => {
    const result = await sendTo((response) => {
      response.writeHead(200);
      const pieces = ['{"id"', ':"gw', '-9"}'];
      const next = () => {
        const piece = pieces.shift();
        if (piece === undefined) response.end();
        else response.write(piece, () => setImmediate(next));
      };
      next();
    });
    expect(result).toMatchObject({ kind: 'accepted', platformId: 'gw-9' });
  });

  it('after an informational answer', async () => {
    const result = await sendTo((response, call) => {
      response.writeProcessing();
      answer(200, ACCEPTED)(response, call);
    });
    expect(result).toMatchObject({ kind: 'accepted', platformId: 'gw-1' });
  });
});

describe('answers that refuse', () => {
  const refusal = (nack: object) => ({ kind: 'refused', nack });
  const message = (permanent: boolean, code: string) =>
    refusal({ permanent, scope: 'message', retryAfterMs: null, code });

  it.each([400, 404, 405, 410, 413, 415, 422])('a bare %i refuses the message for good', async (status) => {
    expect(await sendTo(answer(status, '<html>no</html>'))).toEqual(message(true, `http_${status}`));
  });

  it.each([402, 406, 408, 409, 418, 425, 451])('any other bare 4xx (%i) is tried again', async (status) => {
    expect(await sendTo(answer(status))).toEqual(message(false, `http_${status}`));
  });

  it.each([401, 403])('a bare %i stops the channel', async (status) => {
    expect(await sendTo(answer(status, 'denied'))).toEqual(
      refusal({ permanent: true, scope: 'channel', retryAfterMs: null, code: `http_${status}` }),
    );
  });

  it.each([300, 301, 302, 303, 304, 307, 308])(
    'a redirect (%i) stops the channel and is not followed',
    async (status) => {
      const location = `${gateway.baseUrl}/elsewhere`;
      expect(await sendTo(answer(status, '', { location }))).toEqual(
        refusal({ permanent: true, scope: 'channel', retryAfterMs: null, code: 'redirected' }),
      );
      expect(gateway.received).toHaveLength(1);
    },
  );

  it.each([
    ['no header', undefined, null],
    ['seconds', '7', 7_000],
    ['a date', new Date(NOW_MS + 90_000).toUTCString(), 90_000],
    ['a huge wait', '999999999', 3_600_000],
    ['a date in a hundred years', 'Fri, 01 Jan 2126 00:00:00 GMT', 3_600_000],
    ['a date in the past', new Date(NOW_MS - 1_000).toUTCString(), null],
    ['zero', '0', null],
    ['a negative number', '-5', null],
    ['a word', 'soon', null],
    ['no calendar date', 'Fri, 99 Foo 2026 00:00:00 GMT', null],
  ])('a bare 429 slows the channel: %s', async (_what, value, retryAfterMs) => {
    const headers = value === undefined ? {} : { 'retry-after': value };
    expect(await sendTo(answer(429, '', headers))).toEqual(
      refusal({ permanent: false, scope: 'channel', retryAfterMs, code: 'http_429' }),
    );
  });

  it.each<[string, number, object, object]>([
    [
      'says everything',
      422,
      { code: 'x', scope: 'room', permanent: false, retryAfterMs: 2_000 },
      {
        permanent: false,
        scope: 'room',
        retryAfterMs: 2_000,
        code: 'x',
      },
    ],
    ['says nothing', 422, {}, { permanent: true, scope: 'message', retryAfterMs: null, code: 'http_422' }],
    ['of 429 says nothing', 429, {}, { permanent: false, scope: 'channel', retryAfterMs: null, code: 'http_429' }],
    [
      'of 503 says that nothing was processed',
      503,
      { processed: false },
      {
        permanent: false,
        scope: 'message',
        code: 'http_503',
      },
    ],
    ['of 503 is permanent all the same', 503, { processed: false, permanent: true }, { permanent: true }],
    ['comes with 200', 200, { code: 'blocked' }, { permanent: true, scope: 'message', code: 'blocked' }],
    ['of the account comes with 401', 401, { scope: 'account', code: 190 }, { scope: 'account', code: '190' }],
    [
      'has fields of wrong types',
      400,
      { code: {}, scope: 'galaxy', permanent: 'yes', retryAfterMs: '2' },
      {
        permanent: true,
        scope: 'message',
        retryAfterMs: null,
        code: 'http_400',
      },
    ],
    ['asks for a huge wait', 429, { retryAfterMs: 1e12 }, { scope: 'channel', retryAfterMs: 3_600_000 }],
    ['asks for a negative wait', 429, { retryAfterMs: -1 }, { scope: 'channel', retryAfterMs: null }],
    ['names no scope with 401', 401, { code: 'token_revoked' }, { scope: 'channel', code: 'token_revoked' }],
    ['has a text as its code', 400, { code: 'call +1 555 0100' }, { code: 'http_400' }],
    ['has an endless code', 400, { code: 'x'.repeat(65) }, { code: 'http_400' }],
  ])('an error object that %s', async (_what, status, error, nack) => {
    expect(await sendTo(answer(status, { error }))).toMatchObject(refusal(nack));
  });

  it('takes the wait of the header where the error object names none', async () => {
    const result = await sendTo(answer(429, { error: { scope: 'room' } }, { 'retry-after': '3' }));
    expect(result).toMatchObject(refusal({ scope: 'room', retryAfterMs: 3_000 }));
  });

  it('counts an error object even beside an id', async () => {
    expect(await sendTo(answer(200, { id: 'gw-1', error: { code: 'no' } }))).toMatchObject(refusal({ code: 'no' }));
  });

  it('judges an oversized refusal by its status', async () => {
    expect(await sendTo(answer(404, 'x'.repeat(70_000)))).toEqual(message(true, 'http_404'));
    expect(await sendTo(answer(200, ACCEPTED))).toMatchObject({ kind: 'accepted' });
  });
});

describe('outcomes that stay unknown', () => {
  const unknown = (code: string) => ({ kind: 'unknown', code, bytesLeft: true });

  it.each<[string, Behaviour, string]>([
    ['500', answer(500), 'http_500'],
    ['502 with a page', answer(502, '<html>Bad gateway</html>'), 'http_502'],
    ['503 with a wait', answer(503, '', { 'retry-after': '5' }), 'http_503'],
    ['500 with an error object', answer(500, { error: { code: 'oops', permanent: true } }), 'http_500'],
    ['504 that calls itself processed', answer(504, { error: { processed: true } }), 'http_504'],
    ['200 without a body', answer(200), 'answer_unreadable'],
    ['204', answer(204), 'answer_unreadable'],
    ['200 with truncated JSON', answer(200, '{"id":"gw-'), 'answer_unreadable'],
    ['200 with a page', answer(200, '<html>'), 'answer_unreadable'],
    ['200 with a list', answer(200, [ACCEPTED]), 'answer_unreadable'],
    ['200 without an id', answer(200, { acceptedAt: 1 }), 'answer_unreadable'],
    ['200 with an empty id', answer(200, { id: '' }), 'answer_unreadable'],
    ['200 with an endless id', answer(200, { id: 'x'.repeat(513) }), 'answer_unreadable'],
    ['200 with an id that cannot be stored', answer(200, { id: 'a\0b' }), 'answer_unreadable'],
    ['200 with half a surrogate pair', answer(200, '{"id":"\\ud800"}'), 'answer_unreadable'],
    ['200 that is not UTF-8', answer(200, Buffer.from([0x7b, 0xff, 0x7d])), 'answer_unreadable'],
    ['200 that is nested without end', answer(200, '['.repeat(60_000)), 'answer_unreadable'],
    ['200 that is too large', answer(200, `{"id":"gw-1","pad":"${'x'.repeat(70_000)}"}`), 'answer_unreadable'],
    ['a reset after the request', (response) => void response.socket?.resetAndDestroy(), 'reset'],
    ['an end after the request', (response) => void response.socket?.end(), 'reset'],
    [
      'a reset within the answer',
      (response) => {
        response.writeHead(200, { 'content-length': '100' });
        response.write('{"id":', () => response.socket?.resetAndDestroy());
      },
      'reset',
    ],
    [
      'a refusal that breaks off',
      (response) => {
        response.writeHead(404, { 'content-length': '100' });
        response.write('{"error":', () => response.socket?.resetAndDestroy());
      },
      'reset',
    ],
    ['no HTTP', (response) => void response.socket?.end('hello\r\n\r\n'), 'answer_malformed'],
  ])('%s', async (_what, behaviour, code) => {
    expect(await sendTo(behaviour)).toEqual(unknown(code));
    expect(gateway.received).toHaveLength(1);
  });

  it('an end of the answer before its length is reached', async () => {
    const result = await sendTo((response) => {
      response.socket?.end('HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"id":"gw-1"}');
    });
    expect(result).toMatchObject({ kind: 'unknown', bytesLeft: true });
  });

  it('no answer in time, and the connection is not used again', async () => {
    expect(await sendTo(() => {}, { timeoutMs: 120 })).toEqual(unknown('timeout'));
    expect(await sendTo(answer(200, ACCEPTED))).toMatchObject({ kind: 'accepted' });
    expect(gateway.connections).toBe(2);
  });

  it('an answer that trickles in past the time', async () => {
    let trickling: NodeJS.Timeout | undefined;
    const result = await sendTo(
      (response) => {
        response.writeHead(200);
        trickling = setInterval(() => response.write(' '), 20);
      },
      { timeoutMs: 150 },
    );
    clearInterval(trickling);
    expect(result).toEqual(unknown('timeout'));
  });

  it('an end of the client while a request is open', async () => {
    const arrived = Promise.withResolvers<void>();
    gateway.behave(() => arrived.resolve());
    const result = channel.send(request);
    await arrived.promise;
    await channel.close();
    expect(await result).toMatchObject({ kind: 'unknown', bytesLeft: true });
  });
});

describe('requests that were never sent', () => {
  const notSent = (code: string) => ({
    kind: 'refused',
    nack: { permanent: false, scope: 'channel', retryAfterMs: null, code },
  });
  const servers: Server[] = [];
  const sockets = new Set<Socket>();

  /** A TCP server that does what it is told with each connection. */
  async function startTcp(onConnection: (socket: Socket) => void): Promise<number> {
    const server = createTcpServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      onConnection(socket);
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  }

  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
  });

  async function sendOnce(baseUrl: string, change: Partial<SendRequest> = {}) {
    const other = open(baseUrl);
    try {
      return await other.send({ ...request, ...change });
    } finally {
      await other.close();
    }
  }

  it('because nobody listens', async () => {
    const gone = await startGateway(answer(200));
    await gone.close();
    expect(await sendOnce(gone.baseUrl)).toEqual(notSent('connect_refused'));
  });

  it('because the name does not resolve', async () => {
    // A label of 64 characters is refused before anything is asked.
    expect(await sendOnce(`http://${'x'.repeat(64)}.example`)).toEqual(notSent('connect_dns'));
  });

  it('because TLS fails', async () => {
    const port = await startTcp((socket) => void socket.once('data', () => socket.end('HTTP/1.1 400 No\r\n\r\n')));
    expect(await sendOnce(`https://127.0.0.1:${port}`)).toEqual(notSent('connect_tls'));
  });

  it('because TLS breaks off', async () => {
    const port = await startTcp((socket) => void socket.once('data', () => socket.resetAndDestroy()));
    expect(await sendOnce(`https://127.0.0.1:${port}`)).toEqual(notSent('connect_failed'));
  });

  it('because connecting takes too long', async () => {
    const port = await startTcp(() => {});
    const result = await sendOnce(`https://127.0.0.1:${port}`, { timeoutMs: 150 });
    expect(result).toEqual(notSent('connect_timeout'));
  });

  it('and never are, once their time is over', async () => {
    const busy = open(gateway.baseUrl, { maxConcurrentSends: 1 });
    const arrived = Promise.withResolvers<() => void>();
    gateway.behave((response) => arrived.resolve(() => response.end(JSON.stringify(ACCEPTED))));
    const first = busy.send(request);
    const finish = await arrived.promise;
    expect(await busy.send({ ...request, attempt: 3, timeoutMs: 50 })).toEqual(notSent('connect_timeout'));
    gateway.behave(answer(200, ACCEPTED));
    finish();
    expect(await first).toMatchObject({ kind: 'accepted' });
    expect(await busy.send({ ...request, attempt: 4 })).toMatchObject({ kind: 'accepted' });
    expect(gateway.received.map(({ headers }) => headers['roomline-attempt'])).toEqual(['2', '4']);
    await busy.close();
  });

  it('because the client has ended', async () => {
    await channel.close();
    expect(await channel.send(request)).toEqual(notSent('connect_failed'));
  });
});

describe('the lookup', () => {
  async function lookUp(behaviour: Behaviour, timeoutMs = 5_000) {
    gateway.behave(behaviour);
    return channel.lookup?.(request.reference, timeoutMs);
  }

  it('asks by reference', async () => {
    expect(await lookUp(answer(200, { id: 'gw-1', status: 'sent', acceptedAt: 1_700_000_000_000 }))).toEqual({
      kind: 'found',
      level: 'sent',
      platformId: 'gw-1',
      platformAt: 1_700_000_000_000,
    });
    expect(gateway.received[0]).toMatchObject({
      method: 'GET',
      url: `/v1/messages?reference=${request.reference}`,
      headers: { authorization: 'Bearer token-1' },
    });
  });

  it.each(['accepted', 'sent', 'delivered', 'read'])('finds what is %s', async (status) => {
    expect(await lookUp(answer(200, { id: 'gw-1', status }))).toMatchObject({ kind: 'found', level: status });
  });

  it('finds what failed', async () => {
    const error = { code: 'blocked', scope: 'room', permanent: false };
    expect(await lookUp(answer(200, { id: 'gw-1', status: 'failed', error }))).toEqual({
      kind: 'failed',
      nack: { permanent: false, scope: 'room', retryAfterMs: null, code: 'blocked' },
      platformId: 'gw-1',
    });
    expect(await lookUp(answer(200, { id: 'gw-1', status: 'failed' }))).toMatchObject({
      nack: { permanent: true, scope: 'message', code: 'failed' },
    });
  });

  it.each<[string, Behaviour]>([
    ['404', answer(404, { id: 'gw-1', status: 'sent' })],
    ['500', answer(500)],
    ['401', answer(401)],
    ['a redirect', answer(302, { id: 'gw-1', status: 'sent' }, { location: '/' })],
    ['an unknown status', answer(200, { id: 'gw-1', status: 'pondered' })],
    ['a name of Object.prototype as status', answer(200, { id: 'gw-1', status: 'constructor' })],
    ['no JSON', answer(200, 'yes')],
    ['a reset', (response) => void response.socket?.resetAndDestroy()],
  ])('takes %s for no evidence', async (_what, behaviour) => {
    expect(await lookUp(behaviour)).toEqual({ kind: 'no_evidence' });
  });

  it('takes silence for no evidence', async () => {
    expect(await lookUp(() => {}, 100)).toEqual({ kind: 'no_evidence' });
  });

  it('is absent where the channel says so', async () => {
    const without = open(gateway.baseUrl, { lookup: false });
    expect(without.lookup).toBeNull();
    await without.close();
  });
});

import { describe, expect, it } from 'vitest';
import { bearer, jsonOf, PUBLISH, startServer } from './fixture.ts';

interface Page {
  readonly messages: readonly { readonly sequence: number }[];
  readonly before: number | null;
}

const READ = { headers: bearer('read') };

async function withMessages(count: number, room = 'r1') {
  const fixture = await startServer();
  for (let index = 0; index < count; index++) {
    const body = JSON.stringify({ channel: 'support', room, content: { index } });
    await fixture.call('/v1/messages', { method: 'POST', headers: PUBLISH, body });
  }
  return fixture;
}

describe('GET /v1/rooms/{channel}/{room}', () => {
  it('says what the room does and why', async () => {
    const { call } = await withMessages(2);
    const response = await call('/v1/rooms/support/r1', READ);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      tenant: 'default',
      channel: 'support',
      room: 'r1',
      phase: 'ready',
      explanation: 'message 1 waits for a permit',
      head: 1,
      tail: 2,
      counts: { accepted: 2, settled: 0, waiting: 2 },
      until: null,
    });
  });

  it.each(['a/b ü', '😀'.repeat(64), '../x', '100%'])('finds the room "%s"', async (room) => {
    const { call } = await withMessages(1, room);
    const response = await call(`/v1/rooms/support/${encodeURIComponent(room)}`, READ);
    expect(await response.json()).toMatchObject({ room });
  });

  it.each([
    ['an unknown room', '/v1/rooms/support/none', 404, 'room_not_found'],
    ['another channel', '/v1/rooms/sales/r1', 404, 'room_not_found'],
    ['another tenant', '/v1/rooms/support/r1?tenant=acme', 404, 'room_not_found'],
    ['NUL', '/v1/rooms/support/a%00', 400, 'text_nul_or_surrogate'],
    ['a line break', '/v1/rooms/support/a%0a', 400, 'id_invalid'],
    ['257 bytes', `/v1/rooms/support/${'x'.repeat(257)}`, 400, 'id_too_long'],
    ['an unknown parameter', '/v1/rooms/support/r1?tenent=acme', 400, 'field_unknown'],
    ['a repeated parameter', '/v1/rooms/support/r1?tenant=a&tenant=b', 400, 'field_type'],
  ])('refuses %s', async (_what, path, status, code) => {
    const { call } = await withMessages(1);
    const response = await call(path, READ);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ code });
  });
});

describe('GET /v1/rooms/{channel}/{room}/messages', () => {
  it('pages from the newest to the oldest', async () => {
    const { call } = await withMessages(5);
    const seen: number[] = [];
    let query = '?limit=2';
    for (;;) {
      const response = await call(`/v1/rooms/support/r1/messages${query}`, READ);
      const { messages, before } = (await jsonOf(response)) as unknown as Page;
      seen.push(...messages.map((message) => message.sequence));
      if (before === null) break;
      query = `?limit=2&before=${before}`;
    }
    expect(seen).toEqual([5, 4, 3, 2, 1]);
  });

  it('ends where the last page is full', async () => {
    const { call } = await withMessages(2);
    const response = await call('/v1/rooms/support/r1/messages?limit=2', READ);
    expect(await response.json()).toMatchObject({ before: null, messages: [{ sequence: 2 }, { sequence: 1 }] });
  });

  it('gives 50 where nobody asks for a number', async () => {
    const { backend, call } = await withMessages(1);
    await call('/v1/rooms/support/r1/messages', READ);
    expect(backend.pages).toEqual([{ before: null, limit: 50 }]);
  });

  it.each([
    ['limit=0', 'field_invalid', 'limit'],
    ['limit=201', 'field_invalid', 'limit'],
    ['limit=ten', 'field_type', 'limit'],
    ['limit=1e3', 'field_invalid', 'limit'],
    ['before=-1', 'field_invalid', 'before'],
    ['before=9007199254740993', 'field_invalid', 'before'],
    ['after=1', 'field_unknown', 'query'],
  ])('refuses ?%s', async (query, code, field) => {
    const { call } = await withMessages(1);
    const response = await call(`/v1/rooms/support/r1/messages?${query}`, READ);
    expect(response.status).toBe(400);
    const problem = await jsonOf(response);
    expect(problem).toMatchObject({ code, field });
    expect(problem.rule).toBeTypeOf('string');
  });

  it('answers 404 without a room', async () => {
    const { call } = await startServer();
    expect((await call('/v1/rooms/support/r1/messages', READ)).status).toBe(404);
  });
});

describe('GET /v1/channels', () => {
  it('lists the channels and their states', async () => {
    const { call } = await startServer();
    const response = await call('/v1/channels', READ);
    expect(await response.json()).toMatchObject({ channels: [{ channel: 'support', state: 'open', reason: null }] });
  });

  it('answers HEAD as well', async () => {
    const { call } = await startServer();
    const response = await call('/v1/channels', { method: 'HEAD', ...READ });
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('');
    expect((await call('/v1/channels', { method: 'HEAD' })).status).toBe(401);
  });
});

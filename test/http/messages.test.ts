import { describe, expect, it } from 'vitest';
import { type NewMessageDraft, splitBody } from '../../src/engine/message.ts';
import { bearer, jsonOf, PUBLISH, startServer } from './fixture.ts';

function body(change: object = {}): string {
  return JSON.stringify({
    channel: 'support',
    room: 'ünï/r 1',
    messageId: 'm-1',
    content: { text: 'Hello' },
    ...change,
  });
}

const post = (text: string | Uint8Array<ArrayBuffer>) => ({ method: 'POST', headers: PUBLISH, body: text });

describe('POST /v1/messages', () => {
  it('answers 202 with what the commit gave', async () => {
    const { backend, call } = await startServer();
    const response = await call('/v1/messages', post(body()));
    expect(response.status).toBe(202);
    expect(response.headers.get('location')).toBe('/v1/messages/ref-1-1');
    expect(await response.json()).toEqual({
      id: 'ref-1-1',
      room: 'ünï/r 1',
      sequence: 1,
      duplicate: false,
      status: '/v1/messages/ref-1-1',
      mode: 'direct',
    });
    const [draft] = backend.published as [NewMessageDraft];
    expect(draft.key).toEqual({ tenant: 'default', channel: 'support', room: 'ünï/r 1' });
    expect(Buffer.from(splitBody(draft.body).body).toString()).toBe('{"to":"ünï/r 1","content":{"text":"Hello"}}');
  });

  it('passes on what the message supersedes, and refuses its own id there', async () => {
    const { backend, call } = await startServer();
    expect((await call('/v1/messages', post(body({ supersedes: 'm-0' })))).status).toBe(202);
    expect((backend.published as NewMessageDraft[]).map(({ supersedes }) => supersedes)).toEqual(['m-0']);
    const refused = await call('/v1/messages', post(body({ supersedes: 'm-1' })));
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({ code: 'field_invalid', field: 'supersedes' });
  });

  it('answers only after the commit', async () => {
    const { backend, call } = await startServer();
    const arrived = Promise.withResolvers<void>();
    const commit = Promise.withResolvers<void>();
    backend.onPublish = async () => {
      arrived.resolve();
      await commit.promise;
      return { kind: 'accepted', address: { shard: 1, id: 1 }, sequence: 7, reference: 'ref', duplicate: false };
    };
    let answered = false;
    const publishing = call('/v1/messages', post(body())).then((response) => {
      answered = true;
      return response;
    });
    await arrived.promise;
    expect(answered).toBe(false);
    commit.resolve();
    expect(await (await publishing).json()).toMatchObject({ sequence: 7 });
  });

  it('gives the first answer again for the same message', async () => {
    const { call } = await startServer();
    await call('/v1/messages', post(body()));
    const response = await call('/v1/messages', post(body()));
    expect(response.status).toBe(202);
    expect(await response.json()).toMatchObject({ id: 'ref-1-1', sequence: 1, duplicate: true });
  });

  it('answers 409 where the id stands for another message', async () => {
    const { backend, call } = await startServer();
    backend.onPublish = async () => ({ kind: 'conflict', sequence: 4, reference: 'ref-9' });
    const response = await call('/v1/messages', post(body()));
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({ code: 'message_id_conflict', field: 'messageId' });
    expect(await backend.metrics.render()).toContain(
      'roomline_intake_refused_total{source="http",code="message_id_conflict"} 1',
    );
  });

  it.each<[string, string | Uint8Array<ArrayBuffer>, number, string, string | undefined]>([
    ['malformed', '{"channel":', 400, 'body_malformed_json', undefined],
    ['not UTF-8', new Uint8Array([0xff, 0xfe]), 400, 'body_not_utf8', undefined],
    ['wrongly typed', body({ room: 7 }), 400, 'field_type', 'room'],
    ['incomplete', body({ content: undefined }), 400, 'field_missing', 'content'],
    ['with too much', body({ other: 1 }), 400, 'field_unknown', 'other'],
    ['for nobody', body({ channel: 'sales' }), 422, 'channel_unknown', 'channel'],
    ['too large', body({ content: { text: 'x'.repeat(262_144) } }), 413, 'payload_too_large', 'content'],
    ['with NUL', body({ content: { text: '\0' } }), 400, 'text_nul_or_surrogate', 'content'],
    [
      'with __proto__',
      '{"__proto__":{},"channel":"support","room":"r","content":{}}',
      400,
      'field_unknown',
      '__proto__',
    ],
  ])('refuses a message that is %s', async (_what, text, status, code, field) => {
    const { backend, call } = await startServer();
    const response = await call('/v1/messages', post(text));
    expect(response.status).toBe(status);
    const problem = await jsonOf(response);
    expect(problem).toMatchObject({ code });
    expect(problem.field).toBe(field);
    expect(backend.published).toEqual([]);
    expect(await backend.metrics.render()).toContain(`source="http",code="${code}"} 1`);
  });

  it('takes no more than the configured body', async () => {
    const { call } = await startServer({ bodyLimitBytes: 1_024 });
    const response = await call('/v1/messages', post(body({ content: { text: 'x'.repeat(1_024) } })));
    expect(response.status).toBe(413);
  });

  it('takes JSON with a charset', async () => {
    const { call } = await startServer();
    const headers = { ...PUBLISH, 'content-type': 'application/json; charset=utf-8' };
    expect((await call('/v1/messages', { method: 'POST', headers, body: body() })).status).toBe(202);
  });

  it('writes neither recipient nor content to the log', async () => {
    const { backend, call } = await startServer();
    await call('/v1/messages', post(body({ to: 'canary-1', content: { text: 'canary-2' } })));
    await call('/v1/messages', post(body({ to: 'canary-3\n', content: { 'canary-4': '\0' } })));
    expect(backend.logged.map(({ event }) => event)).toContain('http.request_refused');
    expect(JSON.stringify(backend.logged)).not.toContain('canary');
  });
});

describe('GET /v1/messages/{id}', () => {
  it('shows what became of a message', async () => {
    const { backend, call } = await startServer();
    await call('/v1/messages', post(body()));
    const [message] = [...backend.rooms.values()].flat();
    const attempt = {
      number: 1,
      worker: 'w',
      generation: 2,
      begunAt: 1,
      endedAt: null,
      result: null,
      code: null,
    } as const;
    Object.assign(message as object, { attempts: [attempt], level: 'sent', secretInternal: 'never shown' });
    const response = await call('/v1/messages/ref-1-1', { headers: bearer('read') });
    expect(response.status).toBe(200);
    const view = await response.json();
    expect(view).toMatchObject({
      id: 'ref-1-1',
      room: 'ünï/r 1',
      state: 'waiting',
      outcome: null,
      order: null,
      level: 'sent',
      attempts: [attempt],
    });
    expect(view).not.toHaveProperty('secretInternal');
  });

  it('answers 404 for any other id', async () => {
    const { call } = await startServer();
    for (const id of ['ref-1-1', '..%2F..%2Fetc', '%00', "';--"]) {
      const response = await call(`/v1/messages/${id}`, { headers: bearer('read') });
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ code: 'message_not_found' });
    }
  });

  it('wants the scope read', async () => {
    const { call } = await startServer();
    expect((await call('/v1/messages/x', { headers: bearer('publish') })).status).toBe(403);
    expect((await call('/v1/messages', { method: 'POST', headers: bearer('read'), body: '{}' })).status).toBe(403);
  });
});

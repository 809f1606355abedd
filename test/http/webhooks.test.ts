import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { RoomlineError } from '../../src/errors.ts';
import { createVerifier } from '../../src/platforms/standard-webhooks.ts';
import { jsonOf, NOW_MS, startServer } from './fixture.ts';

const PATH = '/v1/webhooks/default/support';
const SECRET = 'a secret of the webhook';
const NOW_S = NOW_MS / 1_000;
// As no serialiser would write it: a signature holds for these bytes alone.
const BODY = '{ "statuses" : [ { "id":"gw-1", "status":"delivered", "text":"\\u00e9é" } ] }';

function sign(body: string | Buffer, secret = SECRET, timestamp = NOW_S): Record<string, string> {
  const signature = createHmac('sha256', secret).update(`call-1.${timestamp}.`).update(body).digest('base64');
  return { 'webhook-id': 'call-1', 'webhook-timestamp': String(timestamp), 'webhook-signature': `v1,${signature}` };
}

async function startVerifying(secrets = [SECRET]) {
  const fixture = await startServer();
  const verify = createVerifier(secrets);
  const stored: string[] = [];
  fixture.backend.onWebhook = async (raw, headers) => {
    const verdict = verify(headers, raw, NOW_MS);
    if (verdict.kind === 'refused') return verdict;
    stored.push(raw.toString());
    return { kind: 'stored', statuses: 1 };
  };
  const post = (headers: Record<string, string>, body: string | Uint8Array<ArrayBuffer> = BODY, path = PATH) =>
    fixture.call(path, { method: 'POST', headers, body });
  return { ...fixture, stored, post };
}

describe('a webhook call', () => {
  it('reaches the engine byte for byte', async () => {
    const { post, stored, backend } = await startVerifying();
    const response = await post({ ...sign(BODY), 'content-type': 'application/json' });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ received: 1 });
    expect(stored).toEqual([BODY]);
    expect(backend.webhooks[0]?.channel).toEqual({ tenant: 'default', channel: 'support' });
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'nonsense/', 'application/json; charset=latin1'])(
    'may call itself %s',
    async (type) => {
      const { post } = await startVerifying();
      const response = await post({ ...sign(BODY), 'content-type': type });
      expect(response.status).toBe(type === 'nonsense/' ? 415 : 200);
    },
  );

  it('may be empty, and repeated', async () => {
    const { call, post, stored } = await startVerifying();
    expect((await call(PATH, { method: 'POST', headers: sign('') })).status).toBe(200);
    for (let i = 0; i < 3; i++) expect((await post(sign(BODY))).status).toBe(200);
    expect(stored).toEqual(['', BODY, BODY, BODY]);
  });

  it('is answered only when it is on disk', async () => {
    const { backend, call } = await startServer();
    const arrived = Promise.withResolvers<void>();
    const commit = Promise.withResolvers<void>();
    backend.onWebhook = async () => {
      arrived.resolve();
      await commit.promise;
      return { kind: 'stored', statuses: 3 };
    };
    let answered = false;
    const calling = call(PATH, { method: 'POST', body: BODY }).finally(() => {
      answered = true;
    });
    await arrived.promise;
    expect(answered).toBe(false);
    commit.resolve();
    expect((await calling).status).toBe(200);
  });

  it('is to be repeated where the store is away or slow', async () => {
    const { backend, call } = await startServer({ answerTimeoutMs: 80 });
    backend.onWebhook = async () => {
      throw new RoomlineError('not_ready', { retryAfterMs: 4_000 });
    };
    const away = await call(PATH, { method: 'POST', body: BODY });
    expect([away.status, away.headers.get('retry-after')]).toEqual([503, '4']);
    backend.onWebhook = () => new Promise(() => {});
    const slow = await call(PATH, { method: 'POST', body: BODY });
    expect([slow.status, slow.headers.get('retry-after')]).toEqual([503, '1']);
  });

  it('that could not be verified is to be repeated where the platform does so after a 5xx only', async () => {
    const { backend, call } = await startServer();
    backend.onWebhook = async () => ({ kind: 'refused', code: 'signature_invalid', retry: true });
    const response = await call(PATH, { method: 'POST', body: BODY });
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await response.json()).toMatchObject({ code: 'signature_unverified', retryable: true });
    expect(backend.logged.filter(({ event }) => event === 'webhook.refused')).toHaveLength(1);
    expect(await backend.metrics.render()).toContain('roomline_webhooks_total{result="signature_invalid"');
  });

  it('of which nothing can be read is told so', async () => {
    const { backend, call } = await startServer();
    backend.onWebhook = async () => {
      throw new RoomlineError('field_missing', { field: 'statuses', rule: 'required' });
    };
    const response = await call(PATH, { method: 'POST', body: '{}' });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'field_missing', field: 'statuses' });
  });

  it('to an unknown channel gets 404, and makes no label', async () => {
    const { backend, call } = await startServer();
    backend.onWebhook = async () => ({ kind: 'unknown_channel' });
    const response = await call('/v1/webhooks/default/nobody-knows', { method: 'POST', body: BODY });
    expect(response.status).toBe(404);
    const metrics = await backend.metrics.render();
    expect(metrics).toContain('roomline_webhooks_total{result="unknown_channel",channel="unknown"} 1');
    expect(metrics).not.toContain('nobody-knows');
  });

  it('is no larger than the limit', async () => {
    const { backend, call } = await startServer({ webhookBodyLimitBytes: 1_024 });
    const response = await call(PATH, { method: 'POST', body: 'x'.repeat(1_025) });
    expect(response.status).toBe(413);
    expect(backend.webhooks).toEqual([]);
    expect((await call(PATH, { method: 'POST', body: 'x'.repeat(1_024) })).status).toBe(200);
  });
});

describe('a platform that asks whether the address is ours', () => {
  it('gets the bare answer as text, or 401', async () => {
    const { backend, call } = await startServer();
    const asked: string[] = [];
    backend.dependencies.answerHandshake = (_channel, { method, target }) => {
      asked.push(`${method} ${target}`);
      return target.includes('token=right') ? '<b>1158201444</b>' : null;
    };
    const answer = await call(`${PATH}?hub.verify_token=right`);
    expect([answer.status, await answer.text()]).toEqual([200, '<b>1158201444</b>']);
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect((await call(`${PATH}?hub.verify_token=wrong`)).status).toBe(401);
    expect(asked[0]).toBe(`GET ${PATH}?hub.verify_token=right`);
  });
});

describe('a signature', () => {
  const right = sign(BODY);

  it.each<[string, Record<string, string>, string?]>([
    ['missing', {}],
    ['empty', { ...right, 'webhook-signature': '' }],
    ['of a wrong length', { ...right, 'webhook-signature': 'v1,QUJD' }],
    ['by a stranger', sign(BODY, 'a stranger')],
    ['by a secret that was removed', sign(BODY, 'the old secret of before')],
    ['301 s old', sign(BODY, SECRET, NOW_S - 301)],
    ['301 s early', sign(BODY, SECRET, NOW_S + 301)],
    ['without a time', { ...right, 'webhook-timestamp': '' }],
    ['over other bytes', right, `${BODY} `],
    ['over the same JSON written anew', right, JSON.stringify(JSON.parse(BODY))],
    ['over compressed bytes that claim otherwise', { ...right, 'content-encoding': 'gzip' }, 'x'],
  ])('%s gets 401, always the same one, and changes nothing', async (_what, headers, body) => {
    const { post, stored, backend } = await startVerifying();
    const response = await post(headers, body);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBeNull();
    const { requestId, ...problem } = await jsonOf(response);
    expect(requestId).toBe(response.headers.get('x-request-id'));
    expect(problem).toEqual({
      type: 'urn:roomline:error:signature_invalid',
      title: 'The signature was refused',
      status: 401,
      detail: 'The signature was refused',
      code: 'signature_invalid',
      action: 'Sign the raw body with a current webhook secret.',
      retryable: false,
    });
    expect(stored).toEqual([]);
    expect(backend.logged.filter(({ event }) => event === 'webhook.refused')).toHaveLength(1);
    expect(await backend.metrics.render()).toMatch(/webhooks_total\{result="signature_(invalid|expired)".*\} 1/);
  });

  it.each([
    ['299 s old', sign(BODY, SECRET, NOW_S - 299)],
    ['299 s early', sign(BODY, SECRET, NOW_S + 299)],
    ['by the old secret during a rotation', sign(BODY, 'the old secret of before')],
    [
      'by both secrets',
      {
        ...right,
        'webhook-signature': `${sign(BODY, 'the old secret of before')['webhook-signature']} ${right['webhook-signature']}`,
      },
    ],
  ])('%s is taken', async (_what, headers) => {
    const { post, stored } = await startVerifying([SECRET, 'the old secret of before']);
    expect((await post(headers)).status).toBe(200);
    expect(stored).toEqual([BODY]);
  });

  it('does not open another channel', async () => {
    const { post, backend, stored } = await startVerifying();
    await post(right, BODY, '/v1/webhooks/acme/support');
    expect(backend.webhooks[0]?.channel).toEqual({ tenant: 'acme', channel: 'support' });
    expect(stored).toHaveLength(1);
  });
});

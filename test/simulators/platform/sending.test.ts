import { request } from 'undici';
import { describe, expect, test } from 'vitest';
import type { SettingsPatch } from '../../../simulators/platform/settings.ts';
import { newReference, recordsOf, type Send, sendTo, startPlatform } from './support.ts';

const faults = (fault: object, more: object = {}): SettingsPatch => ({
  message: { send: { faults: { injected: { probability: 1, ...fault } as never } }, ...more },
});

describe('a request is checked (S1)', () => {
  const good = { reference: 'r1', to: '+1', content: { text: 'x' } };
  test.each<[string, Send, number, string]>([
    ['no content type', { headers: { 'content-type': undefined } }, 415, 'content_type'],
    ['another content type', { headers: { 'content-type': 'text/plain' } }, 415, 'content_type'],
    ['no attempt', { headers: { 'roomline-attempt': undefined } }, 400, 'header_attempt'],
    ['attempt 0', { headers: { 'roomline-attempt': '0' } }, 400, 'header_attempt'],
    ['no worker', { headers: { 'roomline-worker': undefined } }, 400, 'header_worker'],
    ['no generation', { headers: { 'roomline-generation': undefined } }, 400, 'header_generation'],
    ['another idempotency key', { headers: { 'idempotency-key': 'other' } }, 400, 'idempotency_key'],
    ['no JSON', { body: '{' }, 400, 'body_json'],
    ['no UTF-8', { body: Buffer.from([0x22, 0xff, 0xfe, 0x22]) }, 400, 'body_json'],
    ['no object', { body: '[]' }, 400, 'body_object'],
    ['a reference that is too long', { reference: 'x'.repeat(41) }, 422, 'reference'],
    ['a reference with a dot', { reference: 'a.b' }, 422, 'reference'],
    ['no recipient', { reference: 'r1', body: JSON.stringify({ ...good, to: '' }) }, 422, 'to'],
    ['no content', { reference: 'r1', body: JSON.stringify({ ...good, content: null }) }, 422, 'content'],
    ['an unknown field', { reference: 'r1', body: JSON.stringify({ ...good, priority: 1 }) }, 422, 'unknown_field'],
    ['a body that is too large', { content: { text: 'x'.repeat(300_000) } }, 413, 'too_large'],
    ['a bad marker', { content: { text: '@@{"send":{"x":1}}@@' } }, 422, 'marker'],
  ])('%s', async (_name, send, status, code) => {
    const platform = await startPlatform();
    const answer = await sendTo(platform)(send);
    expect(answer.status).toBe(status);
    expect(answer.body.error).toMatchObject({ code, permanent: true });
    expect(recordsOf(platform, 'receipt')).toMatchObject([{ decision: 'refused', permanent: true }]);
    expect(recordsOf(platform, 'answer')).toMatchObject([{ status, unknownOutcome: false }]);
    expect(platform.control.stats().accepted).toBe(0);
  });

  test('an unknown path or method is 404, an unknown or revoked token 401', async () => {
    const platform = await startPlatform({ channels: { default: { token: 'good' } } });
    const send = sendTo(platform);
    for (const [method, path] of [
      ['POST', '/v1/message'],
      ['PUT', '/v1/messages'],
    ] as const) {
      expect((await request(platform.url + path, { method })).statusCode).toBe(404);
    }
    expect(await send({ token: 'bad' })).toMatchObject({ status: 401, raw: '' });
    expect((await send({ token: 'good' })).status).toBe(200);
    platform.control.change({ channels: { default: { revoked: true } } });
    expect((await send({ token: 'good' })).status).toBe(401);
    expect(recordsOf(platform, 'answer').map(({ unknownOutcome }) => unknownOutcome)).toEqual([false, false, false]);
  });

  test('Roomline headers can be left out where a channel allows it', async () => {
    const platform = await startPlatform({ channel: { request: { requireRoomlineHeaders: false } } });
    const headers = { 'roomline-attempt': undefined, 'roomline-worker': undefined, 'roomline-generation': undefined };
    expect((await sendTo(platform)({ headers })).status).toBe(200);
  });
});

describe('an accepted message', () => {
  test('is answered with an id and the time, and recorded with everything that identifies it', async () => {
    const platform = await startPlatform();
    const before = Date.now();
    const answer = await sendTo(platform)({ reference: 'ref-a', to: '+1555', content: { text: 'x', key: 'run/1' } });
    expect(answer.status).toBe(200);
    expect(answer.body.acceptedAt).toBeGreaterThanOrEqual(before);
    expect(recordsOf(platform, 'receipt')[0]).toMatchObject({
      r: 1,
      conn: 1,
      channel: 'default',
      reference: 'ref-a',
      attempt: 1,
      worker: 'worker-1',
      generation: '1',
      to: '+1555',
      key: 'run/1',
      decision: 'accepted',
      m: 1,
      hash: expect.stringMatching(/^[0-9a-f]{24}$/),
    });
  });

  test.each([
    ['short', /^gw-[0-9a-z]+-1$/],
    ['uuid', /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/],
    ['integer', /^\d{17,20}$/],
    ['longest', /^gw-.{125}$/],
  ] as const)('can have a %s id (S3), and no acceptedAt', async (idStyle, pattern) => {
    const platform = await startPlatform({ message: { send: { idStyle, acceptedAt: false } } });
    const { body } = await sendTo(platform)();
    expect(body.id).toMatch(pattern);
    expect(Object.keys(body)).toEqual(['id']);
  });

  test('is answered after the drawn delay (S2)', async () => {
    const platform = await startPlatform({ message: { send: { responseDelayMs: 60 } } });
    expect((await sendTo(platform)()).tookMs).toBeGreaterThanOrEqual(58);
  });

  test('draws the same fate in every run with the same seed, in whatever order requests arrive', async () => {
    const references = Array.from({ length: 40 }, (_, index) => `same${index}`);
    const settings = faults({ kind: 'refuse', status: 503, probability: 0.5 });
    const fates = async (order: string[], seed: number) => {
      const platform = await startPlatform(settings, { seed });
      const send = sendTo(platform);
      await Promise.all(order.map((reference) => send({ reference })));
      const receipts = recordsOf(platform, 'receipt');
      return references.map((name) => receipts.find(({ reference }) => reference === name)?.decision);
    };
    const first = await fates(references, 7);
    expect(await fates([...references].reverse(), 7)).toEqual(first);
    expect(await fates(references, 8)).not.toEqual(first);
    expect(new Set(first)).toEqual(new Set(['accepted', 'refused']));
  });
});

describe('limits (S5) and refusals (S6, S10–S12)', () => {
  test('above the rate of a channel, 429 says how long to wait, and whoever does not is counted', async () => {
    const limit = {
      ratePerSecond: 2,
      burst: 2,
      refusal: { status: 429, scope: 'channel', code: 'too_fast', retryAfterIn: 'both' },
    } as const;
    const platform = await startPlatform({ channel: { limit } });
    const send = sendTo(platform);
    const statuses = [(await send()).status, (await send()).status];
    const refused = await send();
    expect([...statuses, refused.status]).toEqual([200, 200, 429]);
    expect(refused.headers['retry-after']).toBe('1');
    expect(refused.body.error).toMatchObject({ code: 'too_fast', scope: 'channel' });
    expect(refused.body.error.retryAfterMs).toBeGreaterThan(0);
    expect(refused.body.error.retryAfterMs).toBeLessThanOrEqual(500);
    await send();
    expect(platform.control.stats()).toMatchObject({ beforeRetryAfter: 1, faults: { limit_channel: 2 } });
  });

  test('an account caps the open requests of all its channels together', async () => {
    const platform = await startPlatform({
      message: { send: { responseDelayMs: 150 } },
      accounts: { acme: { limit: { concurrency: 2, refusal: { status: 429, bare: true } } } },
      channels: { default: null, a: { token: 'a', account: 'acme' }, b: { token: 'b', account: 'acme' } },
    });
    const send = sendTo(platform);
    const answers = await Promise.all(['a', 'b', 'a'].map((token) => send({ token })));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 429]);
    expect((await send({ token: 'b' })).status).toBe(200);
  });

  test.each([
    ['header', { 'retry-after': '3' }, undefined],
    ['body', {}, 2_500],
    ['both', { 'retry-after': '3' }, 2_500],
    ['unreadable', { 'retry-after': 'soon' }, undefined],
    ['none', {}, undefined],
  ] as const)('a wait told in: %s', async (retryAfterIn, headers, inBody) => {
    const platform = await startPlatform(
      faults({ kind: 'refuse', status: 429, code: 'slow_down', scope: 'room', retryAfterMs: 2_500, retryAfterIn }),
    );
    const answer = await sendTo(platform)();
    expect(answer.status).toBe(429);
    expect({ 'retry-after': answer.headers['retry-after'] }).toEqual({ 'retry-after': undefined, ...headers });
    expect(answer.body.error.retryAfterMs).toBe(inBody);
    expect(recordsOf(platform, 'receipt')[0]).not.toHaveProperty('permanent');
  });

  test('a wait told as a date', async () => {
    const platform = await startPlatform(
      faults({ kind: 'refuse', status: 429, bare: true, retryAfterMs: 90_000, retryAfterIn: 'date' }),
    );
    const before = Date.now();
    const answer = await sendTo(platform)();
    expect(answer.raw).toBe('');
    expect(Date.parse(String(answer.headers['retry-after']))).toBeGreaterThanOrEqual(before + 90_000);
  });

  test.each<[object, number, boolean, boolean]>([
    [{ status: 200, code: 'blocked', permanent: true }, 200, true, false],
    [{ status: 403, code: 'busy', permanent: false }, 403, false, false],
    [{ status: 400, code: 'no_credit', scope: 'account' }, 400, false, false],
    [{ status: 404, bare: true }, 404, true, false],
    [{ status: 503, processed: false }, 503, false, false],
    [{ status: 503 }, 503, false, true],
    [{ status: 200, bare: true }, 200, false, true],
  ])('%j: permanent and unknown as the protocol says', async (refusal, status, permanent, unknownOutcome) => {
    const platform = await startPlatform(faults({ kind: 'refuse', ...refusal }));
    expect((await sendTo(platform)()).status).toBe(status);
    expect(recordsOf(platform, 'receipt')[0]?.permanent ?? false).toBe(permanent);
    expect(recordsOf(platform, 'answer')[0]?.unknownOutcome).toBe(unknownOutcome);
    expect(platform.control.stats()).toMatchObject({ accepted: 0, refused: 1, faults: { injected: 1 } });
  });

  test('knobs of one recipient, of the nth message, of a time, of a text and of a marker hit only their target', async () => {
    const refuse = (code: string) => ({
      send: { faults: { x: { kind: 'refuse', probability: 1, status: 422, code } } },
    });
    const platform = await startPlatform({
      recipients: { '+blocked': refuse('recipient') },
      rules: [
        { match: { to: '+third', nth: 3 }, message: refuse('third') },
        { match: { to: ['+even'], nth: { every: 2, from: 2 } }, message: refuse('even') },
        { match: { textIncludes: 'poison' }, message: refuse('text') },
        { match: { fromMs: 0, untilMs: 0.001 }, message: refuse('over') },
        { match: { account: 'nobody' }, message: refuse('account') },
        { match: { to: '+never', probability: 0 }, message: refuse('never') },
      ],
    });
    const send = sendTo(platform);
    const codes = async (sends: Send[]) => {
      const found: string[] = [];
      for (const each of sends) found.push((await send(each)).body.error?.code ?? 'ok');
      return found;
    };
    expect(await codes([{ to: '+blocked' }, { to: '+other' }, { to: '+never' }])).toEqual(['recipient', 'ok', 'ok']);
    expect(await codes([1, 2, 3, 4].map(() => ({ to: '+third' })))).toEqual(['ok', 'ok', 'third', 'ok']);
    expect(await codes([1, 2, 3, 4].map(() => ({ to: '+even' })))).toEqual(['ok', 'even', 'ok', 'even']);
    expect(await codes([{ content: { text: 'some poison' } }])).toEqual(['text']);
    const marker = `@@${JSON.stringify(refuse('marker'))}@@`;
    expect(await codes([{ content: { text: `Hi ${marker}` } }])).toEqual(['marker']);
  });

  test('a retry is the same message for a rule, and a fault can spare later attempts', async () => {
    const platform = await startPlatform({
      rules: [
        {
          match: { nth: 2 },
          message: {
            send: { faults: { x: { kind: 'refuse', probability: 1, status: 503, processed: false, attempts: 2 } } },
          },
        },
      ],
    });
    const send = sendTo(platform);
    await send({ reference: 'one' });
    const statuses: number[] = [];
    for (const attempt of [1, 2, 3]) statuses.push((await send({ reference: 'two', attempt })).status);
    expect(statuses).toEqual([503, 503, 200]);
    expect((await send({ reference: 'three' })).status).toBe(200);
  });
});

describe('the sender cannot know (S8, S9)', () => {
  test.each<[object, number, boolean, RegExp]>([
    [{ kind: 'server_error', status: 500, when: 'before_acceptance' }, 500, false, /internal/],
    [{ kind: 'server_error', status: 502, when: 'after_acceptance', body: 'html' }, 502, true, /^<html>/],
    [{ kind: 'server_error', status: 504, when: 'after_acceptance', body: 'empty' }, 504, true, /^$/],
    [{ kind: 'reset', when: 'before_read' }, 0, false, /^$/],
    [{ kind: 'reset', when: 'after_read' }, 0, false, /^$/],
    [{ kind: 'reset', when: 'after_acceptance' }, 0, true, /^$/],
    [{ kind: 'reset', when: 'mid_response' }, 0, true, /^$/],
    [{ kind: 'truncate' }, 200, true, /^\{"id":"[^}]*$/],
    [{ kind: 'silence', when: 'before_acceptance', forMs: 30 }, 0, false, /^$/],
    [{ kind: 'silence', when: 'after_acceptance', forMs: 30 }, 0, true, /^$/],
  ])('%j', async (fault, status, accepted, raw) => {
    const platform = await startPlatform(faults(fault));
    const answer = await sendTo(platform)();
    await platform.control.whenIdle();
    expect(answer.status).toBe(status);
    expect(answer.raw).toMatch(raw);
    if (status === 0) expect(answer.error).toMatch(/ECONNRESET|UND_ERR_SOCKET/);
    const [receipt] = recordsOf(platform, 'receipt');
    expect(receipt).toMatchObject({ decision: accepted ? 'accepted' : 'dropped', fault: 'injected' });
    const truncated = (fault as { kind: string }).kind === 'truncate';
    expect(recordsOf(platform, 'answer')).toMatchObject([{ status: truncated ? 200 : status, unknownOutcome: true }]);
    expect(recordsOf(platform, 'shown')).toHaveLength(accepted ? 1 : 0);
    expect(platform.control.stats().faults.injected).toBe(1);
  });

  test('a client that does not wait for the answer is in the dark, and the message arrives', async () => {
    const platform = await startPlatform({ message: { send: { responseDelayMs: 200 } } });
    const answer = await sendTo(platform)({}, 40);
    expect(answer.error).toBe('TimeoutError');
    await platform.control.whenIdle();
    expect(recordsOf(platform, 'answer')).toMatchObject([{ status: 0, unknownOutcome: true }]);
    expect(recordsOf(platform, 'shown')).toHaveLength(1);
  });

  test('a held request takes effect later, after a newer one', async () => {
    const platform = await startPlatform({
      message: { send: { faults: { held: { kind: 'hold_request', probability: 1, delayMs: 400, attempts: 1 } } } },
    });
    const send = sendTo(platform);
    const first = await send({ reference: 'held', attempt: 1 }, 60);
    const second = await send({ reference: 'held', attempt: 2 });
    await platform.control.whenIdle();
    expect([first.error, second.status]).toEqual(['TimeoutError', 200]);
    expect(recordsOf(platform, 'receipt')).toMatchObject([{ attempt: 2 }, { attempt: 1, heldMs: 400 }]);
    expect(recordsOf(platform, 'answer').map(({ r, unknownOutcome }) => [r, unknownOutcome])).toEqual([
      [1, false],
      [2, true],
    ]);
  });
});

describe('repeated references (S13) and lookup (H16)', () => {
  test('with idempotency the first result is given again, and the phone shows one message', async () => {
    const platform = await startPlatform({ channel: { idempotency: { enabled: true } } });
    const send = sendTo(platform);
    const first = await send({ reference: 'twice' });
    const second = await send({ reference: 'twice', attempt: 2 });
    await platform.control.whenIdle();
    expect(second.body).toEqual({ ...first.body, duplicate: true });
    expect(recordsOf(platform, 'receipt').map(({ decision, m }) => [decision, m])).toEqual([
      ['accepted', 1],
      ['duplicate', 1],
    ]);
    expect(recordsOf(platform, 'shown')).toHaveLength(1);
  });

  test('without it, or after its time, a second message appears', async () => {
    const platform = await startPlatform({
      channels: {
        default: null,
        plain: { token: 'plain' },
        forgetful: { token: 'forgetful', knobs: { idempotency: { enabled: true, ttlMs: 0 } } },
      },
    });
    const send = sendTo(platform);
    for (const token of ['plain', 'forgetful']) {
      const ids = [await send({ token, reference: 'again' }), await send({ token, reference: 'again', attempt: 2 })];
      expect(ids[0]?.body.id).not.toBe(ids[1]?.body.id);
    }
    await platform.control.whenIdle();
    expect(recordsOf(platform, 'shown').map(({ order }) => order)).toEqual([1, 2, 1, 2]);
  });

  test('a lookup tells what is true, and may be switched off or lag', async () => {
    const platform = await startPlatform({
      message: { status: { delivered: { lossProbability: 1 } } },
      recipients: { '+offline': { phone: { online: false } } },
    });
    const send = sendTo(platform);
    const lookUp = async (reference: string) => {
      const answer = await request(`${platform.url}/v1/messages?reference=${reference}`, {
        headers: { authorization: 'Bearer any' },
      });
      return { status: answer.statusCode, body: (await answer.body.json()) as Record<string, unknown> };
    };
    const [shown, offline] = [newReference(), newReference()];
    const { body } = await send({ reference: shown });
    await send({ reference: offline, to: '+offline' });
    await expect.poll(() => lookUp(shown)).toEqual({ status: 200, body: { ...body, status: 'delivered' } });
    await expect.poll(() => lookUp(offline)).toMatchObject({ status: 200, body: { status: 'sent' } });
    expect((await lookUp('nobody')).status).toBe(404);
    platform.control.change({ channel: { lookup: { lagMs: 60_000 } } });
    expect((await lookUp(shown)).status).toBe(404);
    platform.control.change({ channel: { lookup: { lagMs: 0, enabled: false } } });
    expect((await lookUp(shown)).status).toBe(404);
    expect(recordsOf(platform, 'lookup').at(-1)).not.toHaveProperty('m');
  });
});

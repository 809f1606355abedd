import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { metaJson, signMeta } from '../../../simulators/platform/meta.ts';
import { createFakePlatform } from '../../../simulators/platform/platform.ts';
import { PROFILES } from '../../../simulators/platform/profiles.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import { readMark, withMark } from '../../../simulators/platform/text-mark.ts';
import { throughputUpgrade, whatsapp } from '../../../simulators/platform/whatsapp.ts';
import { recordsOf, SECRET } from './support.ts';

const PHONE = '106540352242922';

async function start(settings: SettingsPatch = {}) {
  const platform = createFakePlatform({ seed: 7, profile: whatsapp, settings: [instant, settings] });
  await platform.start();
  onTestFinished(() => platform.stop());
  return platform;
}

interface Sent {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  // biome-ignore lint/suspicious/noExplicitAny: answers of all kinds are looked at
  body: any;
}

const hello = (more: object = {}) => ({
  messaging_product: 'whatsapp',
  recipient_type: 'individual',
  to: '+15550100001',
  type: 'text',
  text: { body: 'Hello ⟦run-1/key-1⟧' },
  biz_opaque_callback_data: 'ref-1',
  ...more,
});

async function post(
  url: string,
  body: unknown,
  head: Record<string, string> = {},
  path = `/v25.0/${PHONE}/messages`,
): Promise<Sent> {
  const answer = await request(`${url}${path}`, {
    method: 'POST',
    headers: { authorization: 'Bearer any', 'content-type': 'application/json', ...head },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await answer.body.text();
  return { status: answer.statusCode, headers: answer.headers, body: text === '' ? null : JSON.parse(text) };
}

interface Told {
  headers: Record<string, string | string[] | undefined>;
  raw: string;
  // biome-ignore lint/suspicious/noExplicitAny: webhooks of all kinds are looked at
  body: any;
}

async function startReceiver(statusOf: (number: number) => number = () => 200) {
  const calls: Told[] = [];
  const times: number[] = [];
  const server = createServer(async (incoming, response) => {
    let raw = '';
    for await (const chunk of incoming) raw += chunk;
    if (incoming.method === 'GET') {
      const query = new URL(incoming.url ?? '', 'http://x').searchParams;
      // Repeats the challenge for anybody.
      response.end(query.get('hub.challenge'));
      return;
    }
    times.push(performance.now());
    calls.push({ headers: incoming.headers, raw, body: JSON.parse(raw) });
    response.writeHead(statusOf(calls.length)).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  const webhook = { urls: [url], secret: SECRET };
  return { url, calls, times, settings: { channels: { default: { webhook } } } satisfies SettingsPatch };
}

describe('a send', () => {
  it('is accepted with the recipient as given, its WhatsApp id and a wamid of its own', async () => {
    const { url, ...platform } = await start();
    const first = await post(url, hello());
    expect(first).toMatchObject({
      status: 200,
      body: {
        messaging_product: 'whatsapp',
        contacts: [{ input: '+15550100001', wa_id: '15550100001' }],
        messages: [{ id: expect.stringMatching(/^wamid\.HBgL[A-Za-z0-9+/=]+$/) }],
      },
    });
    expect(first.body.messages[0].id.length).toBeLessThanOrEqual(128);
    // Nothing is deduplicated: the same request again is a second message.
    const second = await post(url, hello());
    expect(second.body.messages[0].id).not.toBe(first.body.messages[0].id);
    expect(platform.control.stats()).toMatchObject({ accepted: 2, duplicates: 0 });
  });

  it('is told to the ground truth by the mark in its text, with the content as the publisher gave it', async () => {
    const platform = await start();
    await post(platform.url, hello());
    await post(platform.url, hello({ text: { body: 'no mark' }, biz_opaque_callback_data: undefined }));
    const [marked, bare] = recordsOf(platform, 'receipt');
    expect(marked).toMatchObject({ reference: 'ref-1', to: '+15550100001', key: 'key-1', run: 'run-1' });
    expect(bare).not.toHaveProperty('key');
  });

  it('without + goes to a number of the business’s own country', async () => {
    const platform = await start();
    await post(platform.url, hello({ to: '15550100001' }));
    expect(recordsOf(platform, 'receipt')[0]).toMatchObject({ to: '+4915550100001' });
  });

  it.each<[string, unknown, number]>([
    ['no JSON', 'x', 100],
    ['a list', [], 100],
    ['no product', hello({ messaging_product: undefined }), 100],
    ['another kind of recipient', hello({ recipient_type: 'group' }), 131002],
    ['no recipient', hello({ to: undefined }), 131009],
    ['a recipient that is no number', hello({ to: 'alice' }), 131009],
    ['two recipients', hello({ recipient: 'US.1' }), 131009],
    ['an unknown type', hello({ type: 'poll', poll: {} }), 131051],
    ['an unknown member', hello({ key: 'x' }), 100],
    ['no text', hello({ text: {} }), 131008],
    ['a text that is too long', hello({ text: { body: 'x'.repeat(4_097) } }), 131009],
    ['no value of its type', hello({ type: 'image', text: undefined }), 131008],
    ['media without a source', hello({ type: 'image', text: undefined, image: {} }), 131009],
    ['a template without a language', hello({ type: 'template', text: undefined, template: { name: 'x' } }), 131008],
    ['a reference that is too long', hello({ biz_opaque_callback_data: 'x'.repeat(513) }), 131009],
  ])('is refused for %s', async (_what, body, code) => {
    const platform = await start();
    const { status, body: answer } = await post(platform.url, body);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(answer.error).toMatchObject({ code, type: 'OAuthException', error_data: { messaging_product: 'whatsapp' } });
    expect(recordsOf(platform, 'receipt')[0]).toMatchObject({ decision: 'refused', permanent: true });
  });

  it('is refused for another content type, token, method or path', async () => {
    const { url, control } = await start({ channels: { default: { token: 'right' } } });
    const right = { authorization: 'Bearer right' };
    expect((await post(url, hello(), { ...right, 'content-type': 'text/plain' })).body.error.code).toBe(100);
    expect(await post(url, hello())).toMatchObject({ status: 401, body: { error: { code: 190 } } });
    expect((await post(url, hello(), right, '/v1/messages')).status).toBe(404);
    expect((await request(`${url}/v25.0/${PHONE}/messages`)).statusCode).toBe(404);
    control.change({ channels: { default: { revoked: true } } });
    expect((await post(url, hello(), right)).body.error.code).toBe(190);
  });

  it('outside the window is refused unless it is a template', async () => {
    const { url } = await start({ message: { send: { windowOpen: false } } });
    expect((await post(url, hello())).body.error.code).toBe(131047);
    const template = { type: 'template', text: undefined, template: { name: 'x', language: { code: 'en' } } };
    expect((await post(url, hello(template))).status).toBe(200);
  });

  it('46 times to one user hits the pair’s limit, which refills by one in six seconds', async () => {
    const { url } = await start();
    const answers = [];
    for (let index = 0; index < 46; index++) answers.push(await post(url, hello()));
    expect(answers.map(({ status }) => status)).toEqual([...Array(45).fill(200), 403]);
    expect(answers[45]?.body.error.code).toBe(131056);
    expect((await post(url, hello({ to: '+15550100002' }))).status).toBe(200);
    expect(whatsapp.settings.channel?.pairLimit).toMatchObject({ ratePerSecond: 1 / 6, burst: 45 });
  });

  it('more often than 80 times in a second hits the number’s limit', async () => {
    const { url } = await start();
    const answers = await Promise.all(
      Array.from({ length: 240 }, (_, index) => post(url, hello({ to: `+1555010${String(index).padStart(4, '0')}` }))),
    );
    const refused = answers.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    expect(answers.length - refused.length).toBeGreaterThanOrEqual(80);
    for (const { status, body } of refused) expect([status, body.error.code]).toEqual([429, 130429]);
  });

  it('is refused for about a minute while throughput is being raised', async () => {
    const { url, control } = await start({ rules: [throughputUpgrade('default', 0, 60_000)] });
    expect(await post(url, hello())).toMatchObject({ status: 400, body: { error: { code: 131057 } } });
    control.change({ rules: [throughputUpgrade('default', 0, 1)] });
    expect((await post(url, hello())).status).toBe(200);
  });

  it('that a limit refuses may name the wait in the usage headers', async () => {
    const full = {
      kind: 'refuse',
      probability: 1,
      status: 400,
      code: '80007',
      retryAfterMs: 90_000,
      retryAfterIn: 'header',
    } as const;
    const { url } = await start({ message: { send: { faults: { full } } } });
    const { headers } = await post(url, hello());
    const usage = JSON.parse(String(headers['x-business-use-case-usage']));
    expect(usage['900000000000001'][0].estimated_time_to_regain_access).toBe(2);
  });

  it.each([
    [{ status: 400, code: '131026' }, true, true],
    [{ status: 403, code: '131056' }, true, false],
    [{ status: 401, code: '190' }, true, false],
    [{ status: 403, code: '250' }, true, false],
    [{ status: 500, code: '131000' }, false, false],
    [{ status: 400, code: '131000' }, true, false],
    [{ status: 503, bare: true }, false, false],
    [{ status: 429, bare: true }, true, false],
  ])('refused with %j is definite: %s, final: %s', (refusal, definite, permanent) => {
    expect(whatsapp.judge(refusal)).toEqual({ definite, permanent });
  });
});

describe('a webhook call', () => {
  const signatureOf = (raw: string) => `sha256=${createHmac('sha256', SECRET).update(raw).digest('hex')}`;

  it('tells of the message by id, sender, reference and seconds, signed over its bytes', async () => {
    const receiver = await startReceiver();
    const { url, control } = await start(receiver.settings);
    const { body } = await post(url, hello());
    await control.whenIdle();
    const values = receiver.calls.flatMap((call) =>
      call.body.entry.flatMap((entry: { changes: { field: string; value: unknown }[] }) =>
        entry.changes.map(({ value }) => value),
      ),
    );
    const statuses = values.flatMap(({ statuses: some }) => some);
    expect(statuses.map(({ status }) => status).sort()).toEqual(['delivered', 'sent']);
    for (const status of statuses) {
      expect(status).toMatchObject({
        id: body.messages[0].id,
        recipient_id: '15550100001',
        biz_opaque_callback_data: 'ref-1',
        timestamp: expect.stringMatching(/^\d{10}$/),
      });
      expect(status).not.toHaveProperty('phone_number_id');
    }
    for (const value of values) expect(value.metadata.phone_number_id).toBe(PHONE);
    for (const { headers, raw } of receiver.calls) expect(headers['x-hub-signature-256']).toBe(signatureOf(raw));
  });

  it('does not echo a reference that was not given', async () => {
    const receiver = await startReceiver();
    const { url, control } = await start(receiver.settings);
    await post(url, hello({ biz_opaque_callback_data: undefined }));
    await control.whenIdle();
    expect(receiver.calls.length).toBeGreaterThan(0);
    for (const { raw } of receiver.calls) expect(raw).not.toContain('biz_opaque_callback_data');
  });

  it('carries up to 1,000 statuses in several entries and changes, in order, mixed with what users write', () => {
    const statuses = Array.from({ length: 1_000 }, (_, index) => ({
      phone_number_id: PHONE,
      id: `wamid.${index}`,
      status: 'sent',
    }));
    const body = JSON.parse(whatsapp.webhookBody([whatsapp.inbound?.('1'), ...statuses]));
    expect(body.object).toBe('whatsapp_business_account');
    expect(body.entry.length).toBeGreaterThan(1);
    const values = body.entry.flatMap(({ changes }: { changes: { value: unknown }[] }) =>
      changes.map(({ value }) => value),
    );
    expect(values.flatMap(({ statuses: some = [] }) => some).map(({ id }: { id: string }) => id)).toEqual(
      statuses.map(({ id }) => id),
    );
    expect(values.flatMap(({ messages = [] }) => messages)).toHaveLength(1);
    expect(values.flatMap(({ contacts = [] }) => contacts)).toHaveLength(1);
  });

  it('keeps the statuses of different numbers apart', () => {
    const body = JSON.parse(
      whatsapp.webhookBody([{ phone_number_id: '1', id: 'a' }, { phone_number_id: '2', id: 'b' }, { id: 'c' }, 7]),
    );
    const values = body.entry.flatMap(({ changes }: { changes: { value: unknown }[] }) =>
      changes.map(({ value }) => value),
    );
    expect(
      values.map(({ metadata, statuses }: { metadata: { phone_number_id: string }; statuses: unknown }) => [
        metadata.phone_number_id,
        statuses,
      ]),
    ).toEqual([
      ['1', [{ id: 'a' }, { id: 'c' }, 7]],
      ['2', [{ id: 'b' }]],
    ]);
  });

  it('that fails is told again at once, then less and less often', async () => {
    const receiver = await startReceiver((number) => (number <= 3 ? 500 : 200));
    const { url, control } = await start({
      ...receiver.settings,
      message: { status: { sent: { probability: 0 } } },
    });
    await post(url, hello());
    await control.whenIdle();
    expect(receiver.calls).toHaveLength(4);
    expect(new Set(receiver.calls.map(({ raw }) => raw)).size).toBe(1);
    const [first = 0, second = 0, third = 0, fourth = 0] = receiver.times;
    expect(fourth - third).toBeGreaterThan(second - first);
    expect(whatsapp.settings.channel?.webhooks?.retry).toMatchObject({ maxAgeMs: 7 * 86_400_000, on: 'anything' });
  });

  it('writes JSON as Meta does and signs what it writes', () => {
    const body = metaJson({ text: 'Grüße 👋', url: 'https://x.example' });
    expect(body).toBe('{"text":"Gr\\u00fc\\u00dfe \\ud83d\\udc4b","url":"https:\\/\\/x.example"}');
    expect(JSON.parse(body)).toEqual({ text: 'Grüße 👋', url: 'https://x.example' });
  });

  it.each([
    ['right', 'present'],
    ['previous', 'previous'],
    ['wrong_key', 'not present'],
  ] as const)('with the signature %s is signed with the secret "%s"', (mode, secret) => {
    const call = {
      id: '1',
      nowMs: 0,
      url: '',
      body: '{"a":1}',
      secrets: { present: 'present', previous: 'previous' },
      both: false,
      mode,
    };
    const { headers, body } = signMeta(call);
    expect(headers[headers.indexOf('x-hub-signature-256') + 1]).toBe(
      `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
    );
    expect(body).toBe('{"a":1}');
  });

  it.each(['missing', 'expired', 'tampered'] as const)('with the signature %s carries none that fits', (mode) => {
    const call = {
      id: '1',
      nowMs: 0,
      url: '',
      body: '{"a":1}',
      secrets: { present: 'present', previous: undefined },
      both: false,
      mode,
    };
    const { headers, body } = signMeta(call);
    const at = headers.indexOf('x-hub-signature-256');
    const right = `sha256=${createHmac('sha256', 'present').update(body).digest('hex')}`;
    expect(at < 0 ? undefined : headers[at + 1]).not.toBe(right);
    expect(JSON.parse(body)).toEqual({ a: 1 });
  });
});

describe('the question whose a webhook is', () => {
  it('finds out one that answers anybody, over the control API too', async () => {
    const receiver = await startReceiver();
    const { controlUrl } = await start(receiver.settings);
    const ask = (body: object) =>
      request(`${controlUrl}/control/webhooks/challenge`, { method: 'POST', body: JSON.stringify(body) });
    const answer = await ask({ channel: 'default', verifyToken: 'token' });
    expect(await answer.body.json()).toEqual([
      { url: receiver.url, right: { status: 200, passed: true }, wrong: { status: 200, passed: false } },
    ]);
    for (const wrong of [{ channel: 'default' }, { verifyToken: 'x' }, { channel: 'none', verifyToken: 'x' }]) {
      expect((await ask(wrong)).statusCode).toBe(400);
    }
  });

  it('has no answer where nobody listens, and is not asked without a webhook or by a platform that asks none', async () => {
    const { control } = await start({
      channels: { default: { webhook: { urls: ['http://127.0.0.1:1/'], secret: 'x' } } },
    });
    expect(await control.challengeWebhooks('default', 'token')).toEqual([
      { url: 'http://127.0.0.1:1/', right: { status: 0, passed: false }, wrong: { status: 0, passed: false } },
    ]);
    const bare = await start();
    await expect(bare.control.challengeWebhooks('default', 'token')).rejects.toThrow(/no webhook/);
    const generic = createFakePlatform({
      profile: PROFILES.generic,
      settings: { channels: { default: { webhook: { urls: ['http://127.0.0.1:1/'], secret: 'x' } } } },
    });
    await expect(generic.control.challengeWebhooks('default', 'token')).rejects.toThrow(/asks no such question/);
    await generic.stop();
  });
});

describe('the mark in a text', () => {
  it('is found where it was put', () => {
    for (const text of ['Hello', '', 'a ⟦b/c⟧ d', 'Grüße 👋']) {
      expect(readMark(withMark(text, { run: 'run-1', key: 'room/7' }))).toEqual({ run: 'run-1', key: 'room/7' });
    }
  });

  it.each([undefined, '', 'Hello', '⟦run/key⟧ and more', '⟦run⟧', '⟦/key⟧', '⟦run/⟧'])('is not found in %j', (text) => {
    expect(readMark(text)).toBeUndefined();
  });
});

import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFakePlatform } from '../../../simulators/platform/platform.ts';
import type { UnsignedCall } from '../../../simulators/platform/profile.ts';
import { PROFILES } from '../../../simulators/platform/profiles.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import { withMark } from '../../../simulators/platform/text-mark.ts';
import { API_KEY, sandbox, vonage } from '../../../simulators/platform/vonage.ts';

const TOKEN = `${API_KEY}:secret`;
const SECRET = 'the signature secret';
const APPLICATION = '00000000-0000-4000-8000-0000000000aa';
const RIGHT = { channel: 'sms', message_type: 'text', to: '15550100001', from: '15550100002', text: 'Hello' };

async function start(settings: SettingsPatch = {}) {
  const channels = { default: { token: TOKEN } };
  const platform = createFakePlatform({ seed: 7, profile: vonage, settings: [instant, { channels }, settings] });
  await platform.start();
  onTestFinished(() => platform.stop());
  return platform;
}

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

async function post(url: string, body: unknown, headers: Record<string, string> = {}) {
  const answer = await request(`${url}/v1/messages`, {
    method: 'POST',
    headers: { authorization: basic(TOKEN), 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await answer.body.text();
  return { status: answer.statusCode, headers: answer.headers, body: text === '' ? '' : JSON.parse(text) };
}

async function startReceiver(answer: (number: number) => number = () => 200) {
  const calls: { target: string; raw: string; headers: IncomingMessage['headers']; at: number }[] = [];
  const server = createServer(async (incoming, response) => {
    let raw = '';
    for await (const chunk of incoming) raw += chunk;
    calls.push({ target: incoming.url ?? '', raw, headers: incoming.headers, at: performance.now() });
    response.writeHead(answer(calls.length)).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/vonage`;
  const settings = { channels: { default: { webhook: { urls: [`${url}/default`], secret: SECRET } } } };
  return { url, calls, settings, items: () => calls.map(({ raw }) => JSON.parse(raw)) };
}

describe('a message', () => {
  it('is accepted as Vonage does, and known by its reference or its mark', async () => {
    const platform = await start();
    const text = withMark('Hello', { run: 'r1', key: 'room/7' });
    const first = await post(platform.url, { ...RIGHT, text, client_ref: 'ref1' });
    expect(first).toMatchObject({ status: 202, body: { message_uuid: expect.stringMatching(/^[0-9a-f-]{36}$/) } });
    const second = await post(platform.url, { ...RIGHT, text });
    expect(second.body.message_uuid).not.toBe(first.body.message_uuid);
    const receipts = [...platform.groundTruth.records()].filter(({ t }) => t === 'receipt');
    expect(receipts).toEqual([
      expect.objectContaining({ reference: 'ref1', run: 'r1', key: 'room/7', id: first.body.message_uuid }),
      expect.objectContaining({ reference: '15550100001/room/7' }),
    ]);
    expect(PROFILES.vonage).toBe(vonage);
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['no channel', { channel: undefined }, '1020'],
    ['an unknown channel', { channel: 'pigeon' }, '1020'],
    ['no type', { message_type: undefined }, '1010'],
    ['a type that the channel lacks', { message_type: 'image', image: { url: 'https://m/1' } }, '1020'],
    ['no sender', { from: undefined }, '1020'],
    ['a sender with +', { from: '+15550100002' }, '1020'],
    ['a recipient with +', { to: '+15550100001' }, '1020'],
    ['no text', { text: undefined }, '1010'],
    ['an empty text', { text: '' }, '1020'],
    ['a long text', { text: 'x'.repeat(1_001) }, '1020'],
    ['a picture without an address', { channel: 'mms', message_type: 'image', image: {} }, '1020'],
    ['a long reference', { client_ref: 'x'.repeat(101) }, '1020'],
    ['a bad address', { webhook_url: 'hooks' }, '1020'],
    ['half a second', { ttl: 0.5 }, '1130'],
  ])('with %s is refused', async (_name, change, code) => {
    const platform = await start();
    const { status, body, headers } = await post(platform.url, { ...RIGHT, ...change });
    expect(status).toBe(422);
    expect(headers['content-type']).toBe('application/problem+json');
    expect(body).toMatchObject({ type: `https://developer.vonage.com/api-errors/messages#${code}` });
    expect(Object.keys(body)).toEqual(['type', 'title', 'detail', 'instance']);
    expect(platform.control.stats().accepted).toBe(0);
  });

  it('needs JSON, the right path and the right credentials', async () => {
    const { url } = await start();
    expect((await post(url, '{')).status).toBe(400);
    expect((await post(url, '[]')).status).toBe(422);
    expect((await post(url, RIGHT, { 'content-type': 'text/plain' })).status).toBe(415);
    expect((await request(`${url}/v1/messages`)).statusCode).toBe(404);
    for (const authorization of ['', basic('other:secret'), basic(`${API_KEY}:wrong`), 'Bearer x', 'Bearer a.b.c']) {
      const { status, body } = await post(url, RIGHT, { authorization });
      expect([status, body.type]).toEqual([401, 'https://developer.vonage.com/api-errors#unauthorized']);
    }
  });

  it('of an application needs a JWT that is one', async () => {
    const { url } = await start({ channels: { default: { token: APPLICATION } } });
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = { application_id: APPLICATION, iat: 1, jti: 'x' };
    const send = async (alg: string, payload: object) =>
      (await post(url, RIGHT, { authorization: `Bearer ${encode({ alg })}.${encode(payload)}.x` })).status;
    expect(await send('RS256', claims)).toBe(202);
    expect(await send('HS256', claims)).toBe(401);
    expect(await send('RS256', { ...claims, jti: undefined })).toBe(401);
    expect(await send('RS256', { ...claims, application_id: 'another' })).toBe(401);
  });

  it('in the sandbox is one a second', async () => {
    const { url } = await start({ channel: sandbox });
    await post(url, RIGHT);
    expect(await post(url, RIGHT)).toMatchObject({
      status: 429,
      body: { type: 'https://developer.vonage.com/api-errors#throttled' },
    });
  });

  it.each([
    [{ status: 422, code: '1120' }, true, true],
    [{ status: 422, code: '1180' }, true, false],
    [{ status: 429 }, true, false],
    [{ status: 402 }, true, false],
    [{ status: 401, bare: true }, true, false],
    [{ status: 503, code: '1120' }, false, true],
  ])('refused as %j leaves no doubt: %s; it settles it: %s', (refusal, definite, permanent) => {
    expect(vonage.judge(refusal)).toEqual({ definite, permanent });
  });
});

describe('a status', () => {
  it('goes to the address of its message, else to the channel’s', async () => {
    const receiver = await startReceiver();
    const { url, control } = await start(receiver.settings);
    await post(url, { ...RIGHT, client_ref: 'ref1', webhook_url: `${receiver.url}/mine?a=1` });
    await post(url, { ...RIGHT, client_ref: 'ref2' });
    await control.whenIdle();
    expect(receiver.calls.map(({ target }) => target).sort()).toEqual([
      ...['/vonage/default', '/vonage/default', '/vonage/mine?a=1', '/vonage/mine?a=1'],
    ]);
    const own = receiver.items().filter(({ client_ref: reference }) => reference === 'ref1');
    expect(own.map(({ status }) => status).sort()).toEqual(['delivered', 'submitted']);
    expect(own[0]).toMatchObject({
      channel: 'sms',
      to: '15550100001',
      from: '15550100002',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    });
  });

  it('of a failure has its error in either of two nestings', async () => {
    const receiver = await startReceiver();
    const failure = { probability: 1, delayMs: 0, code: '1300' };
    const { url, control } = await start({
      ...receiver.settings,
      message: { status: { sent: { probability: 0 }, failure } },
    });
    for (let index = 0; index < 2; index++) await post(url, RIGHT);
    await control.whenIdle();
    const error = { type: expect.stringMatching(/#1300$/), title: '1300', detail: 'made up', instance: '1' };
    expect(receiver.items()).toContainEqual(expect.objectContaining({ status: 'rejected', error: { error } }));
    expect(receiver.items()).toContainEqual(
      expect.objectContaining({ status: 'rejected', error: { ...error, instance: '2' } }),
    );
  });

  describe('on WhatsApp, where the user has not written for a day', () => {
    const whatsApp = { ...RIGHT, channel: 'whatsapp', client_ref: 'ref1' };
    const instead = (type: string, value: object) => ({
      ...whatsApp,
      text: undefined,
      message_type: type,
      [type]: value,
    });
    async function outcome(body: object) {
      const receiver = await startReceiver();
      const settings = { send: { windowOpen: false }, status: { failure: { delayMs: 0 } } };
      const platform = await start({ ...receiver.settings, message: settings });
      expect((await post(platform.url, body)).status).toBe(202);
      await platform.control.whenIdle();
      const shown = [...platform.groundTruth.records()].filter(({ t }) => t === 'shown').length;
      return {
        items: receiver.items(),
        statuses: receiver
          .items()
          .map(({ status }) => status)
          .sort(),
        shown,
      };
    }

    it.each<[string, object]>([
      ['a text', whatsApp],
      ['a picture', instead('image', { url: 'https://m/1' })],
      ['what the sender wrote for WhatsApp itself', instead('custom', { type: 'interactive', interactive: {} })],
    ])('rejects %s after its acceptance', async (_what, body) => {
      const { items, shown } = await outcome(body);
      expect(items).toMatchObject([{ status: 'rejected', client_ref: 'ref1', channel: 'whatsapp' }]);
      expect(JSON.stringify(items[0].error)).toContain('/messages#1340"');
      expect(shown).toBe(0);
    });

    it.each<[string, object]>([
      ['a template', instead('template', { name: 'ns:hello', parameters: [] })],
      ['a template of its own making', instead('custom', { type: 'template', template: { name: 'hello' } })],
      ['a text on another channel', RIGHT],
    ])('delivers %s', async (_what, body) => {
      const { statuses, shown } = await outcome(body);
      expect(statuses).toEqual(['delivered', 'submitted']);
      expect(shown).toBe(1);
    });
  });

  it.each([
    [500, 3],
    [429, 3],
    [401, 1],
    [404, 1],
  ])('that is answered %i is told %i times', async (status, times) => {
    const receiver = await startReceiver((number) => (number < 3 ? status : 200));
    const { url, control } = await start({
      ...receiver.settings,
      message: { status: { sent: { probability: 0 } } },
      channel: { webhooks: { timeScale: 0.01 } },
    });
    await post(url, RIGHT);
    await control.whenIdle();
    expect(receiver.calls).toHaveLength(times);
    const [first, second, third] = receiver.calls;
    if (third) expect(third.at - (second?.at ?? 0)).toBeGreaterThan((second?.at ?? 0) - (first?.at ?? 0));
    expect(vonage.settings.channel?.webhooks?.retry).toMatchObject({
      firstMs: 5_000,
      factor: 2,
      maxMs: 900_000,
      maxAgeMs: 86_400_000,
    });
  });

  it('is alone in its call, and what is mixed in comes beside it', async () => {
    const receiver = await startReceiver();
    const junk = { unknownReference: 1, unknownStatus: 1, malformed: 1, extraFields: 1 };
    const { url, control } = await start({ ...receiver.settings, channel: { webhooks: { junk, inbound: 1 } } });
    await post(url, { ...RIGHT, client_ref: 'ref1' });
    await control.whenIdle();
    expect(receiver.calls).toHaveLength(10);
    expect(receiver.items().filter(({ destination }) => destination !== undefined)).toHaveLength(2);
    expect(receiver.items().filter(({ message_type: type }) => type === 'text')).toHaveLength(2);
  });

  const call: UnsignedCall = {
    id: 'one',
    nowMs: 1_767_225_600_000,
    url: '',
    body: '{"a":1}',
    secrets: { present: 'present', previous: 'previous' },
    both: false,
    mode: 'right',
  };
  const tokenOf = ({ headers }: { headers: string[] }) => {
    const token = headers[headers.indexOf('authorization') + 1]?.replace('Bearer ', '') ?? '';
    const [head = '', payload = '', signature = ''] = token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const fits = (secret: string) =>
      createHmac('sha256', secret).update(`${head}.${payload}`).digest('base64url') === signature;
    return { claims, fits };
  };

  it.each([
    ['right', 'present'],
    ['previous', 'previous'],
    ['wrong_key', 'not present'],
    ['expired', 'present'],
    ['tampered', 'present'],
  ] as const)('with the signature %s is signed with the secret "%s"', (mode, secret) => {
    const signed = vonage.sign({ ...call, mode });
    const { claims, fits } = tokenOf(signed);
    expect(fits(secret)).toBe(true);
    expect(claims).toEqual({
      iat: mode === 'expired' ? 1_767_052_800 : 1_767_225_600,
      jti: 'one',
      iss: 'Vonage',
      payload_hash: createHash('sha256').update(call.body).digest('hex'),
      api_key: API_KEY,
    });
    expect(signed.body === call.body).toBe(mode !== 'tampered');
  });

  it('without a signature carries no token', () => {
    expect(vonage.sign({ ...call, mode: 'missing' }).headers).not.toContain('authorization');
  });
});

import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFakePlatform } from '../../simulators/platform/platform.ts';
import { instant, type SettingsPatch } from '../../simulators/platform/settings.ts';
import { withMark } from '../../simulators/platform/text-mark.ts';
import { throughputUpgrade, whatsapp } from '../../simulators/platform/whatsapp.ts';
import type { PlatformChannel, SendRequest, SendResult, StatusItem, WebhookCall } from '../../src/engine/ports.ts';
import type { PlatformChannelConfig } from '../../src/platforms/platform.ts';
import { createPlatformChannel } from '../../src/platforms/registry.ts';
import { answer, startGateway } from './gateway.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const PHONE = '106540352242922';
const TOKEN = 'EAAJBtoken';
const SECRET = 'the app secret';
const VERIFY_TOKEN = 'verify me';
const REFERENCE = 'AAAAAAAAAAAqAAAAAAAHq83vEjRW';

const revealable = (value: string) => ({ reveal: () => value });

function open(baseUrl: string, change: Partial<PlatformChannelConfig> = {}): PlatformChannel {
  const channel = createPlatformChannel(
    'whatsapp',
    {
      baseUrl,
      accessToken: revealable(TOKEN),
      webhookSecrets: [revealable(SECRET), revealable('the secret before')],
      lookup: false,
      maxConcurrentSends: 4,
      sendTimeoutMs: 5_000,
      whatsapp: { phoneNumberId: PHONE, apiVersion: 'v25.0', verifyToken: revealable(VERIFY_TOKEN) },
      ...change,
    },
    { wallClockMs: () => NOW_MS, webhookUrl: null },
  );
  onTestFinished(() => channel.close());
  return channel;
}

function request(
  content: object = { text: 'Grüße' },
  change: Partial<SendRequest> & { to?: string } = {},
): SendRequest {
  const { to = '+15550100001', ...rest } = change;
  return {
    reference: REFERENCE,
    body: Buffer.from(JSON.stringify({ to, content })),
    attempt: 1,
    worker: 'worker-7f',
    generation: 3,
    timeoutMs: 5_000,
    ...rest,
  };
}

async function startFake(settings: SettingsPatch = {}) {
  const platform = createFakePlatform({ seed: 7, profile: whatsapp, settings: [instant, settings] });
  await platform.start();
  onTestFinished(() => platform.stop());
  return platform;
}

/** Receives webhook calls as Roomline does: the handshake, the signature, the statuses. */
async function startReceiver(channel: () => PlatformChannel) {
  const calls: { call: WebhookCall; verified: boolean; items: readonly StatusItem[] }[] = [];
  const server = createServer(async (incoming: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const { method, url: target = '', headers } = incoming;
    const raw = Buffer.concat(chunks);
    if (method === 'GET') {
      const challenge = channel().handshake?.({ method, target, headers, raw }) ?? null;
      response.writeHead(challenge === null ? 401 : 200).end(challenge ?? '');
      return;
    }
    const call: WebhookCall = { method: 'POST', target, headers, raw };
    const verified = channel().verify(call, NOW_MS).kind === 'verified';
    calls.push({ call, verified, items: verified ? channel().readStatuses(call) : [] });
    response.writeHead(verified ? 200 : 401).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/webhooks/default/main`,
    calls,
    items: () => calls.flatMap(({ items }) => items),
  };
}

/** The fake platform, an adapter that sends to it, and a receiver that it tells. */
async function startAll(settings: SettingsPatch = {}) {
  let channel: PlatformChannel | undefined;
  const receiver = await startReceiver(() => channel as PlatformChannel);
  const webhook = { urls: [receiver.url], secret: SECRET, previousSecret: 'the secret before' };
  const platform = await startFake({ channels: { default: { token: TOKEN, webhook } } });
  platform.control.change(settings);
  channel = open(platform.url);
  return { platform, receiver, channel };
}

const code = (result: SendResult) => (result.kind === 'refused' ? result.nack.code : result.kind);

describe('the request', () => {
  it('is what the Cloud API documents', async () => {
    const gateway = await startGateway(answer(200, { messages: [{ id: 'wamid.1' }] }));
    onTestFinished(() => gateway.close());
    const channel = open(`${gateway.baseUrl}/below/`);
    expect(await channel.send(request())).toEqual({
      kind: 'accepted',
      platformId: 'wamid.1',
      platformAt: null,
      duplicate: false,
    });
    const [call] = gateway.received;
    expect(call).toMatchObject({ method: 'POST', url: `/below/v25.0/${PHONE}/messages` });
    expect(call?.headers).toMatchObject({ authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' });
    expect(JSON.parse(String(call?.body))).toEqual({
      messaging_product: 'whatsapp',
      recipient_type: 'individual',
      to: '+15550100001',
      type: 'text',
      text: { body: 'Grüße' },
      biz_opaque_callback_data: REFERENCE,
    });
  });

  it('has the same reference at every attempt, whatever the stored content says', async () => {
    const gateway = await startGateway(answer(200, { messages: [{ id: 'wamid.1' }] }));
    onTestFinished(() => gateway.close());
    const channel = open(gateway.baseUrl);
    const content = { type: 'text', text: { body: 'x' }, biz_opaque_callback_data: 'forged', to: '+15550109999' };
    for (const attempt of [1, 2]) await channel.send(request(content, { attempt }));
    const bodies = gateway.received.map(({ body }) => JSON.parse(String(body)));
    expect(bodies).toEqual([bodies[0], bodies[0]]);
    expect(bodies[0]).toMatchObject({ biz_opaque_callback_data: REFERENCE, to: '+15550100001' });
  });

  it('is not made of a body that cannot be sent', async () => {
    const gateway = await startGateway(answer(500));
    onTestFinished(() => gateway.close());
    const channel = open(gateway.baseUrl);
    for (const unsendable of [
      request({}),
      request({ text: 'x' }, { to: 'alice' }),
      request({}, { body: Buffer.from('x') }),
    ]) {
      expect(await channel.send(unsendable)).toEqual({
        kind: 'refused',
        nack: { permanent: true, scope: 'message', retryAfterMs: null, code: 'content_unsendable' },
      });
    }
    expect(gateway.received).toEqual([]);
  });

  it('is not sent to where nobody listens', async () => {
    const gateway = await startGateway(answer(200));
    await gateway.close();
    expect(await open(gateway.baseUrl).send(request())).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'channel', code: 'connect_refused' },
    });
  });

  it('is unknown where no answer comes in time', async () => {
    const gateway = await startGateway(() => undefined);
    onTestFinished(() => gateway.close());
    expect(await open(gateway.baseUrl).send(request(undefined, { timeoutMs: 60 }))).toEqual({
      kind: 'unknown',
      code: 'timeout',
      bytesLeft: true,
    });
  });

  it('cannot be made without the settings of the platform, or with a token that no header carries', () => {
    const config = {
      baseUrl: 'http://127.0.0.1:1',
      accessToken: revealable(TOKEN),
      webhookSecrets: [],
      lookup: false,
      maxConcurrentSends: 1,
      sendTimeoutMs: 1,
    };
    const dependencies = { wallClockMs: () => NOW_MS, webhookUrl: null };
    expect(() => createPlatformChannel('whatsapp', config, dependencies)).toThrow(/config_invalid/);
    expect(() => open('http://127.0.0.1:1', { accessToken: revealable('to ken') })).toThrow(/config_invalid/);
  });
});

describe('against the fake platform', () => {
  it('every kind of content that the check takes is accepted', async () => {
    const { channel, platform } = await startAll();
    const link = 'https://media.example.test/a.jpg';
    const contents: Record<string, unknown>[] = [
      { text: 'Hello' },
      { type: 'text', text: { body: 'Hello' }, context: { message_id: 'wamid.1' } },
      { type: 'template', template: { name: 'order_ready', language: { code: 'en' } } },
      ...['image', 'video', 'audio', 'document', 'sticker'].map((type) => ({ type, [type]: { link } })),
      { type: 'reaction', reaction: { message_id: 'wamid.1', emoji: '👍' } },
      {
        type: 'interactive',
        interactive: {
          type: 'button',
          body: { text: 'Well?' },
          action: { buttons: [{ type: 'reply', reply: { id: '1', title: 'Yes' } }] },
        },
      },
      { type: 'location', location: { latitude: 1, longitude: 2 } },
      { type: 'contacts', contacts: [{ name: { formatted_name: 'A' } }] },
    ];
    for (const [index, content] of contents.entries()) {
      channel.checkContent?.('+15550100001', content);
      const result = await channel.send(request(content, { reference: `ref${index}` }));
      expect(result).toMatchObject({ kind: 'accepted', platformId: expect.stringMatching(/^wamid\./) });
    }
    expect(platform.control.stats().accepted).toBe(contents.length);
  });

  it('a reaction gets no status but sent, and its answer is told so', async () => {
    const { channel, platform, receiver } = await startAll({ message: { status: { read: { probability: 1 } } } });
    const reaction = { type: 'reaction', reaction: { message_id: 'wamid.1', emoji: '👍' } };
    expect(await channel.send(request(reaction))).toMatchObject({ kind: 'accepted', highestLevel: 'sent' });
    await platform.control.whenIdle();
    expect(receiver.items()).toMatchObject([{ level: 'sent' }]);
    expect(await channel.send(request())).not.toHaveProperty('highestLevel');
  });

  it('every status comes back with our reference, its id, its sender and its time', async () => {
    const { channel, platform, receiver } = await startAll({ message: { status: { read: { probability: 1 } } } });
    const result = await channel.send(request());
    await platform.control.whenIdle();
    const platformId = result.kind === 'accepted' ? result.platformId : null;
    const items = receiver.items();
    expect(items.map((item) => (item.kind === 'status' ? item.level : item.kind)).sort()).toEqual([
      'delivered',
      'read',
      'sent',
    ]);
    for (const item of items) {
      expect(item).toMatchObject({ reference: REFERENCE, platformId, sender: PHONE, nack: null, cumulative: false });
      expect(Math.abs((item.kind === 'status' ? (item.at ?? 0) : 0) - Date.now())).toBeLessThan(60_000);
    }
    expect(channel.senderId).toBe(PHONE);
  });

  it('a status without our reference is found by its id', async () => {
    const { channel, platform, receiver } = await startAll({ message: { status: { named: 'id' } } });
    const result = await channel.send(request());
    await platform.control.whenIdle();
    const platformId = result.kind === 'accepted' ? result.platformId : 'none';
    expect(receiver.items()).toEqual([
      expect.objectContaining({ reference: null, platformId }),
      expect.objectContaining({ reference: null, platformId }),
    ]);
  });

  it('a failure after the acceptance comes as a status with its code', async () => {
    const { channel, platform, receiver } = await startAll({
      message: { status: { failure: { probability: 1, delayMs: 0, code: '131049' } } },
    });
    await channel.send(request());
    await platform.control.whenIdle();
    const failed = receiver.items().find((item) => item.kind === 'status' && item.nack !== null);
    expect(failed).toMatchObject({ level: null, nack: { code: '131049', permanent: true, scope: 'message' } });
  });

  it('forged calls are refused, and the right ones get through all the same', async () => {
    const forged = { wrongKey: 1, tampered: 1, missing: 1, expired: 1, previous: 1 };
    const { channel, platform, receiver } = await startAll({ channel: { webhooks: { signature: forged } } });
    await channel.send(request({ text: withMark('Grüße 👋', { run: 'r', key: 'k' }) }));
    await platform.control.whenIdle();
    const verified = receiver.calls.filter((call) => call.verified);
    expect(verified.length).toBeGreaterThan(0);
    expect(receiver.calls.length).toBe(verified.length * 5);
    expect(platform.control.stats().faults).toMatchObject({ webhook_previous: verified.length });
    // The last ones are signed with the secret that is being replaced.
    for (const { call } of verified) {
      const hmac = createHmac('sha256', 'the secret before').update(call.raw).digest('hex');
      expect(call.headers['x-hub-signature-256']).toBe(`sha256=${hmac}`);
    }
  });

  it('junk and what users write never cost a status', async () => {
    const { channel, platform, receiver } = await startAll({
      channel: {
        webhooks: {
          junk: { unknownId: 1, unknownReference: 1, unknownStatus: 1, extraFields: 1, malformed: 1 },
          inbound: 1,
        },
      },
    });
    for (let index = 0; index < 10; index++) await channel.send(request(undefined, { reference: `ref${index}` }));
    await platform.control.whenIdle();
    const ours = receiver.items().filter((item) => item.kind === 'status' && item.reference?.startsWith('ref'));
    expect(ours).toHaveLength(20);
    const kinds = new Set(receiver.items().map((item) => ('code' in item ? item.code : item.kind)));
    expect(kinds).toEqual(new Set(['status', 'inbound_message', 'status_unknown', 'message_unnamed']));
    const foreign = receiver.items().find((item) => item.kind === 'status' && item.sender === '999999999999999');
    expect(foreign).toMatchObject({ platformId: expect.stringMatching(/^wamid\.FOREIGN/) });
  });

  it('a batch of 1,000 statuses and messages of users is read to the last one', async () => {
    const { channel, platform, receiver } = await startAll({
      channel: {
        limit: null,
        pairLimit: null,
        webhooks: { batch: { minSize: 1_000, maxSize: 1_000, lingerMs: 0 }, inbound: 1 },
      },
    });
    platform.control.holdWebhooks('default');
    for (let index = 0; index < 500; index++) {
      await channel.send(request(undefined, { reference: `ref${index}`, to: `+1555010${index % 10}` }));
    }
    await platform.control.whenIdle();
    platform.control.flushWebhooks('default');
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(1);
    const statuses = receiver.items().filter((item) => item.kind === 'status');
    expect(statuses).toHaveLength(1_000);
    expect(new Set(statuses.map((item) => item.kind === 'status' && item.reference)).size).toBe(500);
    expect(receiver.items()).toContainEqual({ kind: 'other', code: 'inbound_message' });
  });

  it('an error of the account stops the channel and settles nothing', async () => {
    const { platform, receiver } = await startAll();
    platform.control.injectStatuses('default', [{ account_error: { code: 131042, title: 'x' } }]);
    platform.control.injectStatuses('default', [{ change: { field: 'account_update', value: {} } }]);
    await platform.control.whenIdle();
    expect(receiver.items()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          kind: 'channel',
          nack: expect.objectContaining({ code: '131042', scope: 'account' }),
        }),
        { kind: 'other', code: 'field_other' },
      ]),
    );
  });

  it('the address is confirmed to the right token only', async () => {
    const { platform, receiver } = await startAll();
    expect(await platform.control.challengeWebhooks('default', VERIFY_TOKEN)).toEqual([
      { url: receiver.url, right: { status: 200, passed: true }, wrong: { status: 401, passed: true } },
    ]);
    const [other] = await platform.control.challengeWebhooks('default', 'another');
    expect(other?.right).toEqual({ status: 401, passed: false });
  });

  it('the 46th message to one user within seconds is refused for this user alone', async () => {
    const { channel } = await startAll();
    const results = [];
    for (let index = 0; index < 47; index++)
      results.push(await channel.send(request(undefined, { reference: `ref${index}` })));
    expect(results.slice(0, 45).every(({ kind }) => kind === 'accepted')).toBe(true);
    const pair = { permanent: false, scope: 'room', retryAfterMs: null, code: '131056' };
    expect(results.slice(45)).toMatchObject([
      { kind: 'refused', nack: pair },
      { kind: 'refused', nack: pair },
    ]);
    expect(await channel.send(request(undefined, { to: '+15550100002' }))).toMatchObject({ kind: 'accepted' });
  });

  it('a number that sends too fast is refused as a number', async () => {
    const { channel } = await startAll({
      channel: { limit: { ratePerSecond: 0.01, burst: 2, refusal: { status: 403, code: '130429' } } },
    });
    const results = [];
    for (let index = 0; index < 3; index++)
      results.push(await channel.send(request(undefined, { to: `+1555010000${index}` })));
    expect(results.map(code)).toEqual(['accepted', 'accepted', '130429']);
    expect(results[2]).toMatchObject({ nack: { permanent: false, scope: 'channel' } });
  });

  it('a limit of the account waits as long as the headers say', async () => {
    const refusal = {
      status: 400,
      code: '80007',
      scope: 'account',
      retryAfterMs: 240_000,
      retryAfterIn: 'header',
    } as const;
    const { channel } = await startAll({
      message: { send: { faults: { full: { kind: 'refuse', probability: 1, ...refusal } } } },
    });
    expect(await channel.send(request())).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'account', retryAfterMs: 240_000, code: '80007' },
    });
  });

  it('while throughput is being raised the number waits a minute', async () => {
    const { channel } = await startAll({ rules: [throughputUpgrade('default', 0)] });
    expect(await channel.send(request())).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'channel', retryAfterMs: 60_000, code: '131057' },
    });
  });

  it('a revoked token stops the account', async () => {
    const { channel, platform } = await startAll();
    platform.control.change({ channels: { default: { revoked: true } } });
    expect(await channel.send(request())).toMatchObject({
      kind: 'refused',
      nack: { permanent: true, scope: 'account', retryAfterMs: null, code: '190' },
    });
    platform.control.change({ channels: { default: { revoked: false } } });
    expect(await channel.send(request())).toMatchObject({ kind: 'accepted' });
  });

  it('outside the window templates get through and nothing else does', async () => {
    const { channel } = await startAll({ recipients: { '+15550100001': { send: { windowOpen: false } } } });
    const template = { type: 'template', template: { name: 'hello', language: { code: 'en' } } };
    expect(code(await channel.send(request()))).toBe('131047');
    expect(await channel.send(request(template))).toMatchObject({ kind: 'accepted' });
    expect(await channel.send(request(undefined, { to: '+15550100002' }))).toMatchObject({ kind: 'accepted' });
  });

  it.each(['before_acceptance', 'after_acceptance'] as const)('a server’s fault %s is unknown', async (when) => {
    const { channel, platform } = await startAll({
      message: { send: { faults: { ill: { kind: 'server_error', probability: 1, status: 502, when, body: 'html' } } } },
    });
    expect(await channel.send(request())).toEqual({ kind: 'unknown', code: 'http_502', bytesLeft: true });
    expect(platform.control.stats().accepted).toBe(when === 'after_acceptance' ? 1 : 0);
  });
});

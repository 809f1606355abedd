import { verify as verifySignature } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { withMark } from '../../simulators/platform/text-mark.ts';
import { sandbox } from '../../simulators/platform/vonage.ts';
import { RoomlineError } from '../../src/errors.ts';
import { createPlatformChannel } from '../../src/platforms/registry.ts';
import { answer, startGateway } from './gateway.ts';
import {
  APPLICATION,
  FROM,
  NOW_MS,
  open,
  privateKey,
  publicKey,
  REFERENCE,
  request,
  revealable,
  startAll,
  TO,
  TOKEN,
  WEBHOOK,
} from './vonage/support.ts';

const ACCEPTED = answer(202, { message_uuid: '00000000-0000-4000-8000-000000000001' });

describe('the request', () => {
  it('is what the Messages API documents, with our reference and our address', async () => {
    const gateway = await startGateway(ACCEPTED);
    onTestFinished(() => gateway.close());
    const channel = open(`${gateway.baseUrl}/below/`);
    expect(await channel.send(request(undefined, { to: '+15550100001' }))).toEqual({
      kind: 'accepted',
      platformId: '00000000-0000-4000-8000-000000000001',
      platformAt: null,
      duplicate: false,
    });
    const [call] = gateway.received;
    expect(call).toMatchObject({ method: 'POST', url: '/below/v1/messages' });
    expect(call?.headers).toMatchObject({
      authorization: `Basic ${Buffer.from(TOKEN).toString('base64')}`,
      'content-type': 'application/json',
    });
    expect(JSON.parse(String(call?.body))).toEqual({
      channel: 'sms',
      message_type: 'text',
      to: TO,
      from: FROM,
      text: 'Grüße',
      client_ref: REFERENCE,
      webhook_url: WEBHOOK,
      webhook_version: 'v1',
    });
  });

  it('names no address where none is known, and never one that the content names', async () => {
    const gateway = await startGateway(ACCEPTED);
    onTestFinished(() => gateway.close());
    const forged = { to: '15550109999', from: '1', channel: 'mms', client_ref: 'x' };
    const content = { message_type: 'text', text: 'x', ...forged };
    await open(gateway.baseUrl, { webhookUrl: null }).send(request(content));
    expect(JSON.parse(String(gateway.received[0]?.body))).toEqual({
      channel: 'sms',
      message_type: 'text',
      to: TO,
      from: FROM,
      text: 'x',
      client_ref: REFERENCE,
    });
  });

  it('of an application carries a JWT that its key signed, renewed before it ends', async () => {
    const gateway = await startGateway(ACCEPTED);
    onTestFinished(() => gateway.close());
    let nowMs = NOW_MS;
    const channel = open(gateway.baseUrl, {
      // As it comes out of a variable.
      accessToken: revealable(privateKey.replaceAll('\n', '\\n')),
      vonage: { applicationId: APPLICATION },
      wallClockMs: () => nowMs,
    });
    for (const waitMs of [0, 299_000, 1_000, -60_000]) {
      nowMs += waitMs;
      await channel.send(request());
    }
    const tokens = gateway.received.map(({ headers }) => String(headers.authorization).replace('Bearer ', ''));
    expect(new Set(tokens).size).toBe(3);
    expect(tokens[0]).toBe(tokens[1]);
    const ids = new Set<string>();
    for (const token of tokens) {
      const [head = '', payload = '', signature = ''] = token.split('.');
      const signed = Buffer.from(`${head}.${payload}`);
      expect(verifySignature('sha256', signed, publicKey, Buffer.from(signature, 'base64url'))).toBe(true);
      expect(JSON.parse(Buffer.from(head, 'base64url').toString())).toEqual({ alg: 'RS256', typ: 'JWT' });
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
      expect(claims).toEqual({
        application_id: APPLICATION,
        iat: expect.any(Number),
        exp: claims.iat + 900,
        jti: expect.any(String),
      });
      ids.add(claims.jti);
    }
    expect(ids.size).toBe(3);
  });

  it('is not made of a body that cannot be sent', async () => {
    const gateway = await startGateway(answer(500));
    onTestFinished(() => gateway.close());
    const channel = open(gateway.baseUrl);
    for (const unsendable of [
      request({}),
      request({ message_type: 'image' }),
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

  it('is not sent to where nobody listens, and unknown where no answer comes in time', async () => {
    const gateway = await startGateway(() => undefined);
    expect(await open(gateway.baseUrl).send(request(undefined, { timeoutMs: 60 }))).toEqual({
      kind: 'unknown',
      code: 'timeout',
      bytesLeft: true,
    });
    await gateway.close();
    expect(await open(gateway.baseUrl).send(request())).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'channel', code: 'connect_refused' },
    });
  });

  it('cannot be made without settings or with credentials that are none; no message names them', () => {
    const bare = {
      baseUrl: 'http://127.0.0.1:1',
      accessToken: revealable(TOKEN),
      webhookSecrets: [],
      lookup: false,
      maxConcurrentSends: 1,
      sendTimeoutMs: 1,
    };
    const dependencies = { wallClockMs: () => NOW_MS, webhookUrl: null };
    expect(() => createPlatformChannel('vonage', bare, dependencies)).toThrow(/config_invalid/);
    const withId = { applicationId: APPLICATION };
    for (const [token, section] of [
      ['only-a-key', {}],
      ['key with space:secret', {}],
      [privateKey, {}],
      ['my-secret', withId],
      [TOKEN, withId],
      [publicKey, withId],
    ] as const) {
      const failed = () => open(undefined, { accessToken: revealable(token), vonage: section });
      expect(failed).toThrow(RoomlineError);
      expect(failed).not.toThrow(/my-secret|api-secret|KEY-----/);
    }
  });

  it('has no lookup and no handshake', () => {
    expect(open(undefined, { lookup: true })).toMatchObject({ lookup: null, handshake: null, senderId: null });
  });
});

describe('against the fake platform', () => {
  it.each(['sms', 'mms', 'rcs', 'whatsapp', 'messenger', 'viber_service'] as const)(
    'every kind of content that the check takes on %s is accepted',
    async (channelName) => {
      const { channel, platform } = await startAll({}, { vonage: { channel: channelName } });
      const url = 'https://media.example.test/a.jpg';
      const kinds: Record<string, string[]> = {
        sms: [],
        mms: ['image', 'vcard', 'audio', 'video', 'file'],
        rcs: ['image', 'video', 'file'],
        whatsapp: ['image', 'audio', 'video', 'file', 'sticker'],
        messenger: ['image', 'audio', 'video', 'file'],
        viber_service: ['image', 'video', 'file'],
      };
      const contents: Record<string, unknown>[] = [
        { text: 'Hello' },
        { message_type: 'text', text: 'Hello', ttl: 300, [channelName]: { category: 'x' } },
        ...(kinds[channelName] ?? []).map((type) => ({ message_type: type, [type]: { url } })),
        ...(channelName === 'whatsapp'
          ? [
              { message_type: 'template', template: { name: 'order', parameters: ['7'] }, whatsapp: { locale: 'en' } },
              { message_type: 'custom', custom: { type: 'location', location: { lat: 1, long: 2 } } },
              { text: 'Hello', context: { message_uuid: 'x' } },
            ]
          : []),
      ];
      for (const [index, content] of contents.entries()) {
        channel.checkContent?.(TO, content);
        const result = await channel.send(request(content, { reference: `ref${index}` }));
        expect(result).toMatchObject({ kind: 'accepted', platformId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
      }
      expect(platform.control.stats().accepted).toBe(contents.length);
    },
  );

  it('every status comes back with our reference, its UUID and its time', async () => {
    const { channel, platform, receiver } = await startAll({ message: { status: { read: { probability: 1 } } } });
    const result = await channel.send(request());
    await platform.control.whenIdle();
    const platformId = result.kind === 'accepted' ? result.platformId : 'none';
    expect(receiver.items()).toHaveLength(3);
    for (const level of ['sent', 'delivered', 'read']) {
      const at = expect.any(Number);
      expect(receiver.items()).toContainEqual({
        kind: 'status',
        reference: REFERENCE,
        platformId,
        level,
        nack: null,
        at,
        cumulative: false,
      });
    }
    for (const item of receiver.items()) {
      expect(Math.abs((item.kind === 'status' ? (item.at ?? 0) : 0) - Date.now())).toBeLessThan(60_000);
    }
  });

  it('statuses reach the webhook of the application where a message names no address', async () => {
    const { channel, platform, receiver } = await startAll(
      { channels: { default: { token: APPLICATION } } },
      { webhookUrl: null, accessToken: revealable(privateKey), vonage: { applicationId: APPLICATION } },
    );
    expect(await channel.send(request())).toMatchObject({ kind: 'accepted' });
    await platform.control.whenIdle();
    expect(receiver.items()).toHaveLength(2);
  });

  it('a status without our reference is found by its UUID', async () => {
    const { channel, platform, receiver } = await startAll({ message: { status: { named: 'id' } } });
    const result = await channel.send(request());
    await platform.control.whenIdle();
    const platformId = result.kind === 'accepted' ? result.platformId : 'none';
    for (const item of receiver.items()) expect(item).toMatchObject({ reference: null, platformId });
  });

  it('a failure after the acceptance comes with its code, in either nesting', async () => {
    const { channel, platform, receiver } = await startAll({
      message: { status: { sent: { probability: 0 }, failure: { probability: 1, delayMs: 0, code: '1300' } } },
    });
    for (const index of [1, 2]) await channel.send(request(undefined, { reference: `ref${index}` }));
    await platform.control.whenIdle();
    const nack = { code: '1300', permanent: true, scope: 'room', retryAfterMs: null };
    expect(receiver.items()).toMatchObject([{ nack }, { nack }]);
    const nestings = receiver.calls.map(({ call }) => 'error' in JSON.parse(String(call.raw)).error);
    expect(nestings.sort()).toEqual([false, true]);
  });

  it('forged calls are refused, and the right ones get through all the same', async () => {
    const forged = { wrongKey: 1, tampered: 1, missing: 1, expired: 1, previous: 1 };
    const { channel, platform, receiver } = await startAll({ channel: { webhooks: { signature: forged } } });
    await channel.send(request({ text: withMark('Grüße 👋', { run: 'r', key: 'k' }) }));
    await platform.control.whenIdle();
    expect(receiver.calls.filter((call) => call.verified)).toHaveLength(2);
    expect(receiver.calls).toHaveLength(10);
  });

  it('junk and what users write never cost a status', async () => {
    const junk = { unknownId: 1, unknownReference: 1, unknownStatus: 1, extraFields: 1, malformed: 1 };
    const { channel, platform, receiver } = await startAll({ channel: { webhooks: { junk, inbound: 1 } } });
    for (let index = 0; index < 5; index++) await channel.send(request(undefined, { reference: `ref${index}` }));
    await platform.control.whenIdle();
    const items = receiver.items();
    expect(items.filter((item) => item.kind === 'status' && item.reference?.startsWith('ref'))).toHaveLength(10);
    expect(new Set(items.map((item) => ('code' in item ? item.code : item.kind)))).toEqual(
      new Set(['status', 'inbound_message', 'status_unknown', 'message_unnamed']),
    );
  });

  it('a call that we could not take is told again', async () => {
    const { channel, platform, receiver } = await startAll(
      { message: { status: { sent: { probability: 0 } } }, channel: { webhooks: { timeScale: 0.001 } } },
      { answer: (number) => (number <= 3 ? 503 : 200) },
    );
    await channel.send(request());
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(4);
    expect(platform.control.stats().webhooks).toMatchObject({ retried: 3, givenUp: 0 });
  });

  it('the sandbox’s limit slows the sender, as long as it says', async () => {
    const { limit } = sandbox;
    const refusal = { ...limit?.refusal, retryAfterMs: 2_000, retryAfterIn: 'header' } as const;
    const { channel } = await startAll({ channel: { limit: { ...limit, refusal } } });
    await channel.send(request());
    expect(await channel.send(request(undefined, { reference: 'ref2' }))).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'channel', retryAfterMs: 2_000, code: 'throttled' },
    });
  });

  it('a revoked key stops the channel, and an empty account all of its channels', async () => {
    const { channel, platform } = await startAll();
    platform.control.change({ channels: { default: { revoked: true } } });
    expect(await channel.send(request())).toMatchObject({
      nack: { permanent: true, scope: 'channel', code: 'unauthorized' },
    });
    platform.control.change({
      channels: { default: { revoked: false } },
      message: { send: { faults: { empty: { kind: 'refuse', probability: 1, status: 402 } } } },
    });
    expect(await channel.send(request())).toMatchObject({
      nack: { permanent: true, scope: 'account', code: 'low-balance' },
    });
  });

  it.each(['before_acceptance', 'after_acceptance'] as const)('a server’s fault %s is unknown', async (when) => {
    const { channel, platform } = await startAll({
      message: { send: { faults: { ill: { kind: 'server_error', probability: 1, status: 503, when } } } },
    });
    expect(await channel.send(request())).toEqual({ kind: 'unknown', code: 'http_503', bytesLeft: true });
    expect(platform.control.stats().accepted).toBe(when === 'after_acceptance' ? 1 : 0);
  });
});

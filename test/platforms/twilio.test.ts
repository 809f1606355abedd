import { describe, expect, it, onTestFinished } from 'vitest';
import { withMark } from '../../simulators/platform/text-mark.ts';
import { longCode, messagingService, windowClosed } from '../../simulators/platform/twilio.ts';
import { RoomlineError } from '../../src/errors.ts';
import { answer, startGateway } from './gateway.ts';
import {
  ACCOUNT,
  configOf,
  FROM,
  open,
  REFERENCE,
  request,
  revealable,
  SERVICE,
  startAll,
  TEMPLATE,
  TO,
  TOKEN,
  WEBHOOK,
} from './twilio/support.ts';

const CREATED = answer(201, { sid: 'SM1', status: 'queued', error_code: null });

describe('the request', () => {
  it('is the form that Twilio documents, with our reference in the callback', async () => {
    const gateway = await startGateway(CREATED);
    onTestFinished(() => gateway.close());
    const channel = open(`${gateway.baseUrl}/below/`);
    expect(await channel.send(request())).toEqual({
      kind: 'accepted',
      platformId: 'SM1',
      platformAt: null,
      duplicate: false,
    });
    const [call] = gateway.received;
    expect(call).toMatchObject({ method: 'POST', url: `/below/2010-04-01/Accounts/${ACCOUNT}/Messages.json` });
    expect(call?.headers).toMatchObject({
      authorization: `Basic ${Buffer.from(`${ACCOUNT}:${TOKEN}`).toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect([...new URLSearchParams(String(call?.body))]).toEqual([
      ['To', TO],
      ['From', FROM],
      ['StatusCallback', `${WEBHOOK}?reference=${REFERENCE}#rc=5&rp=all`],
      ['Body', 'Grüße'],
    ]);
  });

  it('carries what the content asks for, and nothing that would change whom it concerns', async () => {
    const gateway = await startGateway(CREATED);
    onTestFinished(() => gateway.close());
    const content = {
      Body: 'a & b = c',
      MediaUrl: ['https://m.example/1.jpg', 'https://m.example/2.jpg'],
      ContentSid: TEMPLATE,
      ContentVariables: { 1: 'one' },
      ValidityPeriod: 60,
      ShortenUrls: true,
      To: '+15550109999',
      From: '+15550109999',
      StatusCallback: 'https://elsewhere.example',
      ApplicationSid: 'AP1',
      SendAt: '2027-01-01T00:00:00Z',
    };
    await open(gateway.baseUrl, { from: SERVICE }).send(request(content));
    expect([...new URLSearchParams(String(gateway.received[0]?.body))]).toEqual([
      ['To', TO],
      ['MessagingServiceSid', SERVICE],
      ['StatusCallback', `${WEBHOOK}?reference=${REFERENCE}#rc=5&rp=all`],
      ['Body', 'a & b = c'],
      ['MediaUrl', 'https://m.example/1.jpg'],
      ['MediaUrl', 'https://m.example/2.jpg'],
      ['ContentSid', TEMPLATE],
      ['ContentVariables', '{"1":"one"}'],
      ['ValidityPeriod', '60'],
      ['ShortenUrls', 'true'],
    ]);
  });

  it.each([
    [FROM, '15550100001', '+15550100001'],
    ['whatsapp:+15550100002', '+15550100001', 'whatsapp:+15550100001'],
    ['whatsapp:+15550100002', 'whatsapp:15550100001', 'whatsapp:+15550100001'],
    [SERVICE, 'whatsapp:+15550100001', 'whatsapp:+15550100001'],
    ['Roomline', '+15550100001', '+15550100001'],
  ])('from %s to %s goes to %s', async (from, to, expected) => {
    const gateway = await startGateway(CREATED);
    onTestFinished(() => gateway.close());
    await open(gateway.baseUrl, { from }).send(request(undefined, { to }));
    expect(new URLSearchParams(String(gateway.received[0]?.body)).get('To')).toBe(expected);
  });

  it('may be authorised by an API key', async () => {
    const gateway = await startGateway(CREATED);
    onTestFinished(() => gateway.close());
    const key = `SK${'a'.repeat(32)}:key-secret`;
    await open(gateway.baseUrl, { accessToken: revealable(key) }).send(request());
    expect(gateway.received[0]?.headers.authorization).toBe(`Basic ${Buffer.from(key).toString('base64')}`);
  });

  it('is not made of a body that cannot be sent', async () => {
    const gateway = await startGateway(answer(500));
    onTestFinished(() => gateway.close());
    const channel = open(gateway.baseUrl);
    for (const unsendable of [
      request({}),
      request({ text: 'x' }, { to: 'alice' }),
      request({ text: 'x' }, { to: 'whatsapp:+15550100001' }),
      request({ MediaUrl: [7] }),
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

  it('cannot be made without settings, public address or a token that is one; no message names the token', () => {
    const { twilio: _settings, ...bare } = configOf('http://127.0.0.1:1');
    expect(() => open(undefined, { ...bare, twilio: undefined as never })).toThrow(/config_invalid/);
    expect(() => open(undefined, { webhookUrl: null })).toThrow(/config_invalid/);
    for (const token of ['to ken', 'user:password', '', 'SK12:secret']) {
      const failed = () => open(undefined, { accessToken: revealable(token) });
      expect(failed).toThrow(RoomlineError);
      expect(failed).not.toThrow(/password|secret/);
    }
  });

  it('has no lookup and no handshake', () => {
    expect(open(undefined, { lookup: true })).toMatchObject({ lookup: null, handshake: null, senderId: null });
  });
});

describe('against the fake platform', () => {
  it('every kind of content that the check takes is accepted', async () => {
    const { channel, platform } = await startAll();
    const media = 'https://media.example.test/a.jpg';
    const contents: Record<string, unknown>[] = [
      { text: 'Hello' },
      { Body: 'x'.repeat(1_600) },
      { MediaUrl: media },
      { Body: 'See', MediaUrl: Array.from({ length: 10 }, () => media) },
      { ContentSid: TEMPLATE },
      { ContentSid: TEMPLATE, ContentVariables: '{"1":"one"}', ValidityPeriod: 36_000 },
    ];
    for (const [index, content] of contents.entries()) {
      channel.checkContent?.(TO, content);
      const result = await channel.send(request(content, { reference: `ref${index}` }));
      expect(result).toMatchObject({ kind: 'accepted', platformId: expect.stringMatching(/^SM[0-9a-f]{32}$/) });
    }
    expect(platform.control.stats().accepted).toBe(contents.length);
  });

  it('every status comes back with our reference and its id, and without a time', async () => {
    const { channel, platform, receiver } = await startAll({ message: { status: { read: { probability: 1 } } } });
    const result = await channel.send(request());
    await platform.control.whenIdle();
    const platformId = result.kind === 'accepted' ? result.platformId : 'none';
    const named = { kind: 'status', reference: REFERENCE, platformId, at: null, cumulative: false, nack: null };
    expect(receiver.items()).toHaveLength(3);
    for (const level of ['sent', 'delivered', 'read']) expect(receiver.items()).toContainEqual({ ...named, level });
    expect(receiver.calls.every(({ call }) => call.target.endsWith(`?reference=${REFERENCE}`))).toBe(true);
  });

  it.each([
    ['30005', { permanent: true, scope: 'room' }],
    ['30003', { permanent: false, scope: 'message' }],
    ['30001', { permanent: false, scope: 'channel' }],
  ])('a failure after the acceptance comes with its code: %s', async (code, nack) => {
    const { channel, platform, receiver } = await startAll({
      message: { status: { sent: { probability: 0 }, failure: { probability: 1, delayMs: 0, code } } },
    });
    await channel.send(request());
    await platform.control.whenIdle();
    expect(receiver.items()).toEqual([
      expect.objectContaining({ level: null, nack: expect.objectContaining({ code, ...nack }) }),
    ]);
  });

  it('outside the window a WhatsApp message fails, after it was accepted', async () => {
    const { channel, platform, receiver } = await startAll(
      { message: windowClosed },
      { from: 'whatsapp:+15550100002' },
    );
    expect(await channel.send(request())).toMatchObject({ kind: 'accepted' });
    await platform.control.whenIdle();
    const failed = receiver.items().find((item) => item.kind === 'status' && item.nack !== null);
    expect(failed).toMatchObject({ nack: { code: '63016', permanent: true, scope: 'message' } });
  });

  it('forged calls are refused, and the right ones get through all the same', async () => {
    const forged = { wrongKey: 1, tampered: 1, missing: 1, expired: 1, previous: 1 };
    const { channel, platform, receiver } = await startAll({ channel: { webhooks: { signature: forged } } });
    await channel.send(request({ text: withMark('Grüße 👋', { run: 'r', key: 'k' }) }));
    await platform.control.whenIdle();
    const verified = receiver.calls.filter((call) => call.verified);
    expect(verified).toHaveLength(2);
    expect(receiver.calls).toHaveLength(10);
    expect(platform.control.stats().faults).toMatchObject({ webhook_expired: 2, webhook_previous: 2 });
  });

  it('junk and what users write never cost a status', async () => {
    const junk = { unknownId: 1, unknownReference: 1, unknownStatus: 1, extraFields: 1, malformed: 1 };
    const { channel, platform, receiver } = await startAll({ channel: { webhooks: { junk, inbound: 1 } } });
    for (let index = 0; index < 5; index++) await channel.send(request(undefined, { reference: `ref${index}` }));
    await platform.control.whenIdle();
    const items = receiver.items();
    expect(items.filter((item) => item.kind === 'status' && item.reference?.startsWith('ref'))).toHaveLength(10);
    expect(new Set(items.map((item) => ('code' in item ? item.code : item.kind)))).toEqual(
      new Set(['status', 'inbound_message', 'other_account', 'status_unknown', 'message_unnamed']),
    );
  });

  it('a callback that we could not take is told again', async () => {
    const { channel, platform, receiver } = await startAll(
      { message: { status: { sent: { probability: 0 } } }, channel: { webhooks: { timeScale: 0.1 } } },
      { answer: (number) => (number <= 3 ? 503 : 200) },
    );
    await channel.send(request());
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(4);
    expect(platform.control.stats().webhooks).toMatchObject({ retried: 3, givenUp: 0 });
  });

  it('a number that queues accepts at once and sends in its own time', async () => {
    const { channel, platform, receiver } = await startAll({ channel: { queue: { ...longCode, perSecond: 20 } } });
    for (let index = 0; index < 4; index++) {
      expect(await channel.send(request(undefined, { reference: `ref${index}` }))).toMatchObject({ kind: 'accepted' });
    }
    await platform.control.whenIdle();
    const sent = [...platform.groundTruth.records()].filter((each) => each.t === 'status' && each.status === 'sent');
    expect(sent).toHaveLength(4);
    expect((sent[3]?.at ?? 0) - (sent[0]?.at ?? 0)).toBeGreaterThan(120);
    expect(receiver.items()).toHaveLength(8);
  });

  it('a full queue slows the sender: at once, or after the acceptance', async () => {
    const full = { perSecond: 0.01, maxWaiting: 0 };
    const number = await startAll({ channel: { queue: { ...longCode, ...full } } });
    expect(await number.channel.send(request())).toMatchObject({ kind: 'accepted' });
    expect(await number.channel.send(request(undefined, { reference: 'ref2' }))).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'channel', retryAfterMs: null, code: '21611' },
    });

    const service = await startAll({ channel: { queue: { ...messagingService, ...full } } }, { from: SERVICE });
    await service.channel.send(request());
    expect(await service.channel.send(request(undefined, { reference: 'ref2' }))).toMatchObject({ kind: 'accepted' });
    await service.platform.control.whenIdle();
    const second = service.receiver.items().filter((item) => item.kind === 'status' && item.reference === 'ref2');
    expect(second).toEqual([
      expect.objectContaining({ nack: { permanent: false, scope: 'channel', retryAfterMs: null, code: '30001' } }),
    ]);
  });

  it('too many requests at once are refused as such', async () => {
    const { channel } = await startAll({
      message: { send: { responseDelayMs: 100 } },
      channel: { limit: { concurrency: 1, refusal: { status: 429, code: '20429' } } },
    });
    const results = await Promise.all(
      [1, 2, 3].map((index) => channel.send(request(undefined, { reference: `ref${index}` }))),
    );
    const refused = results.filter(({ kind }) => kind === 'refused');
    expect(refused.length).toBeGreaterThan(0);
    for (const each of refused) {
      expect(each).toMatchObject({ nack: { permanent: false, scope: 'channel', code: '20429' } });
    }
  });

  it('a revoked token stops the channel', async () => {
    const { channel, platform } = await startAll();
    platform.control.change({ channels: { default: { revoked: true } } });
    expect(await channel.send(request())).toMatchObject({
      kind: 'refused',
      nack: { permanent: true, scope: 'channel', retryAfterMs: null, code: '20003' },
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

import { createHmac } from 'node:crypto';
import { describe, expect, it, onTestFinished } from 'vitest';
import { withMark } from '../../simulators/platform/text-mark.ts';
import type { SendResult } from '../../src/engine/ports.ts';
import { createPlatformChannel } from '../../src/platforms/registry.ts';
import { answer, startGateway } from './gateway.ts';
import {
  configOf,
  NOW_MS,
  OLD_SECRET,
  open,
  PAGE,
  PERSON,
  REFERENCE,
  request,
  revealable,
  startAll,
  TOKEN,
  VERIFY_TOKEN,
} from './messenger/support.ts';

const ACCEPTED = { recipient_id: PERSON, message_id: 'm_1' };

async function startAnswering(...[status, body]: Parameters<typeof answer>) {
  const gateway = await startGateway(answer(status, body));
  onTestFinished(() => gateway.close());
  return gateway;
}

const idOf = (result: SendResult) => (result.kind === 'accepted' ? result.platformId : result.kind);

describe('the request', () => {
  it('is what the Send API documents, with the token in the header alone', async () => {
    const gateway = await startAnswering(200, ACCEPTED);
    const channel = open('messenger', `${gateway.baseUrl}/below/`);
    expect(await channel.send(request())).toEqual({
      kind: 'accepted',
      platformId: 'm_1',
      platformAt: null,
      duplicate: false,
    });
    const [call] = gateway.received;
    expect(call).toMatchObject({ method: 'POST', url: `/below/v25.0/${PAGE}/messages` });
    expect(call?.headers).toMatchObject({ authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' });
    expect(String(call?.body)).not.toContain(TOKEN);
    expect(JSON.parse(String(call?.body))).toEqual({
      messaging_type: 'RESPONSE',
      recipient: { id: PERSON },
      message: { text: 'Grüße', metadata: REFERENCE },
    });
  });

  it('passes on what the content says, and never lets it say whom it is for or how it is called', async () => {
    const gateway = await startAnswering(200, ACCEPTED);
    const channel = open('messenger', gateway.baseUrl);
    const message = { text: 'Well?', quick_replies: [{ content_type: 'user_email' }] };
    const content = { messaging_type: 'MESSAGE_TAG', tag: 'HUMAN_AGENT', message, reply_to: { mid: 'm_0' } };
    await channel.send(request(content));
    await channel.send(request({ message: { text: 'x', metadata: 'forged' }, recipient: { id: '7' } }, { attempt: 2 }));
    const [first, second] = gateway.received.map(({ body }) => JSON.parse(String(body)));
    expect(first).toEqual({ ...content, recipient: { id: PERSON }, message: { ...message, metadata: REFERENCE } });
    expect(second).toMatchObject({ recipient: { id: PERSON }, message: { metadata: REFERENCE } });
  });

  it.each<[string, ReturnType<typeof request>]>([
    ['no message', request({})],
    ['a message that is none', request({ message: 'x' })],
    ['a recipient that is none', request({ text: 'x' }, { to: 'alice' })],
    ['no JSON', request({}, { body: Buffer.from('x') })],
    ['no content', request({}, { body: Buffer.from(`{"to":"${PERSON}"}`) })],
    ['no recipient', request({}, { body: Buffer.from('{"content":{"text":"x"}}') })],
  ])('is not made of %s', async (_what, unsendable) => {
    const gateway = await startAnswering(500);
    expect(await open('messenger', gateway.baseUrl).send(unsendable)).toEqual({
      kind: 'refused',
      nack: { permanent: true, scope: 'message', retryAfterMs: null, code: 'content_unsendable' },
    });
    expect(gateway.received).toEqual([]);
  });

  it('is unknown where no answer comes in time, and not sent where nobody listens', async () => {
    const gateway = await startGateway(() => undefined);
    const channel = open('messenger', gateway.baseUrl);
    expect(await channel.send(request(undefined, { timeoutMs: 60 }))).toEqual({
      kind: 'unknown',
      code: 'timeout',
      bytesLeft: true,
    });
    await gateway.close();
    expect(await open('messenger', gateway.baseUrl).send(request())).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'channel', code: 'connect_refused' },
    });
  });

  it('never follows a redirect', async () => {
    const elsewhere = await startAnswering(200, ACCEPTED);
    const gateway = await startGateway(answer(307, '', { location: elsewhere.baseUrl }));
    onTestFinished(() => gateway.close());
    expect(await open('messenger', gateway.baseUrl).send(request())).toMatchObject({
      nack: { permanent: true, scope: 'channel', code: 'redirected' },
    });
    expect(elsewhere.received).toEqual([]);
  });

  it.each(['messenger', 'instagram'] as const)(
    'of %s needs its settings, and a token that a header carries',
    (name) => {
      const dependencies = { wallClockMs: () => NOW_MS, webhookUrl: null };
      expect(() => createPlatformChannel(name, configOf(null, 'http://127.0.0.1:1'), dependencies)).toThrow(
        expect.objectContaining({ code: 'config_invalid', field: name }),
      );
      expect(() => open(name, 'http://127.0.0.1:1', { accessToken: revealable('to ken') })).toThrow(/config_invalid/);
    },
  );
});

const url = 'https://media.example.test/a.jpg';

describe('against the fake platform', () => {
  it('every kind of content that the check takes is accepted', async () => {
    const { channel, platform } = await startAll('messenger');
    const image = { type: 'image', payload: { url } };
    const contents: Record<string, unknown>[] = [
      { text: 'x'.repeat(2_000) },
      { message: { text: 'Well?', quick_replies: [{ content_type: 'text', title: 'Yes', payload: 'Y' }] } },
      ...['image', 'audio', 'video', 'file'].map((type) => ({ message: { attachment: { type, payload: { url } } } })),
      { message: { attachments: [image, image] } },
      {
        message: {
          attachment: { type: 'template', payload: { template_type: 'generic', elements: [{ title: 'A' }] } },
        },
      },
      { messaging_type: 'UTILITY', message: { template: { name: 'order_ready', language: { code: 'en' } } } },
      { messaging_type: 'MESSAGE_TAG', tag: 'HUMAN_AGENT', message: { text: 'x' }, notification_type: 'NO_PUSH' },
    ];
    for (const [index, content] of contents.entries()) {
      channel.checkContent?.(PERSON, content);
      const result = await channel.send(request(content, { reference: `ref${index}` }));
      expect(idOf(result)).toMatch(/^m_[\w-]{64}$/);
    }
    expect(platform.control.stats().accepted).toBe(contents.length);
  });

  it('an echo says sent by our reference, a delivery delivered by its id, a read covers by watermark', async () => {
    const { channel, platform, receiver } = await startAll('messenger', {
      message: { status: { read: { probability: 1 } } },
    });
    const platformId = idOf(await channel.send(request()));
    await platform.control.whenIdle();
    const statuses = receiver.items().filter((item) => item.kind === 'status');
    expect(new Set(statuses.map(({ level }) => level))).toEqual(new Set(['sent', 'delivered', 'read']));
    for (const item of statuses) {
      expect(item).toMatchObject({ reference: REFERENCE, platformId, sender: PAGE, nack: null, cumulative: false });
    }
    expect(channel.senderId).toBe(PAGE);
  });

  it('deliveries without ids are matched by the platform’s clock, however far it is from ours', async () => {
    for (const clockSkewMs of [-3_600_000, 0, 3_600_000]) {
      const { channel, platform, receiver } = await startAll('messenger', {
        message: { status: { named: 'reference', clockSkewMs, read: { probability: 0 } } },
      });
      for (const reference of ['ref1', 'ref2', 'ref3']) {
        await channel.send(request(undefined, { reference }));
        await platform.control.whenIdle();
      }
      const bodies = receiver.calls.map(({ call }) => String(call.raw));
      expect(bodies.some((body) => body.includes('watermark'))).toBe(true);
      expect(bodies.some((body) => body.includes('mids'))).toBe(false);
      const delivered = receiver.items().filter((item) => item.kind === 'status' && item.level === 'delivered');
      expect(new Set(delivered.map((item) => item.kind === 'status' && item.reference))).toEqual(
        new Set(['ref1', 'ref2', 'ref3']),
      );
    }
  });

  it('a watermark says nothing of a message that has not arrived', async () => {
    const { channel, platform, receiver } = await startAll('messenger', {
      message: { status: { named: 'reference', read: { probability: 0 } } },
      rules: [{ match: { nth: 2 }, message: { phone: { online: true, delayMs: 60_000 } } }],
    });
    await channel.send(request(undefined, { reference: 'arrives' }));
    await platform.control.whenIdle();
    await channel.send(request(undefined, { reference: 'on_its_way' }));
    await expect.poll(() => receiver.levels().filter((level) => level === 'sent').length).toBe(2);
    // Whatever the first one's deliveries say again, the second one is not among them.
    const [delivery] = receiver.calls.filter(({ call }) => String(call.raw).includes('watermark'));
    if (delivery === undefined) throw new Error('no delivery was told');
    const again = channel
      .readStatuses(delivery.call)
      .flatMap((item) => (item.kind === 'status' ? [item.reference] : []));
    expect(new Set(again)).toEqual(new Set(['arrives']));
    await platform.stop();
  });

  it('a lost answer is made good by the echo, and the delivery finds its message by it', async () => {
    const { channel, platform, receiver } = await startAll('messenger', {
      message: {
        status: { read: { probability: 0 } },
        send: { faults: { lost: { kind: 'reset', when: 'after_acceptance', probability: 1 } } },
      },
    });
    expect(await channel.send(request())).toMatchObject({ kind: 'unknown', bytesLeft: true });
    await platform.control.whenIdle();
    const levels = receiver.items().flatMap((item) => (item.kind === 'status' ? [[item.reference, item.level]] : []));
    expect(levels).toContainEqual([REFERENCE, 'sent']);
    expect(levels).toContainEqual([REFERENCE, 'delivered']);
  });

  it('forged calls are refused, and the right ones get through all the same', async () => {
    const forged = { wrongKey: 1, tampered: 1, missing: 1, expired: 1, previous: 1 };
    const { channel, platform, receiver } = await startAll('messenger', {
      channel: { webhooks: { signature: forged } },
    });
    await channel.send(request({ text: withMark('Grüße 👋', { run: 'r', key: 'k' }) }));
    await platform.control.whenIdle();
    const verified = receiver.calls.filter((call) => call.verified);
    expect(verified.length).toBeGreaterThan(0);
    expect(receiver.calls.length).toBe(verified.length * 5);
    for (const { call } of verified) {
      const hmac = createHmac('sha256', OLD_SECRET).update(call.raw).digest('hex');
      expect(call.headers['x-hub-signature-256']).toBe(`sha256=${hmac}`);
    }
  });

  it('junk and what users write never cost a status', async () => {
    const junk = { unknownId: 1, unknownReference: 1, unknownStatus: 1, extraFields: 1, malformed: 1 };
    const { channel, platform, receiver } = await startAll('messenger', {
      message: { status: { read: { probability: 0 } } },
      channel: { webhooks: { junk, inbound: 1 } },
    });
    for (let index = 0; index < 10; index++) {
      await channel.send(request(undefined, { reference: `ref${index}`, to: `61000000000000${index + 10}` }));
    }
    await platform.control.whenIdle();
    const found = receiver.items().flatMap((item) => {
      const ours = item.kind === 'status' && item.reference?.startsWith('ref');
      return ours ? [`${item.reference} ${item.level}`] : [];
    });
    expect(new Set(found).size).toBe(20);
    const codes = new Set(receiver.items().flatMap((item) => ('code' in item ? [item.code] : [])));
    expect(codes).toEqual(new Set(['inbound_message', 'event_other', 'echo_other', 'watermark_invalid']));
  });

  it('a batch over many threads is read to the last event', async () => {
    const { channel, platform, receiver } = await startAll('messenger', {
      message: { status: { read: { probability: 0 } } },
      channel: { limit: null, webhooks: { batch: { minSize: 600, maxSize: 600, lingerMs: 0 }, inbound: 1 } },
    });
    platform.control.holdWebhooks('default');
    for (let index = 0; index < 300; index++) {
      await channel.send(request(undefined, { reference: `ref${index}`, to: `6100000000${index % 20}` }));
    }
    await platform.control.whenIdle();
    platform.control.flushWebhooks('default');
    await platform.control.whenIdle();
    expect(receiver.calls).toHaveLength(1);
    const entries = JSON.parse(String(receiver.calls[0]?.call.raw)).entry;
    expect(entries.length).toBeGreaterThan(10);
    const named = new Set(
      receiver.items().flatMap((item) => (item.kind === 'status' ? [`${item.platformId} ${item.level}`] : [])),
    );
    // Of a thread's oldest messages the echoes are no longer known when their deliveries without ids come.
    expect([...named].filter((name) => name.endsWith(' sent'))).toHaveLength(300);
    expect(receiver.items()).toContainEqual({ kind: 'other', code: 'inbound_message' });
  });

  it('the question whose the address is, is answered for the right token alone', async () => {
    const { platform } = await startAll('messenger');
    const [result] = await platform.control.challengeWebhooks('default', VERIFY_TOKEN);
    expect(result).toMatchObject({ right: { status: 200, passed: true }, wrong: { status: 401, passed: true } });
  });

  it('limits, the window and a revoked token are told as what they are', async () => {
    const { channel, platform } = await startAll('messenger', {
      channel: { limit: { ratePerSecond: 0.001, burst: 1 } },
    });
    await channel.send(request());
    expect(await channel.send(request())).toMatchObject({ nack: { permanent: false, scope: 'channel', code: '613' } });
    platform.control.change({ channel: { limit: null }, message: { send: { windowOpen: false } } });
    expect(await channel.send(request())).toMatchObject({
      nack: { permanent: true, scope: 'message', code: '10/2018278' },
    });
    const tagged = { messaging_type: 'MESSAGE_TAG', tag: 'HUMAN_AGENT', message: { text: 'x' } };
    expect(await channel.send(request(tagged))).toMatchObject({ kind: 'accepted' });
    platform.control.change({ channels: { default: { revoked: true } } });
    expect(await channel.send(request(tagged))).toMatchObject({
      nack: { permanent: true, scope: 'channel', code: '190' },
    });
  });
});

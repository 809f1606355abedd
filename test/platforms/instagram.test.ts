import { describe, expect, it, onTestFinished } from 'vitest';
import type { SendResult } from '../../src/engine/ports.ts';
import { answer, startGateway } from './gateway.ts';
import { ACCOUNT, open, PERSON, request, startAll, TOKEN, VERIFY_TOKEN } from './messenger/support.ts';

const idOf = (result: SendResult) => (result.kind === 'accepted' ? result.platformId : result.kind);
const url = 'https://media.example.test/a.jpg';

describe('the request', () => {
  it('is what Instagram documents, without anything that only Messenger does', async () => {
    const gateway = await startGateway(answer(200, { recipient_id: PERSON, message_id: 'aWdf1' }));
    onTestFinished(() => gateway.close());
    const channel = open('instagram', gateway.baseUrl);
    expect(await channel.send(request())).toMatchObject({ kind: 'accepted', platformId: 'aWdf1', platformAt: null });
    const [call] = gateway.received;
    expect(call).toMatchObject({ method: 'POST', url: '/v25.0/me/messages' });
    expect(call?.headers).toMatchObject({ authorization: `Bearer ${TOKEN}` });
    expect(JSON.parse(String(call?.body))).toEqual({ recipient: { id: PERSON }, message: { text: 'Grüße' } });
  });
});

describe('against the fake platform', () => {
  it('every kind of content that the check takes is accepted', async () => {
    const { channel, platform } = await startAll('instagram');
    const image = { type: 'image', payload: { url } };
    const contents: Record<string, unknown>[] = [
      { text: 'é'.repeat(500) },
      { message: { text: 'Well?', quick_replies: [{ content_type: 'text', title: 'Yes', payload: 'Y' }] } },
      ...['image', 'audio', 'video', 'file'].map((type) => ({ message: { attachment: { type, payload: { url } } } })),
      { message: { attachments: [image, image] } },
      { message: { attachment: { type: 'like_heart' } } },
      { message: { attachment: { type: 'MEDIA_SHARE', payload: { id: '17895695668004550' } } } },
      {
        message: {
          attachment: { type: 'template', payload: { template_type: 'generic', elements: [{ title: 'A' }] } },
        },
      },
      { messaging_type: 'MESSAGE_TAG', tag: 'HUMAN_AGENT', message: { text: 'x' }, reply_to: { mid: 'm_1' } },
    ];
    for (const [index, content] of contents.entries()) {
      channel.checkContent?.(PERSON, content);
      const result = await channel.send(request(content, { reference: `ref${index}` }));
      expect(idOf(result)).toMatch(/^aWdf/);
    }
    expect(platform.control.stats().accepted).toBe(contents.length);
  });

  it('an echo says sent and a read read, by a long id and nothing else; of deliveries nothing is told', async () => {
    const { channel, platform, receiver } = await startAll('instagram', {
      message: { status: { delivered: { probability: 1 }, read: { probability: 1 } } },
    });
    const platformId = idOf(await channel.send(request()));
    await platform.control.whenIdle();
    expect(platformId?.length).toBeGreaterThan(128);
    expect(receiver.levels().sort()).toEqual(['read', 'sent']);
    for (const item of receiver.items()) {
      expect(item).toMatchObject({ reference: null, platformId, sender: ACCOUNT, nack: null, cumulative: false });
    }
    expect(channel.senderId).toBe(ACCOUNT);
  });

  it('junk and what users write never cost a status', async () => {
    const junk = { unknownId: 1, unknownReference: 1, unknownStatus: 1, extraFields: 1, malformed: 1 };
    const { channel, platform, receiver } = await startAll('instagram', {
      message: { status: { read: { probability: 1 } } },
      channel: { webhooks: { junk, inbound: 1 } },
    });
    const ids = [];
    for (let index = 0; index < 10; index++) ids.push(idOf(await channel.send(request())));
    await platform.control.whenIdle();
    const found = receiver
      .items()
      .flatMap((item) => (item.kind === 'status' ? [`${item.platformId} ${item.level}`] : []));
    for (const id of ids) expect(found).toEqual(expect.arrayContaining([`${id} sent`, `${id} read`]));
  });

  it('the window, a limit and a revoked token are told as what they are', async () => {
    const { channel, platform } = await startAll('instagram', { message: { send: { windowOpen: false } } });
    expect(await channel.send(request())).toMatchObject({
      nack: { permanent: true, scope: 'message', code: '10/2534022' },
    });
    platform.control.change({
      message: { send: { windowOpen: true } },
      channel: { limit: { ratePerSecond: 0.001, burst: 1 } },
    });
    await channel.send(request());
    expect(await channel.send(request())).toMatchObject({ nack: { permanent: false, scope: 'channel', code: '613' } });
    platform.control.change({ channels: { default: { revoked: true } } });
    expect(await channel.send(request())).toMatchObject({ nack: { permanent: true, scope: 'channel', code: '190' } });
  });

  it('the question whose the address is, is answered for the right token alone', async () => {
    const { platform } = await startAll('instagram');
    const [result] = await platform.control.challengeWebhooks('default', VERIFY_TOKEN);
    expect(result).toMatchObject({ right: { status: 200, passed: true }, wrong: { status: 401, passed: true } });
  });
});

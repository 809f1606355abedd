import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ACCOUNT, instagram } from '../../../simulators/platform/instagram.ts';
import { createFakePlatform } from '../../../simulators/platform/platform.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import { recordsOf, SECRET } from './support.ts';

const PERSON = '1700000000000001';
// biome-ignore lint/suspicious/noExplicitAny: answers and webhooks of all kinds are looked at
type Any = any;

const hello = (message: object = {}, more: object = {}) => ({
  recipient: { id: PERSON },
  message: { text: 'Hello ⟦run-1/key-1⟧', ...message },
  ...more,
});

async function start(settings: SettingsPatch = {}) {
  const calls: Any[] = [];
  const server = createServer(async (incoming, response) => {
    let raw = '';
    for await (const chunk of incoming) raw += chunk;
    calls.push(JSON.parse(raw));
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  const webhook = { urls: [url], secret: SECRET };
  const platform = createFakePlatform({
    seed: 7,
    profile: instagram,
    settings: [instant, { channels: { default: { webhook } } }, settings],
  });
  await platform.start();
  onTestFinished(async () => {
    await platform.stop();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const send = async (body: unknown, path = '/v25.0/me/messages') => {
    const answer = await request(`${platform.url}${path}`, {
      method: 'POST',
      headers: { authorization: 'Bearer any', 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: answer.statusCode, body: (await answer.body.json()) as Any };
  };
  return { platform, calls, send, events: () => calls.flatMap(({ entry }) => entry.flatMap((e: Any) => e.messaging)) };
}

describe('a send', () => {
  it('is accepted with a long id, under whichever name of the account', async () => {
    const { send, platform } = await start();
    for (const path of ['/v25.0/me/messages', `/v25.0/${ACCOUNT}/messages`]) {
      const { body } = await send(hello(), path);
      expect(body).toEqual({ recipient_id: PERSON, message_id: expect.stringMatching(/^aWdfZAG1f[\w+/]{150,400}$/) });
    }
    // There is no reference: recipient and mark stand in for it.
    expect(recordsOf(platform, 'receipt')[0]).toMatchObject({
      reference: expect.stringContaining(`${PERSON}/key-1`),
      key: 'key-1',
      run: 'run-1',
    });
  });

  it.each<[string, unknown]>([
    ['1001 bytes', hello({ text: `x${'é'.repeat(500)}` })],
    ['metadata', hello({ metadata: 'ref-1' })],
    ['a silent message', hello({}, { notification_type: 'NO_PUSH' })],
    ['a utility message', hello({}, { messaging_type: 'UTILITY' })],
    ['11 pictures', hello({ text: undefined, attachments: Array(11).fill({ type: 'image', payload: { url: 'x' } }) })],
  ])('is refused for %s', async (_what, body) => {
    const { send } = await start();
    expect(await send(body)).toMatchObject({ status: 400, body: { error: { code: 100 } } });
  });

  it('may be 1000 bytes, a heart or a post', async () => {
    const { send } = await start();
    for (const message of [
      { text: 'é'.repeat(500) },
      { text: undefined, attachment: { type: 'like_heart' } },
      { text: undefined, attachment: { type: 'MEDIA_SHARE', payload: { id: '1' } } },
    ]) {
      expect((await send(hello(message))).status).toBe(200);
    }
  });

  it('outside of the window is refused', async () => {
    const { send } = await start({ message: { send: { windowOpen: false } } });
    expect(await send(hello())).toMatchObject({ status: 403, body: { error: { code: 10, error_subcode: 2534022 } } });
  });

  it('of audio or video has a limit of its own, ten a second, beside the general one', async () => {
    expect(instagram.settings.channel?.heavyLimit).toMatchObject({ ratePerSecond: 10, burst: 10 });
    const { send, platform } = await start({ channel: { heavyLimit: { ratePerSecond: 0.001, burst: 2 } } });
    const attached = (type: string) =>
      send(hello({ text: undefined, attachment: { type, payload: { url: 'https://media.example.test/a' } } }));
    for (const type of ['audio', 'video']) expect((await attached(type)).status).toBe(200);
    expect(await attached('audio')).toMatchObject({ status: 403, body: { error: { code: 613 } } });
    expect((await attached('image')).status).toBe(200);
    expect((await send(hello())).status).toBe(200);
    expect(platform.control.stats().faults).toEqual({ limit_heavy: 1 });
  });
});

describe('webhooks', () => {
  it('tell the echo and the read by id, and nothing of deliveries', async () => {
    const { send, platform, events, calls } = await start({
      message: { status: { delivered: { probability: 1 }, read: { probability: 1 } } },
    });
    const { message_id: mid } = (await send(hello())).body;
    await platform.control.whenIdle();
    const us = { id: ACCOUNT };
    const person = { id: PERSON };
    expect(events()).toEqual([
      { sender: us, recipient: person, timestamp: expect.any(Number), message: { mid, is_echo: true } },
      { sender: person, recipient: us, timestamp: expect.any(Number), read: { mid } },
    ]);
    expect(calls.every(({ object }) => object === 'instagram')).toBe(true);
    const ids = calls.flatMap(({ entry }) => entry.map(({ id }: Any) => id));
    expect(new Set(ids)).toEqual(new Set([ACCOUNT]));
  });

  it('tell the echo when the message has arrived, where that is wanted', async () => {
    const phone = { delayMs: 300 };
    const { send, platform, events } = await start({ message: { phone, status: { sentOnArrival: true } } });
    await send(hello());
    await platform.control.whenIdle();
    expect(events()).toHaveLength(1);
    const [shown] = recordsOf(platform, 'shown');
    const [sent, ...more] = recordsOf(platform, 'status').filter(({ status }) => status === 'sent');
    expect(more).toEqual([]);
    expect(sent?.at).toBeGreaterThanOrEqual(shown?.at ?? Number.POSITIVE_INFINITY);
  });
});

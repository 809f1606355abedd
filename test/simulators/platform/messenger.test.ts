import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request } from 'undici';
import { describe, expect, it, onTestFinished } from 'vitest';
import { instagram } from '../../../simulators/platform/instagram.ts';
import { messenger } from '../../../simulators/platform/messenger.ts';
import { createFakePlatform } from '../../../simulators/platform/platform.ts';
import { PROFILES } from '../../../simulators/platform/profiles.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import { recordsOf, SECRET } from './support.ts';

const PAGE = '104000000000042';
const PERSON = '6100000000000001';

async function start(settings: SettingsPatch = {}) {
  const platform = createFakePlatform({ seed: 7, profile: messenger, settings: [instant, settings] });
  await platform.start();
  onTestFinished(() => platform.stop());
  return platform;
}

// biome-ignore lint/suspicious/noExplicitAny: answers and webhooks of all kinds are looked at
type Any = any;

const hello = (message: object = {}, more: object = {}) => ({
  recipient: { id: PERSON },
  messaging_type: 'RESPONSE',
  message: { text: 'Hello ⟦run-1/key-1⟧', metadata: 'ref-1', ...message },
  ...more,
});

async function post(
  url: string,
  body: unknown,
  head: Record<string, string> = {},
  path = `/v25.0/${PAGE}/messages`,
): Promise<{ status: number; headers: Any; body: Any }> {
  const answer = await request(`${url}${path}`, {
    method: 'POST',
    headers: { authorization: 'Bearer any', 'content-type': 'application/json', ...head },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await answer.body.text();
  return { status: answer.statusCode, headers: answer.headers, body: text === '' ? null : JSON.parse(text) };
}

async function startReceiver(statusOf: (number: number) => number = () => 200) {
  const calls: { headers: Any; raw: string; body: Any }[] = [];
  const server = createServer(async (incoming, response) => {
    let raw = '';
    for await (const chunk of incoming) raw += chunk;
    calls.push({ headers: incoming.headers, raw, body: JSON.parse(raw) });
    response.writeHead(statusOf(calls.length)).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  const settings: SettingsPatch = { channels: { default: { webhook: { urls: [url], secret: SECRET } } } };
  const entries = () => calls.flatMap(({ body }) => body.entry);
  return { calls, settings, entries, events: () => entries().flatMap(({ messaging }: Any) => messaging) as Any[] };
}

async function tell(settings: SettingsPatch = {}, sends: unknown[] = [hello()]) {
  const receiver = await startReceiver();
  const platform = await start(receiver.settings);
  platform.control.change(settings);
  const ids: string[] = [];
  for (const each of sends) ids.push((await post(platform.url, each)).body.message_id);
  await platform.control.whenIdle();
  return { ...receiver, platform, ids };
}

describe('a send', () => {
  it('is accepted with the recipient and an id of its own', async () => {
    const platform = await start();
    const first = await post(platform.url, hello());
    expect(first).toMatchObject({
      status: 200,
      body: { recipient_id: PERSON, message_id: expect.stringMatching(/^m_[\w-]{64}$/) },
    });
    // Nothing is deduplicated: the same request again is a second message.
    const second = await post(platform.url, hello());
    expect(second.body.message_id).not.toBe(first.body.message_id);
    expect(platform.control.stats()).toMatchObject({ accepted: 2, duplicates: 0 });
  });

  it('is told to the ground truth by its metadata and the mark in its text', async () => {
    const platform = await start();
    await post(platform.url, hello());
    await post(platform.url, hello({ text: 'no mark', metadata: undefined }));
    const [marked, bare] = recordsOf(platform, 'receipt');
    expect(marked).toMatchObject({ reference: 'ref-1', to: PERSON, key: 'key-1', run: 'run-1' });
    expect(bare).not.toHaveProperty('key');
    expect(bare?.reference).not.toBe('ref-1');
  });

  const image = { type: 'image', payload: { url: 'https://media.example.test/a.jpg' } };
  const instead = (more: object) => hello({ text: undefined, ...more });

  it.each<[string, unknown, number, number?]>([
    ['no JSON', 'x', 100],
    ['a list', [], 100],
    ['no recipient', hello({}, { recipient: undefined }), 100],
    ['a recipient that is nobody', hello({}, { recipient: { id: 'alice' } }), 100, 2018001],
    ['a recipient that is a number', hello({}, { recipient: { id: 7 } }), 100],
    ['no kind of message', hello({}, { messaging_type: undefined }), 100],
    ['an unknown kind of message', hello({}, { messaging_type: 'NEWS' }), 100],
    ['a tag without its kind', hello({}, { tag: 'HUMAN_AGENT' }), 100],
    ['a kind without its tag', hello({}, { messaging_type: 'MESSAGE_TAG' }), 100],
    ['an unknown member', hello({}, { key: 'x' }), 100],
    ['an unknown member of the message', hello({ key: 'x' }), 100],
    ['no message', hello({}, { message: undefined }), 100],
    ['an empty message', instead({}), 100],
    ['a blank text', hello({ text: '  ' }), 100],
    ['a text that is too long', hello({ text: 'x'.repeat(2_001) }), 100],
    ['two bodies', hello({ attachment: image }), 100],
    ['metadata that is too long', hello({ metadata: 'x'.repeat(1_001) }), 100],
    ['too many answers', hello({ quick_replies: Array(14).fill({}) }), 100],
    ['an attachment that is none', instead({ attachment: 'x' }), 100],
    ['an unknown attachment', instead({ attachment: { type: 'poll', payload: {} } }), 100],
    ['an attachment without a payload', instead({ attachment: { type: 'image' } }), 100],
    ['an attachment without a source', instead({ attachment: { type: 'image', payload: {} } }), 100],
    ['a template without a type', instead({ attachment: { type: 'template', payload: {} } }), 100],
    ['too many pictures', instead({ attachments: Array(31).fill(image) }), 100],
    ['sound among pictures', instead({ attachments: [{ ...image, type: 'audio' }] }), 100],
  ])('is refused for %s', async (_what, body, code, subcode) => {
    const platform = await start();
    const { status, body: answer } = await post(platform.url, body);
    expect(status).toBe(400);
    expect(answer.error).toMatchObject({
      code,
      type: 'OAuthException',
      ...(subcode ? { error_subcode: subcode } : {}),
    });
    expect(recordsOf(platform, 'receipt')[0]).toMatchObject({ decision: 'refused', permanent: true });
  });

  it('is refused for another content type, token, method or path', async () => {
    const { url } = await start({ channels: { default: { token: 'right' } } });
    const right = { authorization: 'Bearer right' };
    expect((await post(url, hello(), { ...right, 'content-type': 'text/plain' })).body.error.code).toBe(100);
    expect(await post(url, hello())).toMatchObject({ status: 401, body: { error: { code: 190 } } });
    expect((await post(url, hello(), right, '/v25.0/messages')).status).toBe(404);
    expect((await request(`${url}/v25.0/${PAGE}/messages`, { headers: right })).statusCode).toBe(404);
  });

  it('outside of the window is refused unless it carries a tag or is a utility message', async () => {
    const { url } = await start({ message: { send: { windowOpen: false } } });
    const refused = await post(url, hello());
    expect(refused).toMatchObject({ status: 400, body: { error: { code: 10, error_subcode: 2018278 } } });
    expect((await post(url, hello({}, { messaging_type: 'MESSAGE_TAG', tag: 'HUMAN_AGENT' }))).status).toBe(200);
    const utility = hello({ text: undefined, template: { name: 'x' } }, { messaging_type: 'UTILITY' });
    expect((await post(url, utility)).status).toBe(200);
  });

  it('beyond the limit of the page is refused with 613', async () => {
    const { url } = await start({ channel: { limit: { ratePerSecond: 0.001, burst: 2 } } });
    const answers = [];
    for (let index = 0; index < 3; index++) answers.push(await post(url, hello()));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 400]);
    expect(answers[2]?.body.error.code).toBe(613);
  });

  it('of audio or video has a limit of its own, ten a second, beside the general one', async () => {
    expect(messenger.settings.channel?.heavyLimit).toMatchObject({ ratePerSecond: 10, burst: 10 });
    const platform = await start({ channel: { heavyLimit: { ratePerSecond: 0.001 } } });
    const attached = (type: string) =>
      post(platform.url, instead({ attachment: { type, payload: { url: 'https://media.example.test/a' } } }));
    const statuses = [];
    for (let n = 0; n < 10; n++) statuses.push((await attached(n % 2 === 0 ? 'audio' : 'video')).status);
    expect(statuses).toEqual(Array(10).fill(200));
    for (const type of ['audio', 'video']) {
      expect(await attached(type)).toMatchObject({ status: 400, body: { error: { code: 613 } } });
    }
    expect((await attached('image')).status).toBe(200);
    expect((await post(platform.url, hello())).status).toBe(200);
    expect(platform.control.stats().faults).toEqual({ limit_heavy: 2 });
  });

  it('of audio or video counts against the general limit, too', async () => {
    const { url } = await start({ channel: { limit: { ratePerSecond: 0.001, burst: 1 } } });
    const attachment = { type: 'video', payload: { url: 'https://media.example.test/a' } };
    expect((await post(url, instead({ attachment }))).status).toBe(200);
    expect(await post(url, hello())).toMatchObject({ status: 400, body: { error: { code: 613 } } });
  });
});

describe('a refusal', () => {
  it.each<[string, number, boolean, boolean]>([
    ['100', 400, true, true],
    ['100/2018001', 400, true, true],
    ['100/33', 400, true, false],
    ['100/2018008', 400, true, false],
    ['551', 400, true, true],
    ['551/1545041', 400, true, true],
    ['10/2018278', 400, true, true],
    ['10', 403, true, false],
    ['200', 403, true, false],
    ['200/1545041', 403, true, true],
    ['230', 403, true, true],
    ['190', 401, true, false],
    ['368', 403, true, false],
    ['613', 400, true, false],
    ['4/2018022', 400, true, false],
    ['1200', 500, true, false],
    ['2', 400, true, false],
    ['2', 500, false, false],
  ])('%s with %i', (code, status, definite, permanent) => {
    expect(messenger.judge({ code, status })).toEqual({ definite, permanent });
    const [main, sub] = code.split('/').map(Number);
    const { error } = JSON.parse(messenger.refused({ code, status }, 0).body);
    expect(error).toMatchObject({ code: main, ...(sub === undefined ? {} : { error_subcode: sub }) });
  });

  it('without a word says nothing of the message', () => {
    expect(messenger.judge({ status: 503, bare: true })).toEqual({ definite: false, permanent: false });
    expect(messenger.judge({ status: 400, bare: true })).toEqual({ definite: true, permanent: false });
  });
});

describe('webhooks', () => {
  const read = { message: { status: { read: { probability: 1 } } } };

  it('tell the echo, the delivery and the read as Messenger does, rightly signed', async () => {
    const { calls, entries, events, ids } = await tell(read);
    for (const { headers, raw, body } of calls) {
      expect(body.object).toBe('page');
      const hmac = createHmac('sha256', SECRET).update(raw).digest('hex');
      expect(headers['x-hub-signature-256']).toBe(`sha256=${hmac}`);
    }
    expect(new Set(entries().map(({ id }: Any) => id))).toEqual(new Set([PAGE]));
    const echo = events().find(({ message }) => message?.is_echo);
    expect(echo).toMatchObject({
      sender: { id: PAGE },
      recipient: { id: PERSON },
      message: { mid: ids[0], metadata: 'ref-1', app_id: expect.any(Number) },
    });
    const delivered = events().find(({ delivery }) => delivery);
    expect(delivered).toMatchObject({ sender: { id: PERSON }, recipient: { id: PAGE } });
    expect(delivered).not.toHaveProperty('timestamp');
    expect(delivered.delivery.watermark).toBeGreaterThan(echo.timestamp);
    const seen = events().find((event) => event.read);
    expect(Object.keys(seen.read)).toEqual(['watermark']);
    expect(seen.read.watermark).toBeGreaterThan(echo.timestamp);
  });

  it('leave the ids out of some deliveries, and of each where told to', async () => {
    const sends = Array.from({ length: 60 }, (_, index) => hello({ metadata: `ref-${index}` }));
    const { events } = await tell({ message: { status: { read: { probability: 0 } } } }, sends);
    const deliveries = events().filter(({ delivery }) => delivery);
    const named = deliveries.filter(({ delivery }) => delivery.mids !== undefined);
    expect(deliveries).toHaveLength(60);
    expect(named.length).toBeGreaterThan(30);
    expect(named.length).toBeLessThan(60);
    const bare = await tell({ message: { status: { named: 'reference' } } });
    expect(bare.events().filter(({ delivery }) => delivery?.mids)).toEqual([]);
  });

  it('claim by the watermark of an earlier message no later one whose own delivery was never told', async () => {
    const receiver = await startReceiver();
    const platform = await start(receiver.settings);
    platform.control.change({
      message: { status: { read: { probability: 0 } } },
      rules: [
        { match: { nth: 1 }, message: { phone: { online: true, delayMs: 300 } } },
        { match: { nth: 2 }, message: { status: { delivered: { lossProbability: 1 } } } },
      ],
    });
    await post(platform.url, hello({ metadata: 'slow' }));
    const untold = (await post(platform.url, hello({ metadata: 'untold' }))).body.message_id;
    await platform.control.whenIdle();
    const sentAt = receiver.events().find(({ message }) => message?.mid === untold).timestamp;
    const deliveries = receiver.events().flatMap(({ delivery }) => (delivery ? [delivery] : []));
    expect(deliveries).toHaveLength(1);
    expect(deliveries[0].watermark).toBeLessThanOrEqual(sentAt);
  });

  it('never claim by watermark what has not arrived, and then name what has', async () => {
    const receiver = await startReceiver();
    const platform = await start(receiver.settings);
    platform.control.change({
      message: { status: { named: 'reference', read: { probability: 0 } } },
      rules: [{ match: { nth: 1 }, message: { phone: { online: true, delayMs: 300 } } }],
    });
    const slow = (await post(platform.url, hello({ metadata: 'slow' }))).body.message_id;
    const fast = (await post(platform.url, hello({ metadata: 'fast' }))).body.message_id;
    await platform.control.whenIdle();
    const echo = (mid: string) => receiver.events().find(({ message }) => message?.mid === mid).timestamp;
    const [first, second] = receiver.events().flatMap(({ delivery }) => (delivery ? [delivery] : []));
    expect(first.mids).toEqual([fast]);
    expect(first.watermark).toBeLessThanOrEqual(echo(slow));
    expect(second.mids).toBeUndefined();
    expect(second.watermark).toBeGreaterThan(echo(fast));
  });

  it('go by the platform’s own clock', async () => {
    const { events } = await tell({ message: { status: { clockSkewMs: 3_600_000, read: { probability: 1 } } } });
    const echo = events().find(({ message }) => message?.is_echo);
    expect(echo.timestamp - Date.now()).toBeGreaterThan(3_500_000);
    for (const { delivery, read: seen } of events()) {
      const watermark = (delivery ?? seen)?.watermark;
      if (watermark !== undefined) expect(watermark).toBe(echo.timestamp + 1);
    }
  });

  it('repeat nothing of the sender’s where told so, or where there was nothing', async () => {
    const byId = await tell({ message: { status: { named: 'id' } } });
    const none = await tell({}, [hello({ metadata: undefined })]);
    for (const { events } of [byId, none]) {
      expect(events().find(({ message }) => message?.is_echo).message).not.toHaveProperty('metadata');
    }
  });

  it('say nothing of what failed after the acceptance', async () => {
    const { events } = await tell({ message: { status: { failure: { probability: 1, delayMs: 0 } } } });
    expect(events().map((event) => Object.keys(event).at(-1))).toEqual(['message']);
  });

  it('carry entries as they are, and events of other pages in entries of their own', async () => {
    const { platform, entries } = await tell({}, []);
    platform.control.injectStatuses('default', [
      { entry: { id: '7', standby: [{ sender: { id: '8' } }] } },
      { entry_id: '9', sender: { id: '8' }, read: { watermark: 1 } },
    ]);
    await platform.control.whenIdle();
    expect(entries()).toEqual(
      expect.arrayContaining([
        { id: '7', standby: [{ sender: { id: '8' } }] },
        { id: '9', time: 0, messaging: [{ sender: { id: '8' }, read: { watermark: 1 } }] },
      ]),
    );
  });

  it('that fail are told again at once, and after an hour without a success no more', async () => {
    const receiver = await startReceiver((number) => (number === 1 ? 500 : 200));
    const platform = await start(receiver.settings);
    platform.control.change({ message: { status: { delivered: { probability: 0 }, read: { probability: 0 } } } });
    await post(platform.url, hello());
    await platform.control.whenIdle();
    expect(receiver.calls.map(({ raw }) => raw)).toEqual([receiver.calls[0]?.raw, receiver.calls[0]?.raw]);
    expect(platform.control.settings.channel.webhooks).toMatchObject({
      deadlineMs: 20_000,
      unsubscribe: { on: 'failure', afterMs: 3_600_000 },
    });
  });
});

it('both profiles can be chosen by their names', () => {
  expect(PROFILES).toMatchObject({ messenger, instagram });
});

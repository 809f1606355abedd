import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { generic } from '../../simulators/platform/generic.ts';
import { createFakePlatform } from '../../simulators/platform/platform.ts';
import type { Profile } from '../../simulators/platform/profile.ts';
import { instant, type Refusal, type SettingsPatch } from '../../simulators/platform/settings.ts';
import type { PlatformChannel, SendRequest, StatusItem, WebhookCall } from '../../src/engine/ports.ts';
import { RoomlineError } from '../../src/errors.ts';
import type { PlatformChannelConfig } from '../../src/platforms/platform.ts';
import { checkHeron, createHeronChannel } from './example-adapter.ts';

const SECRET = 'a secret of the webhook';

/** Heron as the fake platform: what differs from the generic one. Written from Heron's page, not from the adapter. */
const heron: Profile = {
  ...generic,
  name: 'heron',
  settings: {
    channel: { request: { requireRoomlineHeaders: false }, webhooks: { batch: { maxSize: 20, lingerMs: 5 } } },
  },
  route: (method, path) =>
    method === 'POST' && path === '/send' ? 'send' : method === 'GET' && path === '/account' ? 'other' : undefined,
  other({ channel, channels }) {
    if (channel === undefined) return { status: 401, headers: [], body: '{"code":"KEY_REVOKED"}' };
    const eventsTo = channels[channel]?.webhook?.urls[0];
    return { status: 200, headers: ['content-type', 'application/json'], body: JSON.stringify({ eventsTo }) };
  },
  credential: (headers) => headers['x-api-key'] as string | undefined,
  readAttempt: () => ({ reference: undefined, attempt: undefined, worker: undefined, generation: undefined }),
  readSend(_headers, body) {
    const { recipient, text, tag } = JSON.parse(body.toString()) as Record<string, string | undefined>;
    if (!recipient?.startsWith('+')) return { refusal: { status: 422, code: 'NO_SUCH_NUMBER', permanent: true } };
    if (!text || !tag) return { refusal: { status: 422, code: 'TEXT_REFUSED', permanent: true } };
    return { reference: tag, to: recipient, content: { text }, text, media: false, key: undefined, run: undefined };
  },
  accepted: ({ id }) => ({ status: 202, headers: ['content-type', 'application/json'], body: JSON.stringify({ id }) }),
  refused: ({ status, code, retryAfterMs }) => ({
    status,
    headers: retryAfterMs === undefined ? [] : ['retry-after', String(Math.ceil(retryAfterMs / 1_000))],
    body: code === undefined ? '' : JSON.stringify({ code }),
  }),
  item: ({ message, status, error }) => ({
    tag: message.reference,
    id: message.id,
    state: status,
    reason: error?.code,
  }),
  junk: (kind, salt) => (kind === 'malformed' ? 7 : { tag: salt, state: 'pondered' }),
  webhookBody: (events) => JSON.stringify({ events }),
  sign({ body, secrets, mode }) {
    const secret = mode === 'right' ? secrets.present : 'another secret';
    const signature = createHmac('sha256', secret).update(body).digest('hex');
    return { headers: mode === 'missing' ? [] : ['x-heron-signature', signature], body };
  },
};

function configOf(baseUrl: string, key = 'key-1'): PlatformChannelConfig {
  return {
    baseUrl,
    accessToken: { reveal: () => key },
    webhookSecrets: [{ reveal: () => 'the secret to come' }, { reveal: () => SECRET }],
    lookup: false,
    maxConcurrentSends: 4,
    sendTimeoutMs: 2_000,
  };
}

function open(baseUrl: string): PlatformChannel {
  const channel = createHeronChannel(configOf(baseUrl), { wallClockMs: Date.now, webhookUrl: null });
  onTestFinished(() => channel.close());
  return channel;
}

/** The fake platform, the adapter, and a receiver that reads webhooks as Roomline does. */
async function start(settings: SettingsPatch = {}) {
  const items: StatusItem[] = [];
  const verdicts: string[] = [];
  const receiver = createServer(async (incoming, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const { headers, url: target = '' } = incoming;
    const call: WebhookCall = { method: 'POST', target, headers, raw: Buffer.concat(chunks) };
    const verdict = channel.verify(call, Date.now());
    verdicts.push(verdict.kind);
    if (verdict.kind === 'verified') items.push(...channel.readStatuses(call));
    response.writeHead(verdict.kind === 'verified' ? 200 : 401).end();
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const { port } = receiver.address() as AddressInfo;
  const webhook = { urls: [`http://127.0.0.1:${port}/v1/webhooks/default/heron`], secret: SECRET };
  const channels = { default: { token: 'key-1', webhook } };
  const platform = createFakePlatform({ profile: heron, settings: [instant, { channels }, settings] });
  await platform.start();
  onTestFinished(async () => {
    await platform.stop();
    receiver.closeAllConnections();
    await new Promise((resolve) => receiver.close(resolve));
  });
  const channel = open(platform.url);
  return { platform, channel, items, verdicts, webhookUrl: webhook.urls[0] ?? '' };
}

function message(text: unknown = 'Hello', to = '+15550100001'): SendRequest {
  const body = Buffer.from(JSON.stringify({ to, content: { text } }));
  return { reference: 'ref-1', body, attempt: 1, worker: 'worker-1', generation: 1, timeoutMs: 2_000 };
}

describe('against the fake platform', () => {
  it('sends, and reads what becomes of the message', async () => {
    const { platform, channel, items } = await start();
    const result = await channel.send(message());
    await platform.control.whenIdle();
    expect(result).toMatchObject({ kind: 'accepted' });
    const { platformId } = result as { platformId: string };
    const told = { kind: 'status', reference: 'ref-1', platformId, nack: null, at: null, cumulative: false };
    expect(items).toHaveLength(2);
    expect(items).toEqual(
      expect.arrayContaining([
        { ...told, level: 'sent' },
        { ...told, level: 'delivered' },
      ]),
    );
  });

  it('reads a failure after acceptance', async () => {
    const { platform, channel, items } = await start({
      message: { status: { failure: { probability: 1, delayMs: 0, code: 'EXPIRED' } } },
    });
    await channel.send(message());
    await platform.control.whenIdle();
    expect(items).toContainEqual(
      expect.objectContaining({ reference: 'ref-1', level: null, nack: expect.objectContaining({ code: 'EXPIRED' }) }),
    );
  });

  it.each<[Refusal, object]>([
    [
      { status: 422, code: 'NO_SUCH_NUMBER' },
      { permanent: true, scope: 'room', code: 'NO_SUCH_NUMBER' },
    ],
    [
      { status: 422, code: 'OPTED_OUT' },
      { permanent: true, scope: 'room', code: 'OPTED_OUT' },
    ],
    [
      { status: 422, code: 'TEXT_REFUSED' },
      { permanent: true, scope: 'message', code: 'TEXT_REFUSED' },
    ],
    [
      { status: 429, code: 'TOO_FAST', retryAfterMs: 2_000 },
      { scope: 'channel', retryAfterMs: 2_000 },
    ],
    [
      { status: 429, code: 'TOO_FAST_FOR_NUMBER' },
      { permanent: false, scope: 'room' },
    ],
    [
      { status: 401, code: 'KEY_REVOKED' },
      { permanent: true, scope: 'channel' },
    ],
    [
      { status: 402, code: 'NO_CREDIT' },
      { permanent: true, scope: 'account' },
    ],
    [{ status: 403 }, { permanent: true, scope: 'channel', code: 'http_403' }],
    [{ status: 429 }, { permanent: false, scope: 'channel', code: 'http_429' }],
    [{ status: 408 }, { permanent: false, scope: 'message', code: 'http_408' }],
    [
      { status: 422, code: 'NEW_ONE' },
      { permanent: true, scope: 'message', code: 'NEW_ONE' },
    ],
    [{ status: 302 }, { permanent: true, scope: 'channel', code: 'redirected' }],
  ])('classifies %j', async (refusal, nack) => {
    const fault = { kind: 'refuse', probability: 1, ...refusal } as const;
    const { channel } = await start({ message: { send: { faults: { fault } } } });
    expect(await channel.send(message())).toMatchObject({ kind: 'refused', nack });
  });

  it.each([
    ['http_503', { kind: 'server_error', probability: 1, status: 503, when: 'after_acceptance' }],
    ['reset', { kind: 'reset', probability: 1, when: 'after_acceptance' }],
    ['answer_unreadable', { kind: 'truncate', probability: 1 }],
  ] as const)('does not guess what it cannot know: %s', async (code, fault) => {
    const { channel } = await start({ message: { send: { faults: { fault } } } });
    expect(await channel.send(message())).toEqual({ kind: 'unknown', code, bytesLeft: true });
  });

  it('refuses webhooks that were not signed with a secret of ours', async () => {
    const { platform, channel, items, verdicts } = await start({
      channel: { webhooks: { signature: { wrongKey: 1, missing: 1 } } },
    });
    await channel.send(message());
    await platform.control.whenIdle();
    expect(verdicts).toContain('refused');
    expect(items).toHaveLength(2);
  });

  it('reads a batch though one of its items is junk', async () => {
    const { platform, channel, items } = await start({
      channel: { webhooks: { junk: { unknownStatus: 1, malformed: 1 } } },
    });
    await channel.send(message());
    await platform.control.whenIdle();
    expect(items.filter(({ kind }) => kind === 'status')).toHaveLength(2);
    expect(items).toContainEqual({ kind: 'unreadable', code: 'state_unknown' });
    expect(items).toContainEqual({ kind: 'unreadable', code: 'event_type' });
  });
});

describe('the check', () => {
  async function findings(baseUrl: string, webhookUrl: string | null, key?: string) {
    const found = await checkHeron(configOf(baseUrl, key), { timeoutMs: 5_000, wallClockMs: Date.now, webhookUrl });
    return Object.fromEntries(found.map(({ name, outcome, code }) => [name, `${outcome} ${code}`]));
  }

  it('finds nothing wrong where all is right, and sends nothing', async () => {
    const { platform, webhookUrl } = await start();
    expect(await findings(platform.url, webhookUrl)).toEqual({
      platform: 'ok ok',
      clock: 'ok ok',
      token: 'ok ok',
      webhook_url: 'ok ok',
      webhook_secret: 'not_checkable not_told',
    });
    expect([...platform.groundTruth.records()].filter(({ t }) => t === 'receipt')).toEqual([]);
  });

  it('names a wrong key, another address, and that nobody answers', async () => {
    const { platform } = await start();
    expect(await findings(platform.url, null, 'key-2')).toEqual({ token: 'failed http_401' });
    expect(await findings(platform.url, 'https://roomline.example/v1/webhooks/default/heron')).toMatchObject({
      webhook_url: 'failed other_address',
    });
    expect(await findings(`${platform.url}/elsewhere`, null)).toEqual({ platform: 'failed http_404' });
    expect(await findings('http://127.0.0.1:1', null)).toEqual({ platform: 'failed connect_refused' });
  });
});

describe('content', () => {
  it.each<[string, object, string]>([
    ['12', { text: 'x' }, 'to'],
    ['+15550100001', {}, 'content.text'],
    ['+15550100001', { text: 7 }, 'content.text'],
    ['+15550100001', { text: 'x'.repeat(1_601) }, 'content.text'],
    ['+15550100001', { text: 'x', image: 'y' }, 'content.image'],
  ])('for %s is refused: %j', async (to, content, field) => {
    const channel = open('http://127.0.0.1:1');
    expect(() => channel.checkContent?.(to, content as Record<string, unknown>)).toThrow(
      expect.objectContaining({ code: 'content_invalid', field }),
    );
    const body = Buffer.from(JSON.stringify({ to, content }));
    expect(await channel.send({ ...message(), body })).toMatchObject({ nack: { code: 'content_unsendable' } });
  });
});

describe('webhooks', () => {
  it('give items or a coded error, whatever their bytes', () => {
    const channel = open('http://127.0.0.1:1');
    const events = fc.array(fc.dictionary(fc.constantFrom('tag', 'id', 'state', 'reason'), fc.jsonValue()));
    const raw = fc.oneof(
      fc.uint8Array(),
      events.map((list) => Buffer.from(JSON.stringify({ events: list }))),
    );
    fc.assert(
      fc.property(raw, (bytes) => {
        try {
          channel.readStatuses({ method: 'POST', target: '/', headers: {}, raw: bytes });
        } catch (error) {
          expect(error).toBeInstanceOf(RoomlineError);
        }
      }),
    );
  });
});

/** The file as `npm run format` would leave it in src/platforms. */
function moved(file: string): string {
  const text = file.replaceAll('../../src/platforms/', './').replaceAll('../../src/', '../');
  const at = text.indexOf('import ');
  const end = text.indexOf('\n\n', at);
  const imports = (text.slice(at, end).match(/import [^;]*;/g) ?? []).map((statement) => {
    const line = statement.replace(/\{\s+([^}]*?),\s+\}/, (_all, names: string) => `{ ${names.replace(/\s+/g, ' ')} }`);
    return line.length <= 120 ? line : statement;
  });
  const near = (statement: string) => statement.includes("'./");
  const sorted = [...imports.filter((each) => !near(each)), ...imports.filter(near)];
  return text.slice(0, at) + sorted.join('\n') + text.slice(end);
}

describe('the guide', () => {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');

  it('shows this very adapter, as it would stand in src/platforms, and this very profile', () => {
    const [adapter, profile] = [
      ...read('../../docs/channels/writing-an-adapter.md').matchAll(/```ts\n([\s\S]*?)```/g),
    ].map(([, code = '']) => code);
    expect(adapter).toBe(moved(read('./example-adapter.ts')));
    const own = read('./example-adapter.test.ts');
    const from = own.indexOf('const heron: Profile');
    expect(profile).toBe(own.slice(from, own.indexOf('\n};\n', from) + 4));
  });
});

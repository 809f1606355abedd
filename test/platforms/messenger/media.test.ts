import { describe, expect, it, onTestFinished } from 'vitest';
import { instagram } from '../../../simulators/platform/instagram.ts';
import { messenger, PAGE } from '../../../simulators/platform/messenger.ts';
import { createFakePlatform, type FakePlatform } from '../../../simulators/platform/platform.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import type { PlatformChannel, Prepared, PrepareResult, SendRequest } from '../../../src/engine/ports.ts';
import { createPlatformChannel } from '../../../src/platforms/registry.ts';

const TOKEN = 'EAAJBtoken';
const LINK = 'https://media.example.test/a.jpg';
const PLATFORMS = { messenger, instagram } as const;
type Name = keyof typeof PLATFORMS;

const revealable = (value: string) => ({ reveal: () => value });
const bodyOf = (content: object): Uint8Array => Buffer.from(JSON.stringify({ to: '6100000000000001', content }));
const attachment = (type: string, url = LINK) => ({ type, payload: { url } });

async function start(name: Name, settings: SettingsPatch = {}, prepare = true) {
  const platform = createFakePlatform({
    seed: 7,
    profile: PLATFORMS[name],
    settings: [instant, { channels: { default: { token: TOKEN } } }, settings],
  });
  await platform.start();
  onTestFinished(() => platform.stop());
  const channel = createPlatformChannel(
    name,
    {
      baseUrl: platform.url,
      accessToken: revealable(TOKEN),
      webhookSecrets: [revealable('the app secret')],
      lookup: false,
      maxConcurrentSends: 4,
      sendTimeoutMs: 5_000,
      media: { prepare, allowedHosts: [], maxConcurrent: 2, timeoutMs: 5_000 },
      ...(name === 'messenger'
        ? { messenger: { pageId: PAGE, apiVersion: 'v25.0' } }
        : { instagram: { accountId: '17841400000000001', apiVersion: 'v25.0' } }),
    },
    { wallClockMs: () => 0, webhookUrl: null },
  );
  onTestFinished(() => channel.close());
  return { platform, channel };
}

function request(body: Uint8Array, prepared?: Prepared): SendRequest {
  const named = prepared === undefined ? {} : { prepared };
  return { reference: 'ref', body, attempt: 1, worker: 'w', generation: 1, timeoutMs: 5_000, ...named };
}

async function prepare({ prepare: preparer }: PlatformChannel, body: Uint8Array): Promise<PrepareResult> {
  const work = preparer?.plan(body) ?? null;
  if (work === null) throw new Error('there is nothing to prepare');
  return work(new AbortController().signal);
}

const uploads = (platform: FakePlatform) =>
  [...platform.groundTruth.records()].filter((record) => record.t === 'upload');

describe.each(['messenger', 'instagram'] as const)('media uploaded ahead on %s', (name) => {
  it('is fetched by the platform, and named by its id in the message', async () => {
    const { platform, channel } = await start(name);
    const body = bodyOf({ messaging_type: 'RESPONSE', message: { attachment: attachment('image') } });
    const result = await prepare(channel, body);
    const [upload] = uploads(platform);
    expect(upload).toMatchObject({ decision: 'accepted', link: LINK });
    expect(result).toMatchObject({ kind: 'prepared', prepared: new Map([[LINK, upload?.id]]) });
    const prepared = result.kind === 'prepared' ? result.prepared : new Map();
    expect(await channel.send(request(body, prepared))).toMatchObject({ kind: 'accepted' });
    const receipt = [...platform.groundTruth.records()].find(({ t }) => t === 'receipt');
    expect(receipt).toMatchObject({ decision: 'accepted', media: [upload?.id] });
  });

  it('is each of several pictures', async () => {
    const { platform, channel } = await start(name);
    const links = ['https://a.test/1', 'https://a.test/2'];
    const body = bodyOf({ message: { attachments: links.map((link) => attachment('image', link)) } });
    const result = await prepare(channel, body);
    expect(uploads(platform).map(({ link }) => link)).toEqual(links);
    const prepared = result.kind === 'prepared' ? result.prepared : new Map();
    await channel.send(request(body, prepared));
    const receipt = [...platform.groundTruth.records()].find(({ t }) => t === 'receipt');
    expect(receipt).toMatchObject({ media: uploads(platform).map(({ id }) => id) });
  });

  it('is nothing where there is no link, or where it is not asked for', async () => {
    const { channel } = await start(name);
    for (const content of [
      { text: LINK },
      { message: { text: LINK } },
      { message: { attachment: { type: 'image', payload: { attachment_id: '1' } } } },
      { message: { attachment: { type: 'template', payload: { template_type: 'generic', url: LINK } } } },
      { message: null },
    ]) {
      expect(channel.prepare?.plan(bodyOf(content))).toBeNull();
    }
    expect((await start(name, {}, false)).channel.prepare).toBeUndefined();
  });

  it('that the platform refuses is not prepared, and may be later where its code says so', async () => {
    const { platform, channel } = await start(name, {
      channel: { media: { uploadRefusal: { status: 400, code: '100' } } },
    });
    const body = bodyOf({ message: { attachment: attachment('video') } });
    expect(await prepare(channel, body)).toEqual({ kind: 'failed', code: '100', retryable: false });
    platform.control.change({ channel: { media: { uploadRefusal: { status: 500, code: '2' } } } });
    expect(await prepare(channel, body)).toEqual({ kind: 'failed', code: '2', retryable: true });
    await platform.stop();
    expect(await prepare(channel, body)).toMatchObject({ kind: 'failed', retryable: true });
  });

  it('whose id is not known any more is told as that, and the message goes with its link', async () => {
    const { channel } = await start(name);
    const body = bodyOf({ messaging_type: 'RESPONSE', message: { attachment: attachment('image') } });
    expect(await channel.send(request(body, new Map([[LINK, '4711']])))).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'message', code: '100/2018074' },
      preparedRefused: true,
    });
    expect(await channel.send(request(body))).toMatchObject({ kind: 'accepted' });
  });
});

it('takes files on Messenger, and none on Instagram', async () => {
  const body = bodyOf({ message: { attachment: attachment('file') } });
  expect((await start('messenger')).channel.prepare?.plan(body)).not.toBeNull();
  expect((await start('instagram')).channel.prepare?.plan(body)).toBeNull();
});

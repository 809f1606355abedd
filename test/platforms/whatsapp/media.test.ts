import { describe, expect, it, onTestFinished } from 'vitest';
import type { UploadRecord } from '../../../simulators/platform/ground-truth.ts';
import { createFakePlatform, type FakePlatform } from '../../../simulators/platform/platform.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import { whatsapp } from '../../../simulators/platform/whatsapp.ts';
import type { PlatformChannel, Prepared, PrepareResult, SendRequest } from '../../../src/engine/ports.ts';
import type { MediaSettings } from '../../../src/platforms/platform.ts';
import { createPlatformChannel } from '../../../src/platforms/registry.ts';
import { file, PICTURE, type Serve } from '../../support/files.ts';
import { answer, startGateway } from '../gateway.ts';
import { filesOfTest } from '../media/files.ts';

const TOKEN = 'EAAJBtoken';
const revealable = (value: string) => ({ reveal: () => value });

function open(baseUrl: string, media?: Partial<MediaSettings>): PlatformChannel {
  const channel = createPlatformChannel(
    'whatsapp',
    {
      baseUrl,
      accessToken: revealable(TOKEN),
      webhookSecrets: [revealable('the app secret')],
      lookup: false,
      maxConcurrentSends: 4,
      sendTimeoutMs: 5_000,
      whatsapp: { phoneNumberId: '106540352242922', apiVersion: 'v25.0' },
      ...(media === undefined
        ? {}
        : { media: { prepare: true, allowedHosts: [], maxConcurrent: 2, timeoutMs: 5_000, ...media } }),
    },
    { wallClockMs: () => 0, webhookUrl: null },
  );
  onTestFinished(() => channel.close());
  return channel;
}

async function startFake(settings: SettingsPatch = {}): Promise<FakePlatform> {
  const platform = createFakePlatform({
    seed: 7,
    profile: whatsapp,
    settings: [instant, { channels: { default: { token: TOKEN } } }, settings],
  });
  await platform.start();
  onTestFinished(() => platform.stop());
  return platform;
}

const bodyOf = (content: object): Uint8Array => Buffer.from(JSON.stringify({ to: '+15550100001', content }));
const image = (link: string) => bodyOf({ type: 'image', image: { link, caption: 'Look' } });

function request(body: Uint8Array, prepared?: Prepared): SendRequest {
  return {
    reference: 'AAAAAAAAAAAqAAAAAAAHq83vEjRW',
    body,
    attempt: 1,
    worker: 'worker-7f',
    generation: 3,
    timeoutMs: 5_000,
    ...(prepared === undefined ? {} : { prepared }),
  };
}

async function prepare(
  channel: PlatformChannel,
  body: Uint8Array,
  signal = new AbortController().signal,
): Promise<PrepareResult> {
  const work = channel.prepare?.plan(body) ?? null;
  if (work === null) throw new Error('there is nothing to prepare');
  return work(signal);
}

function uploads(platform: FakePlatform): UploadRecord[] {
  return [...platform.groundTruth.records()].filter((record) => record.t === 'upload');
}

async function everything(serve: Serve = file(), settings: SettingsPatch = {}, media: Partial<MediaSettings> = {}) {
  const files = await filesOfTest(serve);
  const platform = await startFake(settings);
  const channel = open(platform.url, { allowedHosts: [files.host], ...media });
  return { files, platform, channel };
}

describe('what is there to upload', () => {
  it('is nothing on a channel whose settings do not ask for it', async () => {
    expect(open('http://127.0.0.1:1').prepare).toBeUndefined();
    expect(open('http://127.0.0.1:1', { prepare: false }).prepare).toBeUndefined();
  });

  it('is nothing in texts, in media that was uploaded before, and in what cannot be read', () => {
    const { prepare: preparer } = open('http://127.0.0.1:1', {});
    for (const body of [
      bodyOf({ text: 'https://media.example.test/a.jpg' }),
      bodyOf({ type: 'text', text: { body: 'x', link: 'https://media.example.test/a.jpg' } }),
      bodyOf({ type: 'image', image: { id: '1' } }),
      bodyOf({
        type: 'interactive',
        interactive: { type: 'cta_url', action: { parameters: { url: 'https://a.example.test' } } },
      }),
      bodyOf({ type: 'image', image: null }),
      Buffer.from('not JSON'),
      Buffer.from('null'),
    ]) {
      expect(preparer?.plan(body)).toBeNull();
    }
  });

  it('is not what has too many links, or too deep ones', () => {
    const { prepare: preparer } = open('http://127.0.0.1:1', {});
    const cards = (count: number) =>
      bodyOf({
        type: 'template',
        template: { components: Array.from({ length: count }, (_, n) => ({ image: { link: `https://a.test/${n}` } })) },
      });
    expect(preparer?.plan(cards(10))).not.toBeNull();
    expect(preparer?.plan(cards(11))).toBeNull();
    let deep: object = { image: { link: 'https://a.test/' } };
    for (let level = 0; level < 20; level++) deep = { inner: deep };
    expect(preparer?.plan(bodyOf(deep))).toBeNull();
  });
});

describe('media uploaded ahead', () => {
  it('is fetched, passed on as a form, and named by its id in the message', async () => {
    const { files, platform, channel } = await everything();
    const body = image(files.link());
    const result = await prepare(channel, body);
    const [upload] = uploads(platform);
    expect(upload).toMatchObject({ decision: 'accepted', contentType: 'image/jpeg', bytes: PICTURE.length });
    expect(result).toEqual({
      kind: 'prepared',
      prepared: new Map([[files.link(), upload?.id]]),
      usableForMs: 29 * 86_400_000,
    });
    const prepared = result.kind === 'prepared' ? result.prepared : new Map();
    expect(await channel.send(request(body, prepared))).toMatchObject({ kind: 'accepted' });
    const receipt = [...platform.groundTruth.records()].find(({ t }) => t === 'receipt');
    expect(receipt).toMatchObject({ decision: 'accepted', media: [upload?.id] });
  });

  it('leaves everything else of the message as it is, wherever the link stands', async () => {
    const gateway = await startGateway(answer(200, { messages: [{ id: 'wamid.1' }] }));
    onTestFinished(() => gateway.close());
    const channel = open(gateway.baseUrl);
    const prepared = new Map([['https://a.test/1', '11']]);
    const other = { link: 'https://a.test/2' };
    const contents = (known: object) => ({
      image: { type: 'image', image: { ...known, caption: 'c' } },
      document: { type: 'document', document: { ...known, filename: 'f.pdf' }, context: { message_id: 'm' } },
      template: {
        type: 'template',
        template: {
          name: 't',
          components: [
            {
              type: 'header',
              parameters: [
                { type: 'video', video: known },
                { type: 'image', image: other },
              ],
            },
          ],
        },
      },
      interactive: { type: 'interactive', interactive: { type: 'button', header: { type: 'image', image: known } } },
      button: { type: 'interactive', interactive: { action: { parameters: { link: 'https://a.test/1' } } } },
    });
    const given = Object.values(contents({ link: 'https://a.test/1' }));
    for (const content of given) await channel.send(request(bodyOf(content), prepared));
    const sent = gateway.received.map(({ body }) => JSON.parse(String(body)));
    for (const [index, content] of Object.values(contents({ id: '11' })).entries()) {
      expect(sent[index]).toMatchObject(content);
      expect(JSON.stringify(sent[index])).not.toMatch(index === 4 ? /"id":"11"/ : /a\.test\/1/);
    }
  });

  it('is one upload for a link that stands twice, and one each for several', async () => {
    const { files, platform, channel } = await everything();
    const header = (path: string) => ({ type: 'image', image: { link: files.link(path) } });
    const parameters = ['/a', '/b', '/a'].map(header);
    const body = bodyOf({ type: 'template', template: { components: [{ type: 'header', parameters }] } });
    const result = await prepare(channel, body);
    expect(result.kind === 'prepared' && [...result.prepared.keys()]).toEqual([files.link('/a'), files.link('/b')]);
    expect(uploads(platform)).toHaveLength(2);
  });

  it('is passed on while it comes: the platform has its beginning before the end is there', async () => {
    const size = 200_000;
    const rest = Promise.withResolvers<void>();
    const files = await filesOfTest(async (_request, response) => {
      response.writeHead(200, { 'content-type': 'image/png', 'content-length': String(size) });
      response.write(Buffer.alloc(size / 2));
      await rest.promise;
      response.end(Buffer.alloc(size / 2));
    });
    const { createServer } = await import('node:http');
    let received = 0;
    const server = createServer((incoming, response) => {
      incoming.on('data', (chunk: Buffer) => {
        received += chunk.length;
        if (received > size / 2) rest.resolve();
      });
      incoming.on('end', () => response.end('{"id":"77"}'));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as { port: number };
    const channel = open(`http://127.0.0.1:${port}`, { allowedHosts: [files.host] });
    expect(await prepare(channel, image(files.link()))).toMatchObject({ kind: 'prepared' });
    expect(received).toBeGreaterThan(size);
  });

  it.each<[string, Serve, string, boolean]>([
    ['is not there', (_request, response) => void response.writeHead(404).end(), 'media_http_404', false],
    ['is no picture', file(PICTURE, { 'content-type': 'text/html' }), 'media_type_refused', false],
    ['is too large', file(PICTURE, { 'content-length': String(5 * 1_048_576 + 1) }), 'media_too_large', false],
    [
      'breaks off',
      (request, response) => {
        response.writeHead(200, { 'content-type': 'image/jpeg', 'content-length': '100' });
        response.write('half', () => request.socket.destroy());
      },
      'reset',
      true,
    ],
  ])('that %s is not uploaded', async (_what, serve, code, retryable) => {
    const { files, platform, channel } = await everything(serve);
    expect(await prepare(channel, image(files.link()))).toEqual({ kind: 'failed', code, retryable });
    expect(uploads(platform).filter(({ decision }) => decision === 'accepted')).toEqual([]);
  });

  it('never comes from a host that the settings do not name', async () => {
    const { files, channel } = await everything(file(), {}, { allowedHosts: ['media.example.test'] });
    expect(await prepare(channel, image(files.link()))).toMatchObject({ kind: 'failed', code: 'media_port_refused' });
    expect(await prepare(channel, image('https://127.0.0.1/a'))).toMatchObject({ code: 'media_address_refused' });
    expect(files.asked).toEqual([]);
  });

  it.each([
    ['100', 400, false],
    ['190', 401, false],
    ['131053', 400, true],
    ['131000', 500, true],
    ['2', 503, true],
  ])('that the platform refuses with %s is not prepared; that it may be later: %s', async (code, status, retryable) => {
    const { files, channel } = await everything(file(), {
      channel: { media: { uploadRefusal: { status, code } } },
    });
    expect(await prepare(channel, image(files.link()))).toEqual({ kind: 'failed', code, retryable });
  });

  it('that takes too long is given up', async () => {
    const slow = { channel: { media: { uploadDelayMs: 600_000 } } };
    const { files, platform, channel } = await everything(file(), slow, { timeoutMs: 150 });
    expect(await prepare(channel, image(files.link()))).toMatchObject({ kind: 'failed' });
    expect(uploads(platform).filter(({ decision }) => decision === 'accepted')).toEqual([]);
  });

  it('that nobody wants any more ends at once', async () => {
    const abort = new AbortController();
    const gateway = await startGateway(() => abort.abort());
    onTestFinished(() => gateway.close());
    const files = await filesOfTest(file());
    const channel = open(gateway.baseUrl, { allowedHosts: [files.host] });
    const result = await prepare(channel, image(files.link()), abort.signal);
    expect(result).toMatchObject({ kind: 'failed', code: 'aborted' });
    expect(gateway.received).toHaveLength(1);
  });
});

describe('a message with an id that the platform does not know (any more)', () => {
  it('is refused in a way that says so, and goes with its link', async () => {
    const { files, channel } = await everything(file(), { channel: { media: { idLifeMs: 0 } } });
    const body = image(files.link());
    const prepared = new Map([[files.link(), '4711']]);
    expect(await channel.send(request(body, prepared))).toMatchObject({
      kind: 'refused',
      nack: { permanent: false, scope: 'message', retryAfterMs: null, code: '100' },
      preparedRefused: true,
    });
    expect(await channel.send(request(body))).toMatchObject({ kind: 'accepted' });
  });

  it.each([
    ['131053', 'message', true],
    ['131009', 'message', true],
    ['131056', 'room', undefined],
    ['190', 'account', undefined],
    ['131026', 'message', undefined],
  ])('is told apart from what has other reasons: %s', async (code, scope, preparedRefused) => {
    const gateway = await startGateway(answer(400, { error: { code: Number(code), message: 'x' } }));
    onTestFinished(() => gateway.close());
    const channel = open(gateway.baseUrl);
    const body = image('https://a.test/1');
    const result = await channel.send(request(body, new Map([['https://a.test/1', '1']])));
    expect(result).toMatchObject({ kind: 'refused', nack: { code, scope } });
    expect(result.kind === 'refused' ? result.preparedRefused : null).toBe(preparedRefused);
    const plain = await channel.send(request(body));
    expect(plain.kind === 'refused' ? plain.preparedRefused : null).toBeUndefined();
  });
});

import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { ACCOUNT } from '../../../simulators/platform/instagram.ts';
import { createFakePlatform } from '../../../simulators/platform/platform.ts';
import { PROFILES } from '../../../simulators/platform/profiles.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import type { PlatformChannel, SendRequest, StatusItem, WebhookCall } from '../../../src/engine/ports.ts';
import type { PlatformChannelConfig } from '../../../src/platforms/platform.ts';
import { createPlatformChannel } from '../../../src/platforms/registry.ts';

export const NOW_MS = Date.UTC(2026, 0, 1);
export const PAGE = '104000000000042';
export { ACCOUNT };
export const PERSON = '6100000000000001';
export const TOKEN = 'EAAJBtoken';
export const SECRET = 'the app secret';
export const OLD_SECRET = 'the secret before';
export const VERIFY_TOKEN = 'verify me';
export const REFERENCE = 'AAAAAAAAAAAqAAAAAAAHq83vEjRW';

export type Product = 'messenger' | 'instagram';

export const revealable = (value: string) => ({ reveal: () => value });

const sections = {
  messenger: { messenger: { pageId: PAGE, apiVersion: 'v25.0', verifyToken: revealable(VERIFY_TOKEN) } },
  instagram: { instagram: { accountId: ACCOUNT, apiVersion: 'v25.0', verifyToken: revealable(VERIFY_TOKEN) } },
} as const;

export function configOf(product: Product | null, baseUrl: string): PlatformChannelConfig {
  return {
    baseUrl,
    accessToken: revealable(TOKEN),
    webhookSecrets: [revealable(SECRET), revealable(OLD_SECRET)],
    lookup: false,
    maxConcurrentSends: 4,
    sendTimeoutMs: 5_000,
    ...(product === null ? {} : sections[product]),
  };
}

export function open(
  product: Product,
  baseUrl = 'http://127.0.0.1:1',
  change: Partial<PlatformChannelConfig> = {},
): PlatformChannel {
  const channel = createPlatformChannel(
    product,
    { ...configOf(product, baseUrl), ...change },
    { wallClockMs: () => NOW_MS, webhookUrl: null },
  );
  onTestFinished(() => channel.close());
  return channel;
}

export function request(
  content: object = { text: 'Grüße' },
  change: Partial<SendRequest> & { to?: string } = {},
): SendRequest {
  const { to = PERSON, ...rest } = change;
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

export function post(body: unknown): WebhookCall {
  const raw = Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return { method: 'POST', target: '/v1/webhooks/default/main', headers: {}, raw };
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
    levels: () => calls.flatMap(({ items }) => items.map((item) => (item.kind === 'status' ? item.level : item.kind))),
  };
}

/** The fake platform, an adapter that sends to it, and a receiver that it tells. */
export async function startAll(product: Product, settings: SettingsPatch = {}) {
  let channel: PlatformChannel | undefined;
  const receiver = await startReceiver(() => channel as PlatformChannel);
  const webhook = { urls: [receiver.url], secret: SECRET, previousSecret: OLD_SECRET };
  const platform = createFakePlatform({
    seed: 7,
    profile: PROFILES[product],
    settings: [instant, { channels: { default: { token: TOKEN, webhook } } }, settings],
  });
  await platform.start();
  onTestFinished(() => platform.stop());
  channel = open(product, platform.url);
  return { platform, receiver, channel };
}

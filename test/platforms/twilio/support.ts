import { onTestFinished } from 'vitest';
import { createFakePlatform } from '../../../simulators/platform/platform.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import { twilio } from '../../../simulators/platform/twilio.ts';
import type { PlatformChannel, SendRequest } from '../../../src/engine/ports.ts';
import type { PlatformChannelConfig } from '../../../src/platforms/platform.ts';
import { createPlatformChannel } from '../../../src/platforms/registry.ts';
import { startReceiver } from './receiver.ts';

export const NOW_MS = Date.UTC(2026, 0, 1);
export const ACCOUNT = `AC${'0'.repeat(32)}`;
export const SERVICE = `MG${'1'.repeat(32)}`;
export const TEMPLATE = `HX${'2'.repeat(32)}`;
export const FROM = '+15550100002';
export const TO = '+15550100001';
export const TOKEN = 'demo-auth-token';
export const OLD_TOKEN = 'the token before';
export const REFERENCE = 'AAAAAAAAAAAqAAAAAAAHq83vEjRW';
export const WEBHOOK = 'https://hooks.example.test/v1/webhooks/default/main';

export const revealable = (value: string) => ({ reveal: () => value });

export function configOf(baseUrl: string, from = FROM): PlatformChannelConfig {
  return {
    baseUrl,
    accessToken: revealable(TOKEN),
    webhookSecrets: [revealable(TOKEN), revealable(OLD_TOKEN)],
    lookup: false,
    maxConcurrentSends: 4,
    sendTimeoutMs: 5_000,
    twilio: { accountSid: ACCOUNT, from },
  };
}

export interface Opening extends Partial<PlatformChannelConfig> {
  readonly from?: string;
  readonly webhookUrl?: string | null;
}

export function open(baseUrl = 'http://127.0.0.1:1', { from, webhookUrl = WEBHOOK, ...change }: Opening = {}) {
  const dependencies = { wallClockMs: () => NOW_MS, webhookUrl };
  const channel = createPlatformChannel('twilio', { ...configOf(baseUrl, from), ...change }, dependencies);
  onTestFinished(() => channel.close());
  return channel;
}

export function request(
  content: object = { text: 'Grüße' },
  { to = TO, ...change }: Partial<SendRequest> & { to?: string } = {},
): SendRequest {
  return {
    reference: REFERENCE,
    body: Buffer.from(JSON.stringify({ to, content })),
    attempt: 1,
    worker: 'worker-7f',
    generation: 3,
    timeoutMs: 5_000,
    ...change,
  };
}

/** The fake platform, an adapter that sends to it, and a receiver that it tells. */
export async function startAll(
  settings: SettingsPatch = {},
  { from, answer }: { from?: string; answer?: (number: number) => number } = {},
) {
  let channel: PlatformChannel | undefined;
  const receiver = await startReceiver(() => channel as PlatformChannel, answer);
  const webhook = { urls: [receiver.url], secret: TOKEN, previousSecret: OLD_TOKEN };
  const platform = createFakePlatform({
    seed: 7,
    profile: twilio,
    settings: [instant, { channels: { default: { token: TOKEN, webhook } } }, settings],
  });
  await platform.start();
  onTestFinished(() => platform.stop());
  channel = open(platform.url, { webhookUrl: receiver.url, ...(from === undefined ? {} : { from }) });
  return { platform, receiver, channel };
}

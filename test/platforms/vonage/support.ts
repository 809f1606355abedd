import { createHash, createHmac, generateKeyPairSync } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { createFakePlatform } from '../../../simulators/platform/platform.ts';
import { instant, type SettingsPatch } from '../../../simulators/platform/settings.ts';
import { API_KEY, vonage } from '../../../simulators/platform/vonage.ts';
import type { PlatformChannel, SendRequest, WebhookCall } from '../../../src/engine/ports.ts';
import type { PlatformChannelConfig, VonageSettings } from '../../../src/platforms/platform.ts';
import { createPlatformChannel } from '../../../src/platforms/registry.ts';
import { startReceiver } from '../twilio/receiver.ts';

export { API_KEY };
export const NOW_MS = Date.UTC(2026, 0, 1);
export const FROM = '15550100002';
export const TO = '15550100001';
export const TOKEN = `${API_KEY}:api-secret`;
export const SECRET = 'the signature secret';
export const OLD_SECRET = 'the secret before';
export const APPLICATION = '00000000-0000-4000-8000-0000000000aa';
export const REFERENCE = 'AAAAAAAAAAAqAAAAAAAHq83vEjRW';
export const WEBHOOK = 'https://hooks.example.test/v1/webhooks/default/main';

export const { privateKey, publicKey } = generateKeyPairSync('rsa', {
  modulusLength: 2_048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});

export const revealable = (value: string) => ({ reveal: () => value });

export interface Opening extends Partial<Omit<PlatformChannelConfig, 'vonage'>> {
  readonly vonage?: Partial<VonageSettings>;
  readonly webhookUrl?: string | null;
  readonly wallClockMs?: () => number;
}

export function open(
  baseUrl = 'http://127.0.0.1:1',
  { vonage: section = {}, webhookUrl = WEBHOOK, wallClockMs = () => NOW_MS, ...change }: Opening = {},
): PlatformChannel {
  const channel = createPlatformChannel(
    'vonage',
    {
      baseUrl,
      accessToken: revealable(TOKEN),
      webhookSecrets: [revealable(SECRET), revealable(OLD_SECRET)],
      lookup: false,
      maxConcurrentSends: 4,
      sendTimeoutMs: 5_000,
      vonage: { from: FROM, channel: 'sms', ...section },
      ...change,
    },
    { wallClockMs, webhookUrl },
  );
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
  { answer, ...opening }: Opening & { answer?: (number: number) => number } = {},
) {
  let channel: PlatformChannel | undefined;
  const receiver = await startReceiver(() => channel as PlatformChannel, answer);
  const webhook = { urls: [receiver.url], secret: SECRET, previousSecret: OLD_SECRET };
  const platform = createFakePlatform({
    seed: 7,
    profile: vonage,
    settings: [instant, { channels: { default: { token: TOKEN, webhook } } }, settings],
  });
  await platform.start();
  onTestFinished(() => platform.stop());
  channel = open(platform.url, { webhookUrl: receiver.url, ...opening });
  return { platform, receiver, channel };
}

export const sha256 = (body: string): string => createHash('sha256').update(body).digest('hex');

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A signed call; claims and header that a test gives are laid over right ones. */
export function callOf(
  body: string,
  claims: Record<string, unknown> = {},
  { secret = SECRET, alg = 'HS256' }: { secret?: string; alg?: string } = {},
): WebhookCall {
  const right = { iat: NOW_MS / 1_000, jti: 'one', iss: 'Vonage', payload_hash: sha256(body), api_key: API_KEY };
  const signed = `${encode({ alg, typ: 'JWT' })}.${encode({ ...right, ...claims })}`;
  const signature = createHmac('sha256', secret).update(signed).digest('base64url');
  return withAuthorization(body, `Bearer ${signed}.${signature}`);
}

export function withAuthorization(body: string | Uint8Array, authorization: string | undefined): WebhookCall {
  return { method: 'POST', target: '/', headers: { authorization }, raw: Buffer.from(body) };
}

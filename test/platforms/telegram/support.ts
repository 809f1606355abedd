import { onTestFinished } from 'vitest';
import type { PlatformChannel, SendRequest } from '../../../src/engine/ports.ts';
import type { PlatformChannelConfig } from '../../../src/platforms/platform.ts';
import { createPlatformChannel } from '../../../src/platforms/registry.ts';

export const NOW_MS = Date.UTC(2026, 0, 1);
export const TOKEN = '123456789:AAE-made_up_token_of_a_bot';
export const SECRET = 'present-secret_token';
export const PREVIOUS = 'previous-secret_token';

export const revealable = (text: string) => ({ reveal: () => text });

export function open(baseUrl: string, change: Partial<PlatformChannelConfig> = {}): PlatformChannel {
  const channel = createPlatformChannel(
    'telegram',
    {
      baseUrl,
      accessToken: revealable(TOKEN),
      webhookSecrets: [revealable(SECRET), revealable(PREVIOUS)],
      lookup: false,
      maxConcurrentSends: 8,
      sendTimeoutMs: 5_000,
      ...change,
    },
    { wallClockMs: () => NOW_MS, webhookUrl: null },
  );
  onTestFinished(() => channel.close());
  return channel;
}

export function messageTo(to: string, content: object = { text: 'Grüße' }, timeoutMs = 5_000): SendRequest {
  return {
    reference: 'AAAAAAAAAAAqAAAAAAAHq83vEjRW',
    body: Buffer.from(JSON.stringify({ to, content })),
    attempt: 1,
    worker: 'worker-7f',
    generation: 3,
    timeoutMs,
  };
}

/** What is shown: the platform, how Roomline deals with it, and the two ways that do without Roomline. */
import type { SettingsPatch } from '../platform/settings.ts';

export const CHANNEL = 'demo';
export const ACK_LOSS = 0.12;
export const PHONE = { medianMs: 600, p99Ms: 4_000 } as const;
export const ACK_TIMEOUT_MS = 5_000;
export const PAUSE_MS = 500;

/** Ways to send a room's messages without Roomline, each over a channel of its own. */
export const BASELINES = {
  atOnce: { channel: 'at-once', name: 'everything at once' },
  pause: { channel: 'fixed-pause', name: `fixed ${PAUSE_MS} ms pause` },
} as const;

export const CHANNELS = {
  [CHANNEL]: { unlockedBy: 'delivered', ackTimeoutMs: ACK_TIMEOUT_MS, maxConcurrentSends: 256, lookup: true },
} as const;

/** @param tokens of the baselines' channels */
export function platformSettings(tokens: Readonly<Record<keyof typeof BASELINES, string>>): SettingsPatch {
  const baseline = (way: keyof typeof BASELINES) => ({
    [BASELINES[way].channel]: {
      token: tokens[way],
      knobs: { request: { requireRoomlineHeaders: false } },
    },
  });
  return {
    message: {
      send: { responseDelayMs: { kind: 'lognormal', medianMs: 60, p99Ms: 300 } },
      phone: { delayMs: { kind: 'lognormal', ...PHONE } },
    },
    channels: {
      [CHANNEL]: {
        message: { status: { loseAllProbability: ACK_LOSS } },
        knobs: { webhooks: { batch: { minSize: 1, maxSize: 20, lingerMs: 10 } } },
      },
      ...baseline('atOnce'),
      ...baseline('pause'),
    },
  };
}

/** What is shown: the platform, how Roomline deals with it, and the two ways that do without Roomline. */
import type { SettingsPatch } from '../platform/settings.ts';
import type { RigOptions } from '../rig/rig.ts';
import type { DemoChannel } from './channels.ts';

export const CHANNEL = 'demo';
export const PAUSE_MS = 500;

/** Ways to send a room's messages without Roomline, each over a channel of its own. */
export const BASELINES = {
  atOnce: { channel: 'at-once', name: 'everything at once' },
  pause: { channel: 'fixed-pause', name: `fixed ${PAUSE_MS} ms pause` },
} as const;

/** Of the baselines' channels. */
export type Tokens = Readonly<Record<keyof typeof BASELINES, string>>;

/** What the rig needs to be told for this channel. */
export function rigOptions(
  { profile, policy, ackTimeoutMs, connections, fake }: DemoChannel,
  tokens: Tokens,
): Pick<RigOptions, 'profile' | 'channels' | 'development' | 'platform'> {
  const baseline = (way: keyof typeof BASELINES) => ({
    [BASELINES[way].channel]: {
      token: tokens[way],
      knobs: {
        limit: null,
        pairLimit: null,
        heavyLimit: null,
        groupLimit: null,
        queue: null,
        request: { requireRoomlineHeaders: false },
      },
    },
  });
  const unlimited = { [BASELINES.atOnce.channel]: { limit: null }, [BASELINES.pause.channel]: { limit: null } };
  const settings: SettingsPatch = {
    message: fake.message,
    channels: { [CHANNEL]: fake.own, ...baseline('atOnce'), ...baseline('pause') },
    accounts: unlimited,
  };
  return {
    profile,
    development: true,
    channels: { [CHANNEL]: { ackTimeoutMs, maxConcurrentSends: connections, ...policy } },
    platform: [settings],
  };
}

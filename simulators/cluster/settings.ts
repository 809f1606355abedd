/** The two ways of a run: a small one to watch, and the size that the figures are stated for. */
import type { SettingsPatch } from '../platform/settings.ts';
import type { NodePlan } from './fleet.ts';
import type { Timing } from './scene.ts';

export interface Mode {
  readonly ackTimeoutMs: number;
  readonly timing: Timing;
  readonly platform: SettingsPatch;
}

/** Several statuses in one call, as the large platforms have it. */
export const WEBHOOKS: SettingsPatch['channel'] = {
  webhooks: { batch: { minSize: 1, maxSize: 20, lingerMs: 10 }, connections: 32 },
};

/** A room sends about once a second, so that one that stands still shows. */
export const SHOW: Mode = {
  ackTimeoutMs: 2_000,
  timing: { killAfterMs: 6_000, pauseMs: 3_500 },
  platform: {
    message: {
      send: { responseDelayMs: { kind: 'lognormal', medianMs: 40, p99Ms: 150 } },
      phone: { delayMs: { kind: 'lognormal', medianMs: 600, p99Ms: 1_500 } },
      status: { sent: { delayMs: 30 }, delivered: { delayMs: 20, lossProbability: 0.05 } },
    },
    channel: WEBHOOKS,
  },
};

/**
 * Every room has a message in flight nearly all the time, and is due at a time of its own: some 300 messages a second,
 * so that two cores are not busy with that alone. Where they are, the figures tell how long work waits for a core.
 */
export const MEASURE: Mode = {
  ackTimeoutMs: 240_000,
  timing: { killAfterMs: 100_000, pauseMs: 15_000 },
  platform: {
    message: {
      send: { responseDelayMs: { kind: 'lognormal', medianMs: 150, p99Ms: 1_000 } },
      phone: { delayMs: { kind: 'uniform', minMs: 50_000, maxMs: 110_000 } },
      // One webhook call tells of each message once.
      status: { sent: { delayMs: 0 }, delivered: { delayMs: 0, lossProbability: 0 } },
    },
    channel: WEBHOOKS,
  },
};

export function nodesOf(workers: number): NodePlan[] {
  return [
    ...Array.from({ length: workers }, (_, index): NodePlan => ({ name: `worker-${index + 1}`, roles: ['worker'] })),
    { name: 'front-1', roles: ['api', 'webhook'] },
    { name: 'intake-1', roles: ['intake'] },
  ];
}

/** The engine and the platform of a chaos run: short leases and short ways, so that much happens in a minute. */
import type { SettingsPatch } from '../platform/settings.ts';

export const CHANNELS = ['alpha', 'beta'] as const;
/** Both channels belong to it: a 429 for the account hits both. */
const ACCOUNT = 'shared';

export const LEASE_MS = 2_000;
export const SEND_TIMEOUT_MS = 1_000;
/** While a channel gets no acks it waits this long only: the shortest wait for an ack that the oracle may accept. */
export const GAP_MS = 500;

export const ENGINE_SETTINGS = {
  ownership: { leaseMs: LEASE_MS, renewEveryMs: 400, sweepEveryMs: 1_000 },
  postgres: { statementTimeoutMs: 2_000, connectTimeoutMs: 2_000 },
  // Everything that can be logged is logged, so that what must not be there would be found.
  log: { level: 'debug' },
  channelDefaults: {
    ackTimeoutMs: 2_000,
    sendTimeoutMs: SEND_TIMEOUT_MS,
    backoff: { initialMs: 100, maxMs: 1_000, factor: 2, jitter: 0.2 },
    unknownGraceMs: 300,
    ackOutage: { afterMs: 2_000, minTimeouts: 10, gapMs: GAP_MS },
    probe: { initialMs: 250, maxMs: 1_000 },
  },
};

/** A fleet's processes share the server's connections. */
export const FLEET_POSTGRES = { max_connections: '300' };

export const CHANNEL_POLICIES = Object.fromEntries(CHANNELS.map((name) => [name, { account: ACCOUNT }]));

/** Statuses told in one webhook call. */
export const BATCHES = { minSize: 1, maxSize: 20, lingerMs: 10 };

/** Share of the statuses that come twice without any storm. */
export const DUPLICATED = 0.02;

/** Quick, and not quite healthy: some acks are always lost, late, early or doubled. */
export const PLATFORM: SettingsPatch = {
  message: {
    send: { responseDelayMs: { kind: 'lognormal', medianMs: 20, p99Ms: 150 } },
    phone: { delayMs: { kind: 'lognormal', medianMs: 60, p99Ms: 600 } },
    status: {
      sent: { delayMs: { kind: 'lognormal', medianMs: 30, p99Ms: 200 } },
      early: { probability: 0.02, holdMs: 200 },
      late: { probability: 0.02, delayMs: 3_000 },
      duplicate: { probability: DUPLICATED, copies: 1, gapMs: 20 },
      outOfOrder: { probability: 0.02 },
      delivered: { lossProbability: 0.02 },
    },
  },
  // Refused webhooks come again soon; what gathers while nobody takes them does not come one by one.
  channel: { webhooks: { timeScale: 0.1, deadlineMs: 3_000, batch: BATCHES } },
};

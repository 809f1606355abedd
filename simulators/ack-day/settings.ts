/** Settings as `config/default.json` has them; the day adds X of each channel, and the policies that are compared. */
import { loadConfig } from '../../src/config.ts';
import type { EngineSettings } from '../../src/engine/engine.ts';
import type { ChannelSettings } from '../../src/engine/policy.ts';
import { CHARACTERS } from './characters.ts';

export interface DayPolicy {
  readonly name: string;
  /** Over the defaults. */
  readonly ackTimeout: { readonly mode: 'fixed' | 'adaptive'; readonly quantile?: number; readonly factor?: number };
  /** Ack outages are looked for. */
  readonly outages: boolean;
}

export const POLICIES: readonly DayPolicy[] = [
  { name: 'fixed X', ackTimeout: { mode: 'fixed' }, outages: false },
  { name: 'fixed X, outage mode', ackTimeout: { mode: 'fixed' }, outages: true },
  { name: 'adaptive X', ackTimeout: { mode: 'adaptive' }, outages: false },
  { name: 'adaptive X, outage mode', ackTimeout: { mode: 'adaptive' }, outages: true },
  { name: '... and quantile 0.97', ackTimeout: { mode: 'adaptive', quantile: 0.97 }, outages: true },
];

const NEVER_MS = 86_400_000;
const NEVER_COUNT = 2_147_483_647;

/** The process is alone: nothing has to be found that it did not do itself. */
const LOOK_EVERY_MS = 60_000;

export interface DaySettings {
  readonly engine: EngineSettings;
  readonly channels: readonly ChannelSettings[];
  /** The share of the acks within X for which an adaptive X is to wait. */
  readonly quantile: number;
}

export function readSettings(policy: DayPolicy): DaySettings {
  const config = loadConfig({
    env: {},
    overrides: {
      postgres: { url: 'postgres://simulation@127.0.0.1/simulation' },
      reference: { secret: 'the secret of a simulation, of 32 characters at least' },
      channels: Object.fromEntries(
        CHARACTERS.map(({ name, ackTimeoutMs }) => [
          name,
          {
            account: name,
            platform: 'generic',
            baseUrl: 'http://127.0.0.1',
            accessToken: 'simulation',
            webhookSecrets: ['the secret of a simulation'],
            ackTimeoutMs,
            ackTimeout: policy.ackTimeout,
            ...(policy.outages ? {} : { ackOutage: { afterMs: NEVER_MS, minTimeouts: NEVER_COUNT } }),
          },
        ]),
      ),
    },
  });
  const { postgres, batching, memory, ownership } = config;
  return {
    engine: {
      name: 'node',
      roles: ['intake', 'api', 'webhook', 'worker'],
      shards: postgres.shards,
      lanes: postgres.lanes,
      maxBatchRows: batching.maxRows,
      maxWaiting: batching.maxWaiting,
      maxWaitingBytes: batching.maxWaitingBytes,
      lingerMs: batching.lingerMs,
      acceptanceLingerMs: batching.acceptanceLingerMs,
      bodyCacheBytes: memory.bodyCacheBytes,
      ...ownership,
      leaseMs: 4 * LOOK_EVERY_MS,
      renewEveryMs: LOOK_EVERY_MS,
      pollEveryMs: LOOK_EVERY_MS,
      sweepEveryMs: LOOK_EVERY_MS,
      sweepWithoutSignalsMs: LOOK_EVERY_MS,
    },
    channels: config.channels.map((channel) => ({
      key: { tenant: channel.tenant, channel: channel.name },
      account: channel.account,
      platform: channel.platform,
      policy: channel,
      ...(channel.ackTimeout.mode === 'adaptive' ? { adaptiveAckTimeout: channel.ackTimeout } : {}),
      sendTimeoutMs: channel.sendTimeoutMs,
      maxConcurrentSends: channel.maxConcurrentSends,
      channelLimit: channel.channelLimit,
      accountLimit: channel.accountLimit,
      echoesReference: channel.echoesReference,
      ackOutage: channel.ackOutage,
      probe: channel.probe,
    })),
    quantile: config.channels[0]?.ackTimeout.quantile ?? Number.NaN,
  };
}

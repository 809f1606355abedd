/** The settings of a WhatsApp channel and of the engine, as `config/default.json` has them. */
import { loadConfig } from '../../src/config.ts';
import type { EngineSettings } from '../../src/engine/engine.ts';
import type { ChannelSettings } from '../../src/engine/policy.ts';
import type { RateLimit } from '../../src/engine/ports.ts';

export const CHANNEL = { tenant: 'default', channel: 'number' };

export interface HourSettings {
  readonly engine: Omit<EngineSettings, 'name'>;
  readonly channel: ChannelSettings;
}

/** @param scale of the number's limits: 1 leaves them as they are configured */
export function readSettings(scale: number): HourSettings {
  const config = loadConfig({
    env: {},
    overrides: {
      postgres: { url: 'postgres://simulation@127.0.0.1/simulation' },
      reference: { secret: 'the secret of a simulation, of 32 characters at least' },
      channels: {
        [CHANNEL.channel]: {
          account: 'account',
          platform: 'whatsapp',
          accessToken: 'simulation',
          webhookSecrets: ['the secret of a simulation'],
          whatsapp: { phoneNumberId: '900000000000002' },
        },
      },
    },
  });
  const [channel] = config.channels;
  if (channel === undefined) throw new Error('the configuration has no channel');
  const { postgres, batching, memory, ownership } = config;
  return {
    engine: {
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
    },
    channel: {
      key: CHANNEL,
      account: channel.account,
      platform: channel.platform,
      policy: channel,
      sendTimeoutMs: channel.sendTimeoutMs,
      maxConcurrentSends: channel.maxConcurrentSends,
      channelLimit: scaled(channel.channelLimit, scale),
      accountLimit: scaled(channel.accountLimit, scale),
      echoesReference: channel.echoesReference,
      ...(channel.ackTimeout.mode === 'adaptive' ? { adaptiveAckTimeout: channel.ackTimeout } : {}),
      ackOutage: channel.ackOutage,
      probe: channel.probe,
    },
  };
}

function scaled({ perSecond, burst }: RateLimit, scale: number): RateLimit {
  return { perSecond: perSecond * scale, burst: Math.max(1, Math.round(burst * scale)) };
}

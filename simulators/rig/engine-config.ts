import { hashKey } from '../../src/http/keys.ts';
import type { ProfileName } from '../platform/profiles.ts';
import { CREDENTIALS } from './credentials.ts';
import { PROJECT_ID, SUBSCRIPTION } from './pubsub.ts';
import type { Secrets } from './secrets.ts';

export interface EngineConfigOptions {
  readonly httpPort: number;
  readonly postgresUrl: string;
  readonly pubsubAddress: string;
  readonly platformUrl: string;
  /** Which platform that is; the generic one by default. */
  readonly profile?: ProfileName;
  /** Policies of the channels, by name: what `channels.<name>` may say beside who it is. */
  readonly channels: Readonly<Record<string, object>>;
  /** Laid over all the rest, section by section. */
  readonly settings?: Readonly<Record<string, object>>;
}

/** The secrets that both ends of a channel know. */
export const tokenOf = (channel: string): string => `token-${channel}`;
export const WEBHOOK_SECRET = 'webhook';

/** The configuration of an engine on these parts. It holds no secret, but says in which files they are. */
export function engineConfig(options: EngineConfigOptions, secrets: Secrets): object {
  const { profile = 'generic' } = options;
  const { accessToken, signsWithToken } = CREDENTIALS[profile];
  // Some platforms are told in each request where its statuses go.
  const address = profile === 'generic' ? {} : { publicUrl: `http://127.0.0.1:${options.httpPort}` };
  const sections: Record<string, object> = {
    http: { host: '127.0.0.1', port: options.httpPort, ...address },
    auth: {
      keys: [{ name: 'rig', hash: hashKey(secrets.apiKey()), scopes: ['publish', 'read', 'operate'] }],
    },
    postgres: { url: { file: secrets.write('postgres-url', options.postgresUrl) } },
    pubsub: { enabled: true, projectId: PROJECT_ID, subscription: SUBSCRIPTION, endpoint: options.pubsubAddress },
    reference: { secret: { file: secrets.file('reference') } },
  };
  for (const [name, values] of Object.entries(options.settings ?? {})) {
    sections[name] = { ...sections[name], ...values };
  }
  const channels = Object.entries(options.channels).map(([name, policy]) => [
    name,
    {
      account: name,
      platform: profile,
      baseUrl: options.platformUrl,
      accessToken: { file: secrets.file(tokenOf(name), accessToken) },
      webhookSecrets: [
        { file: signsWithToken ? secrets.file(tokenOf(name), accessToken) : secrets.file(WEBHOOK_SECRET) },
      ],
      ...policy,
    },
  ]);
  return { ...sections, channels: Object.fromEntries(channels) };
}

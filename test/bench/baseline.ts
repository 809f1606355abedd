import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { Child } from '../../simulators/rig/child.ts';
import { PROJECT_ID, SUBSCRIPTION } from '../../simulators/rig/pubsub.ts';
import type { Rig } from '../../simulators/rig/rig.ts';
import type { BaselineConfig } from './baseline-one-transaction.ts';

export const BASELINE_CHANNEL = 'baseline';
const DATABASE = 'baseline';
const SECRETS = { token: 'baseline-token', webhook: 'baseline-webhook' };
const SCRIPT = fileURLToPath(new URL('baseline-one-transaction.ts', import.meta.url));

export interface Baseline {
  readonly child: Child;
  readonly databaseUrl: string;
}

/** Starts it in place of Roomline: on the same servers and subscription, with a database and a channel of its own. */
export async function startBaseline(rig: Rig, maxConcurrentSends: number, signal: AbortSignal): Promise<Baseline> {
  const admin = new pg.Client({ connectionString: rig.postgres.url() });
  await admin.connect();
  try {
    await admin.query(`CREATE DATABASE ${DATABASE}`);
  } finally {
    await admin.end();
  }
  const databaseUrl = rig.postgres.url(DATABASE);
  const config: BaselineConfig = {
    postgresUrl: databaseUrl,
    projectId: PROJECT_ID,
    subscription: SUBSCRIPTION,
    pubsubEndpoint: rig.pubsub.address,
    maxOutstandingMessages: 5_000,
    platformUrl: rig.platform.url,
    accessToken: rig.secrets.read(SECRETS.token),
    webhookSecret: rig.secrets.read(SECRETS.webhook),
    maxConcurrentSends,
  };
  const file = join(rig.directory, 'baseline.json');
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  const [child, url] = await Child.start<string>({
    name: 'baseline',
    directory: rig.directory,
    command: [SCRIPT, file],
    ready: (line) => (line.startsWith('{"url"') ? (JSON.parse(line) as { url: string }).url : null),
    signal,
  });
  await rig.platform.change({
    channels: {
      [BASELINE_CHANNEL]: {
        token: config.accessToken,
        webhook: { urls: [`${url}/webhooks`], secret: config.webhookSecret },
      },
    },
  });
  return { child, databaseUrl };
}

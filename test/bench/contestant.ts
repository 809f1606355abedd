/**
 * What Roomline is compared with: processes that do the same job on the same Postgres, Pub/Sub and platform. Each is a
 * script, run as `node SCRIPT CONFIG.json`, that prints one line `{"url": …}`, the address of its webhook, when it is
 * ready, and ends on SIGTERM.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { OracleOptions } from '../../simulators/oracle/types.ts';
import { Child } from '../../simulators/rig/child.ts';
import { PROJECT_ID, SUBSCRIPTION } from '../../simulators/rig/pubsub.ts';
import type { Rig } from '../../simulators/rig/rig.ts';
import type { Engine } from './engine.ts';
import { startRedisServer } from './system.ts';

export interface Contestant {
  readonly name: string;
  readonly script: string;
  /** After the configuration file. */
  readonly args?: readonly string[];
  /** It gets a Redis of its own, with an append-only file. */
  readonly needsRedis: boolean;
  /** `none`: it promises no order, so that losses alone are judged. */
  readonly discipline: NonNullable<OracleOptions['discipline']>;
  /** Whether what it needs is installed. */
  readonly installed: () => boolean;
}

/** What its configuration file holds. */
export interface ContestantConfig {
  /** Of a database of its own, which is empty. */
  readonly postgresUrl: string;
  readonly redisUrl: string | null;
  readonly projectId: string;
  readonly subscription: string;
  /** host:port */
  readonly pubsubEndpoint: string;
  readonly maxOutstandingMessages: number;
  readonly platformUrl: string;
  readonly accessToken: string;
  readonly webhookSecret: string;
  /** Requests to the platform in flight at once. */
  readonly maxConcurrentSends: number;
  readonly ackTimeoutMs: number;
}

export interface ContestOptions {
  readonly maxConcurrentSends: number;
  readonly ackTimeoutMs: number;
  readonly signal: AbortSignal;
}

export const ONE_TRANSACTION: Contestant = {
  name: 'one transaction per step',
  script: fileURLToPath(new URL('baseline-one-transaction.ts', import.meta.url)),
  needsRedis: false,
  discipline: 'roomline',
  installed: () => true,
};

const MAX_OUTSTANDING = 5_000;

/** Starts it in place of Roomline, on the same servers and subscription, with a database and a channel of its own. */
export async function startContestant(contestant: Contestant, rig: Rig, options: ContestOptions): Promise<Engine> {
  const channel = contestant.name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  const secrets = { token: rig.secrets.read(`${channel}-token`), webhook: rig.secrets.read(`${channel}-webhook`) };
  const database = channel.replaceAll('-', '_');
  const databaseUrl = await createDatabase(rig, database);
  const redis = contestant.needsRedis ? await startRedisServer() : null;
  const release = async (): Promise<void> => void (await redis?.stop());
  try {
    const config: ContestantConfig = {
      postgresUrl: databaseUrl,
      redisUrl: redis?.url ?? null,
      projectId: PROJECT_ID,
      subscription: SUBSCRIPTION,
      pubsubEndpoint: rig.pubsub.address,
      maxOutstandingMessages: MAX_OUTSTANDING,
      platformUrl: rig.platform.url,
      accessToken: secrets.token,
      webhookSecret: secrets.webhook,
      maxConcurrentSends: options.maxConcurrentSends,
      ackTimeoutMs: options.ackTimeoutMs,
    };
    const file = join(rig.directory, `${channel}.json`);
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    const [child, url] = await Child.start<string>({
      name: channel,
      directory: rig.directory,
      command: [contestant.script, file, ...(contestant.args ?? [])],
      ready: (line) => (line.startsWith('{"url"') ? (JSON.parse(line) as { url: string }).url : null),
      signal: options.signal,
    });
    const webhook = { urls: [url], secret: secrets.webhook };
    await rig.platform.change({ channels: { [channel]: { token: secrets.token, webhook } } });
    return {
      name: contestant.name,
      channel,
      discipline: contestant.discipline,
      pids: [child.pid],
      redisPid: redis?.pid ?? null,
      databaseUrl,
      metrics: async () => null,
      final: async () => undefined,
      stop: async () => {
        if (!child.running) throw new Error(`${contestant.name} has ended by itself; see ${child.logFile}`);
        await child.stop();
        await rig.platform.change({ channels: { [channel]: { webhook: null } } });
        await release();
      },
      end: async () => {
        await child.kill9();
        await rig.platform.change({ channels: { [channel]: null } });
        await release();
      },
    };
  } catch (error) {
    await release();
    throw error;
  }
}

async function createDatabase(rig: Rig, name: string): Promise<string> {
  const admin = new pg.Client({ connectionString: rig.postgres.url() });
  await admin.connect();
  try {
    await admin.query(`CREATE DATABASE ${name}`);
  } finally {
    await admin.end();
  }
  return rig.postgres.url(name);
}

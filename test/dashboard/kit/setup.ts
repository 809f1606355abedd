/**
 * One running system for the tests of the dashboard: real Postgres, real Pub/Sub server, fake platform, and two Roomline
 * processes in development mode, one of which only sends. Tests have rooms of their own. What ends a process or fills the
 * database starts a system of its own.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { Fleet } from '../../../simulators/cluster/fleet.ts';
import type { SettingsPatch } from '../../../simulators/platform/settings.ts';
import { buildDashboard } from '../../../simulators/rig/dashboard.ts';
import { Secrets } from '../../../simulators/rig/secrets.ts';
import { createKey, hashKey } from '../../../src/http/keys.ts';
import { leaveOut } from '../../support/optional.ts';
import { chromiumIsMissing, findChromium, installChromium } from './chromium.ts';

export interface ProvidedSystem {
  /** Where a process with every role is. */
  readonly url: string;
  readonly key: string;
  /** May do as much, but is bound to the tenant `acme`. */
  readonly acmeKey: string;
}

declare module 'vitest' {
  export interface ProvidedContext {
    /** The program; null where there is none. */
    readonly chromiumProgram: string | null;
    /** Null where there is no browser to look at it. */
    readonly dashboardSystem: ProvidedSystem | null;
  }
}

/** The process that serves the dashboard, and the one beside it. */
export const FRONT = 'front-1';
export const WORKER = 'worker-1';

/**
 * `main` is as usual; the acks of `quiet` never come; `slow` gives the platform time, so that what goes on can be seen;
 * `shop` is of another tenant.
 */
export const CHANNELS = {
  main: {},
  quiet: { ackTimeoutMs: 250, ackOutage: { afterMs: 1_000, minTimeouts: 3, gapMs: 100 } },
  slow: { sendTimeoutMs: 2_000, unknownGraceMs: 10_000 },
  shop: { tenant: 'acme' },
} as const;

export const SETTINGS = {
  ownership: { leaseMs: 3_000, renewEveryMs: 500, sweepEveryMs: 1_000, stallLimitMs: 600_000 },
  channelDefaults: {
    ackTimeoutMs: 5_000,
    sendTimeoutMs: 1_000,
    backoff: { initialMs: 100, maxMs: 1_000, factor: 2, jitter: 0.2 },
    unknownGraceMs: 300,
  },
} as const;

export const PLATFORM: readonly SettingsPatch[] = [
  {
    message: {
      send: { responseDelayMs: { kind: 'lognormal', medianMs: 15, p99Ms: 100 } },
      phone: { delayMs: { kind: 'lognormal', medianMs: 60, p99Ms: 400 } },
      status: { sent: { delayMs: { kind: 'lognormal', medianMs: 30, p99Ms: 200 } } },
    },
    channels: { quiet: { message: { status: { loseAllProbability: 1 } } } },
  },
];

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const program = findChromium() ?? afterInstalling();
  project.provide('chromiumProgram', program);
  project.provide('dashboardSystem', null);
  if (program === null) return async () => undefined;

  const directory = mkdtempSync(join(tmpdir(), 'roomline-dashboard-'));
  // As root, Postgres runs under another account, which must be able to enter.
  chmodSync(directory, 0o755);
  try {
    await buildDashboard();
    const acme = createKey();
    const fleet = await startDashboardSystem(directory, acme.hash);
    const { url } = fleet.node(FRONT).process;
    project.provide('dashboardSystem', { url, key: fleet.rig.apiKey, acmeKey: acme.key });
    return async () => {
      await fleet.stop();
      rmSync(directory, { recursive: true, force: true });
    };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}

/** @param directory of everything: data, secrets, configuration, logs */
function startDashboardSystem(directory: string, acmeHash: string): Promise<Fleet> {
  const scopes = ['publish', 'read', 'operate'];
  const keys = [
    { name: 'rig', hash: hashKey(new Secrets(directory).apiKey()), scopes },
    { name: 'acme', hash: acmeHash, scopes, tenants: ['acme'] },
  ];
  return Fleet.start({
    directory,
    seed: 1,
    nodes: [
      { name: FRONT, roles: ['intake', 'api', 'webhook', 'worker'] },
      { name: WORKER, roles: ['worker'] },
    ],
    channels: CHANNELS,
    settings: { ...SETTINGS, auth: { keys } },
    platform: PLATFORM,
    development: true,
  });
}

function afterInstalling(): string | null {
  const trouble = installChromium();
  const program = trouble === null ? findChromium() : null;
  if (program === null) leaveOut('chromium', chromiumIsMissing(trouble), 'the dashboard is not tested');
  return program;
}

/** What is loaded: a complete system of its own whose API runs in one process or in several. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { freePort } from '../../simulators/free-port.ts';
import { Child } from '../../simulators/rig/child.ts';
import { DATABASE } from '../../simulators/rig/database.ts';
import { EngineProcess } from '../../simulators/rig/engine.ts';
import { engineConfig } from '../../simulators/rig/engine-config.ts';
import { type Rig, startRig } from '../../simulators/rig/rig.ts';
import { cpuMsWithChildren, memoryMb } from '../bench/machine.ts';
import { type Accepted, check, type Finding, storedIn } from './check.ts';
import { LOAD_CHANNEL } from './messages.ts';

export interface TargetOptions {
  /** Processes with the role `api`. */
  readonly processes: number;
  /** What else they do, such as `worker`; nothing by default, so that what they take in waits. */
  readonly roles?: readonly string[];
  /** Folder of the server's programs; null for the embedded server. */
  readonly postgres: string | null;
  /** Laid over Roomline's settings, section by section. */
  readonly settings: Readonly<Record<string, object>>;
  readonly environment?: Readonly<Record<string, string>>;
  /** Folder for CPU profiles of the API's processes; null for none. */
  readonly profile: string | null;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** A rule was broken: none of the run's figures counts. */
export class RunNotClean extends Error {
  override readonly name = 'RunNotClean';
}

const ACK_DELAY = { kind: 'uniform', minMs: 0, maxMs: 5 } as const;
const EMPTY_ROUTE = fileURLToPath(new URL('empty-route.ts', import.meta.url));

export class Target {
  readonly rig: Rig;
  readonly processes: readonly EngineProcess[];
  readonly #options: TargetOptions;

  constructor(rig: Rig, processes: readonly EngineProcess[], options: TargetOptions) {
    this.rig = rig;
    this.processes = processes;
    this.#options = options;
  }

  get urls(): string[] {
    return this.processes.map(({ url }) => url);
  }

  get key(): string {
    return this.rig.apiKey;
  }

  get databaseUrl(): string {
    return this.rig.postgres.url(DATABASE);
  }

  /** CPU time so far, in ms. */
  cpu(): { readonly api: number; readonly postgres: number } {
    return {
      api: this.#pids().reduce((sum, pid) => sum + cpuMsWithChildren(pid), 0),
      postgres: cpuMsWithChildren(this.rig.postgres.pid ?? 0),
    };
  }

  /** Resident memory of the API's processes, in MB. */
  memoryMb(): number {
    return this.#pids().reduce((sum, pid) => sum + memoryMb(pid), 0);
  }

  #pids(): number[] {
    return this.processes.flatMap(({ child }) => (child?.running && child.pid !== undefined ? [child.pid] : []));
  }

  /** The worker that sends what waits. */
  startWorker(): Promise<void> {
    return this.rig.engine.start();
  }

  async query<T extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<T[]> {
    const client = new pg.Client({ connectionString: this.databaseUrl });
    await client.connect();
    try {
      return (await client.query<T>(text, [...values])).rows;
    } finally {
      await client.end();
    }
  }

  /** @throws RunNotClean where the database has not just what was accepted */
  async check(roomPrefix: string, accepted: readonly Accepted[]): Promise<Finding> {
    const finding = check(accepted, await storedIn(this.databaseUrl, roomPrefix));
    if (finding.wrong.length > 0) throw new RunNotClean(`The run is not clean:\n  ${finding.wrong.join('\n  ')}`);
    return finding;
  }

  /** Runs `work` beside an empty route of the same framework in a process of its own. */
  async withEmptyRoute<T>(work: (url: string) => Promise<T>): Promise<T> {
    const [child, url] = await Child.start<string>({
      name: 'empty-route',
      directory: this.rig.directory,
      command: [EMPTY_ROUTE],
      ready: (line) => (line.startsWith('{"url"') ? (JSON.parse(line) as { url: string }).url : null),
      signal: this.#options.signal,
    });
    try {
      return await work(url);
    } finally {
      await child.stop();
    }
  }
}

/** Runs `work` on a system of its own; nothing is left of it afterwards. */
export async function withTarget<T>(options: TargetOptions, work: (target: Target) => Promise<T>): Promise<T> {
  const { processes: count, roles = [], postgres, settings, signal, say } = options;
  const directory = join(tmpdir(), `roomline-load-${randomBytes(6).toString('hex')}`);
  const channels = { [LOAD_CHANNEL]: { ackTimeoutMs: 120_000, maxConcurrentSends: 256 } };
  const httpPort = await freePort();
  try {
    const rig = await startRig({
      directory,
      httpPort,
      channels,
      // The worker of its own, where one is started; it takes the platform's webhooks as well.
      settings: { ...settings, node: { name: 'worker', roles: ['worker', 'webhook'] } },
      leanPlatform: { defaults: { ackDelayMs: ACK_DELAY } },
      startEngine: false,
      signal,
      warn: say,
      ...(postgres === null
        ? {}
        : { postgres: { binaries: postgres, settings: { shared_preload_libraries: 'pg_stat_statements' } } }),
    });
    try {
      const processes = await Promise.all(
        Array.from({ length: count }, async (_, index) => {
          // The platform's webhooks go to that port.
          const port = roles.includes('webhook') ? httpPort : await freePort();
          return startProcess(rig, { name: `api-${index + 1}`, port, roles: [...roles, 'api'], channels }, options);
        }),
      );
      try {
        return await work(new Target(rig, processes, options));
      } finally {
        for (const process of processes) await process.stop();
      }
    } finally {
      await rig.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

interface ProcessPlan {
  readonly name: string;
  readonly port: number;
  readonly roles: readonly string[];
  readonly channels: Readonly<Record<string, object>>;
}

async function startProcess(
  rig: Rig,
  { name, port, roles, channels }: ProcessPlan,
  { settings, environment = {}, profile, signal }: TargetOptions,
): Promise<EngineProcess> {
  if (profile !== null) mkdirSync(profile, { recursive: true });
  const nodeOptions = [environment.NODE_OPTIONS, profile === null ? undefined : `--cpu-prof --cpu-prof-dir=${profile}`];
  const process = new EngineProcess({
    directory: rig.directory,
    name,
    config: engineConfig(
      {
        httpPort: port,
        postgresUrl: rig.postgres.url(DATABASE),
        pubsubAddress: rig.pubsub.address,
        platformUrl: rig.platform.url,
        channels,
        settings: { ...settings, node: { name, roles } },
      },
      rig.secrets,
    ),
    apiKey: rig.apiKey,
    environment: { ...environment, NODE_OPTIONS: nodeOptions.filter(Boolean).join(' ') },
    signal,
  });
  await process.start();
  return process;
}

import { mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { FinalRow, OracleOptions } from '../../simulators/oracle/types.ts';
import { DATABASE } from '../../simulators/rig/database.ts';
import type { Metrics } from '../../simulators/rig/metrics.ts';
import type { Rig } from '../../simulators/rig/rig.ts';
import { readProfile, summariseProfile } from './profile.ts';
import { redisPidOf } from './system.ts';
import type { WorkloadContext } from './workload.ts';

/** What is measured while it runs: Roomline, or what it is compared with. */
export interface Engine {
  readonly name: string;
  readonly channel: string;
  readonly discipline: NonNullable<OracleOptions['discipline']>;
  /** Their children count as well. */
  readonly pids: readonly number[];
  readonly redisPid: number | null;
  readonly databaseUrl: string;
  /** Null where it has none. */
  readonly metrics: () => Promise<Metrics | null>;
  /** What the database says in the end of the rooms whose names begin so; undefined where nobody can tell. */
  readonly final: (roomPrefix: string) => Promise<FinalRow[] | undefined>;
  /** @throws Error where it has ended by itself */
  readonly stop: () => Promise<void>;
  /** However it is, it ends. */
  readonly end: () => Promise<void>;
}

/** Starts Roomline, under Node's CPU profiler where one is asked for. */
export async function startRoomline(rig: Rig, channel: string, context: WorkloadContext): Promise<Engine> {
  const pid = await startEngine(rig, context);
  return {
    name: 'Roomline',
    channel,
    discipline: 'roomline',
    pids: [pid],
    redisPid: redisPidOf(rig),
    databaseUrl: rig.postgres.url(DATABASE),
    metrics: () => rig.engine.metrics(),
    final: (roomPrefix) => rig.database.finalState(channel, roomPrefix),
    stop: async () => {
      const end = await rig.engine.stop();
      if (end?.code !== 0) throw new Error(`Roomline ended with ${end?.code ?? end?.signal ?? 'nothing'}`);
      sayProfile(context);
    },
    end: () => rig.engine.kill9(),
  };
}

export async function startEngine(rig: Rig, { options, run }: WorkloadContext): Promise<number> {
  const before = process.env.NODE_OPTIONS;
  if (options.nodeOptions !== '') process.env.NODE_OPTIONS = `${before ?? ''} ${options.nodeOptions}`;
  if (options.profile !== null) {
    const folder = profileFolder(options.profile, run);
    mkdirSync(folder, { recursive: true });
    process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} --cpu-prof --cpu-prof-dir=${folder}`;
  }
  try {
    await rig.engine.start();
  } finally {
    if (before === undefined) delete process.env.NODE_OPTIONS;
    else process.env.NODE_OPTIONS = before;
  }
  return rig.engine.child?.pid ?? 0;
}

const FUNCTIONS_SHOWN = 25;
const PACKAGES_SHOWN = 15;

/** Prints where the engine that has just stopped spent its time. Nothing without a profile. */
export function sayProfile({ options, run, say }: WorkloadContext): void {
  if (options.profile === null) return;
  const folder = profileFolder(options.profile, run);
  for (const name of readdirSync(folder)) {
    const { busyMs, functions, packages } = summariseProfile(readProfile(join(folder, name)));
    say(`${join(folder, name)}: ${Math.round(busyMs)} ms busy, from its start to its end`);
    for (const list of [packages.slice(0, PACKAGES_SHOWN), functions.slice(0, FUNCTIONS_SHOWN)]) {
      for (const { name, share, ms } of list) {
        say(`  ${(share * 100).toFixed(1).padStart(5)} %  ${String(Math.round(ms)).padStart(6)} ms  ${name}`);
      }
      say('');
    }
  }
}

function profileFolder(folder: string, run: string): string {
  return join(resolve(folder), run);
}

import { mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Rig } from '../../simulators/rig/rig.ts';
import { readProfile, summariseProfile } from './profile.ts';
import type { WorkloadContext } from './workload.ts';

/** Starts Roomline, under Node's CPU profiler where one is asked for. */
export async function startEngine(rig: Rig, { options, run }: WorkloadContext): Promise<number> {
  const before = process.env.NODE_OPTIONS;
  if (options.profile !== null) {
    const folder = profileFolder(options.profile, run);
    mkdirSync(folder, { recursive: true });
    process.env.NODE_OPTIONS = `${before ?? ''} --cpu-prof --cpu-prof-dir=${folder}`;
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

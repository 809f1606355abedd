/** Which children run, in files, so that those of a killed run are found by the next one. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { commandLine } from '../postgres/lock.ts';

const DEADLINE_MS = 10_000;

export function remember(directory: string, name: string, pid: number): void {
  mkdirSync(processes(directory), { recursive: true });
  writeFileSync(join(processes(directory), name), `${pid}\n`);
}

export function forget(directory: string, name: string): void {
  rmSync(join(processes(directory), name), { force: true });
}

/** Kills what an earlier rig on this folder left running; its files say who, its command line says that it is still it. */
export async function endLeftovers(directory: string, say: (line: string) => void): Promise<void> {
  mkdirSync(processes(directory), { recursive: true });
  for (const name of readdirSync(processes(directory))) {
    const pid = Number.parseInt(readFileSync(join(processes(directory), name), 'utf8'), 10);
    const isOurs = () => commandLine(pid)?.includes(directory) ?? false;
    if (pid > 0 && isOurs()) {
      say(`Ending the ${name} (process ${pid}) that an earlier run left behind`);
      process.kill(pid, 'SIGKILL');
      // Not our child: there is no event to wait for.
      const deadline = performance.now() + DEADLINE_MS;
      while (isOurs()) {
        if (performance.now() > deadline) throw new Error(`the ${name} (process ${pid}) does not end`);
        await delay(20);
      }
    }
    forget(directory, name);
  }
}

function processes(directory: string): string {
  return join(directory, 'processes');
}

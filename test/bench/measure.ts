/**
 * Everything that `npm run plan` is made of, measured again: `node test/bench/measure.ts`. The workloads of the bench at
 * their full size, one after the other, into simulators/plan/measured/; then the unit costs from them. Some ten minutes
 * on a machine that has nothing else to do, and worthless on one that has.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onInterruption } from '../../simulators/demo/interruption.ts';

const BENCH = fileURLToPath(new URL('main.ts', import.meta.url));
const PLAN = fileURLToPath(new URL('../../simulators/plan/main.ts', import.meta.url));
const MEASURED = fileURLToPath(new URL('../../simulators/plan/measured/', import.meta.url));
const WORKLOADS = ['costs', 'throughput', 'quiet', 'steady', 'timeouts', 'chat'];

/** Ends the present command. */
let end = (): unknown => undefined;
onInterruption(() => end());
process.exitCode = await main();

/** Of the first command that fails, its status. */
async function main(): Promise<number> {
  mkdirSync(MEASURED, { recursive: true });
  const bench = (name: string) => ['--workload', name, '--against', 'none', '--json', `${MEASURED}${name}.json`];
  const commands = [
    ...WORKLOADS.map((name) => [BENCH, ...bench(name)]),
    [PLAN, '--calibrate', `${MEASURED}costs.json`],
    [PLAN, '--validate'],
  ];
  for (const command of commands) {
    const child = spawn(process.execPath, command, { stdio: 'inherit' });
    end = () => child.kill('SIGTERM');
    const [status] = (await once(child, 'close')) as [number | null];
    if (status !== 0) return status ?? 1;
  }
  return 0;
}

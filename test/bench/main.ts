/** `npm run bench`: measures Roomline on real parts. Prints no figure of a run in which a rule was broken. */
import { writeFileSync } from 'node:fs';
import { onInterruption } from '../../simulators/demo/interruption.ts';
import { chat, soak, steady } from './arrivals.ts';
import { costs } from './costs.ts';
import type { RunFigures } from './figures.ts';
import { history, million, rooms } from './growth.ts';
import { isolation } from './isolation.ts';
import { describeMachine, loadAverage, requireProc } from './machine.ts';
import { media } from './media.ts';
import { parseOptions, type WorkloadName } from './options.ts';
import { platforms } from './platforms.ts';
import { plot } from './plot.ts';
import { quiet } from './quiet.ts';
import { asJson, report } from './report.ts';
import { throughput } from './throughput.ts';
import { timeouts } from './timeouts.ts';
import type { Workload } from './workload.ts';

const WORKLOADS: Readonly<Record<WorkloadName, Workload>> = {
  throughput,
  quiet,
  steady,
  chat,
  isolation,
  timeouts,
  rooms,
  million,
  history,
  soak,
  media,
  platforms,
  costs,
};
const INTERRUPTED = 130;

const options = parseOptions(process.argv);
const interruption = new AbortController();
onInterruption((reason) => interruption.abort(reason));
process.exitCode = await main();

async function main(): Promise<number> {
  const workload = WORKLOADS[options.workload];
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const runs: RunFigures[] = [];
  try {
    requireProc();
    say(workload.describe(options));
    say(`${describeMachine()}, load average ${loadAverage()}`);
    for (let number = 1; number <= options.runs; number++) {
      say(`run ${number} of ${options.runs}`);
      const run = `${Date.now().toString(36)}-${number}`;
      runs.push(await workload.measure({ options, run, signal: interruption.signal, say }));
    }
    say(`load average ${loadAverage()}`);
  } catch (error) {
    if (interruption.signal.aborted) return INTERRUPTED;
    process.stderr.write(`${(error as Error).message}\n`);
    return 1;
  }
  if (options.profile !== null) say('Measured with the profiler on, which slows the engine down:');
  say(['', ...report(runs), ''].join('\n'));
  if (options.json !== null) {
    writeFileSync(options.json, `${JSON.stringify(asJson(workload.describe(options), options, runs), null, 2)}\n`);
  }
  if (options.plot !== null) {
    const all = (runs.at(-1)?.rows ?? []).flatMap((row) => ('shown' in row ? row.shown : []));
    writeFileSync(options.plot, plot(workload.describe(options), all));
  }
  return 0;
}

/** `npm run load`: loads the API. Prints no figure of a run in which something accepted was lost, doubled or moved. */
import { writeFileSync } from 'node:fs';
import { onInterruption } from '../../simulators/demo/interruption.ts';
import { describeMachine, loadAverage, requireProc } from '../bench/machine.ts';
import { buffered } from './buffered.ts';
import { backlog, bulk } from './bulk.ts';
import { fuzz } from './fuzz.ts';
import { humans, paced, soak } from './humans.ts';
import { parseOptions, type ScenarioName } from './options.ts';
import { connections, ramp, spike } from './publishes.ts';
import { table } from './samples.ts';
import type { Scenario } from './scenario.ts';

const SCENARIOS: Readonly<Record<ScenarioName, Scenario>> = {
  connections,
  ramp,
  spike,
  humans,
  paced,
  bulk,
  backlog,
  buffered,
  soak,
  fuzz,
};
const INTERRUPTED = 130;

const options = parseOptions(process.argv);
const interruption = new AbortController();
onInterruption((reason) => interruption.abort(reason));
process.exitCode = await main();

async function main(): Promise<number> {
  const scenario = SCENARIOS[options.scenario];
  const { signal } = interruption;
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  try {
    requireProc();
    const what = scenario.describe(options);
    const machine = describeMachine();
    say(what);
    say(`${machine}, load average ${loadAverage()}`);
    const tables = await scenario.measure({ options, signal, say });
    say(`load average ${loadAverage()}`);
    if (options.profile !== null) say('Measured with the profiler on, which slows the API down.');
    for (const { title, head, rows } of tables) say(['', title, ...table(head, rows)].join('\n'));
    if (options.json !== null) writeFileSync(options.json, `${JSON.stringify({ what, machine, tables }, null, 2)}\n`);
    return 0;
  } catch (error) {
    if (signal.aborted) return INTERRUPTED;
    process.stderr.write(`${(error as Error).message}\n`);
    return 1;
  }
}

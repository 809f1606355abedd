/** `npm run chaos`: ends with status 0 only if the run was clean and not empty. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onInterruption } from '../demo/interruption.ts';
import { findLibrary } from './clocks.ts';
import { FLEET_SORTS } from './fleet-plan.ts';
import { type ChaosOptions, parseOptions } from './options.ts';
import { describeFault, makePlan } from './plan.ts';
import { tableOf } from './report.ts';
import { runChaos } from './run.ts';

const INTERRUPTED = 130;

const interruption = new AbortController();
onInterruption((reason) => interruption.abort(reason));
// Everything is stopped by then; a socket that never closes must not keep us.
process.exit(await main(parseOptions(process.argv), interruption.signal));

async function main(options: ChaosOptions, signal: AbortSignal): Promise<number> {
  const { minutes, seed } = options;
  const clockLibrary = findLibrary();
  const plan = makePlan({
    seed,
    minutes,
    without: clockLibrary === null ? ['clock_step'] : [],
    ...(options.fleet === null ? {} : { sorts: FLEET_SORTS }),
  });
  const { fleet, engines } = options;
  const who =
    fleet === null
      ? `${engines} engines`
      : `${fleet.workers} workers, ${fleet.webhooks} webhook servers, ${fleet.intakes} intakes`;
  say(`chaos: seed ${seed}, ${minutes} min, ${plan.length} faults, ${who}`);
  if (clockLibrary === null) say('left out: clock_step, since libfaketime is not installed (Debian: faketime)');
  for (const fault of plan) say(`  plan ${describeFault(fault)}`);
  if (options.plan) return 0;

  const directory = mkdtempSync(join(tmpdir(), 'roomline-chaos-'));
  // As root, Postgres runs under another account, which must be able to enter.
  chmodSync(directory, 0o755);
  let code = 1;
  try {
    const report = await runChaos({ ...options, directory, plan, clockLibrary, signal, say });
    for (const line of ['', ...tableOf(report)]) say(line);
    if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
    code = report.clean ? 0 : 1;
  } catch (error) {
    code = signal.aborted ? INTERRUPTED : 1;
    say(signal.aborted ? 'Interrupted; everything is stopped.' : `There is no verdict: ${(error as Error).stack}`);
  }
  if (options.keep || code === 1) say(`logs and data: ${directory}`);
  else rmSync(directory, { recursive: true, force: true });
  return code;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

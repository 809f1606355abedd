/** `npm start`: Roomline on real parts, delivering a load in order while you watch; then it stays for you to try. */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { type Rig, startRig } from '../rig/rig.ts';
import { Secrets } from '../rig/secrets.ts';
import { onInterruption } from './interruption.ts';
import { type DemoOptions, parseOptions } from './options.ts';
import { progressBlock, progressLine } from './progress.ts';
import { resultTable, summary, waysToGoOn } from './report.ts';
import { runDemo } from './run.ts';
import { ACK_LOSS, ACK_TIMEOUT_MS, BASELINES, CHANNELS, PHONE, platformSettings } from './scenario.ts';
import { Terminal } from './terminal.ts';
import { count, counted, seconds } from './text.ts';

const REDRAW_MS = 500;
const LINE_MS = 3_000;
const INTERRUPTED = 130;
/** For a run that was killed: its messages wait for a lease to end, and then for acks that never come. */
const LEFTOVERS_DEADLINE_MS = 600_000;

const options = parseOptions(process.argv);
const terminal = new Terminal(process.stdout, process.env);
process.stderr.on('error', () => undefined);
const interruption = new AbortController();
onInterruption((reason) => interruption.abort(reason));

process.exitCode = await main(options, interruption.signal);

/** @returns the exit code */
async function main(options: DemoOptions, signal: AbortSignal): Promise<number> {
  const { paint } = terminal;
  terminal.print(
    '',
    `${paint('bold', 'Roomline')}  ${count(options.rooms)} rooms × ${counted(options.messages, 'message')}, in order within each room`,
    '',
  );
  let rig: Rig | null = null;
  try {
    const tokens = { atOnce: token('at-once'), pause: token('fixed-pause') };
    rig = await startRig({
      directory: options.data,
      httpPort: options.port,
      seed: options.seed,
      channels: CHANNELS,
      platform: [platformSettings(tokens)],
      startEngine: false,
      signal,
      say: (part) => terminal.step(`  Starting ${part}`),
      warn: (line) => terminal.print(`  ${line}`),
    });
    const failed = rig.failed();
    return await Promise.race([
      show(rig, tokens, options, signal),
      failed.then((what) => {
        throw new Error(what);
      }),
    ]);
  } catch (error) {
    if (signal.aborted) return options.exit ? INTERRUPTED : 0;
    terminal.print('', paint('red', `It went wrong: ${(error as Error).message}`));
    return 1;
  } finally {
    terminal.step('  Stopping …');
    await rig?.stop();
    terminal.print('Stopped.');
  }
}

/** `npm start`: Roomline on real parts, delivering a load in order while you watch; then it stays for you to try. */
import { writeFileSync } from 'node:fs';
import { setTimeout as nextTurn } from 'node:timers/promises';
import { directToken } from '../rig/credentials.ts';
import { buildDashboard } from '../rig/dashboard.ts';
import { type Rig, startRig } from '../rig/rig.ts';
import { DEMO_CHANNELS, type DemoChannel } from './channels.ts';
import { onInterruption } from './interruption.ts';
import { dashboard, introduction, parts } from './introduction.ts';
import { type DemoOptions, parseOptions } from './options.ts';
import { type Progress, progressBlock, progressLine } from './progress.ts';
import { resultTable, summary, waysToGoOn } from './report.ts';
import { runDemo } from './run.ts';
import { rigOptions, type Tokens } from './scenario.ts';
import { Terminal } from './terminal.ts';
import { counted, seconds } from './text.ts';

const REDRAW_MS = 500;
const LINE_MS = 3_000;
const INTERRUPTED = 130;
/** Leftover messages may wait for a dead worker's lease and then, one after the other, for acks that were lost with it. */
const LEFTOVERS_DEADLINE_MS = 600_000;

const terminal = new Terminal(process.stdout, process.env);
// Whoever reads our lines may go away; that is no reason to fail.
process.stderr.on('error', () => undefined);
const interruption = new AbortController();
onInterruption((reason) => interruption.abort(reason));
process.exitCode = await main(parseOptions(process.argv), interruption.signal);

/** Resolves with the exit code when everything has stopped. */
async function main(options: DemoOptions, interrupted: AbortSignal): Promise<number> {
  const channel = DEMO_CHANNELS[options.channel];
  terminal.print(...introduction(options, terminal.paint));
  let rig: Rig | null = null;
  let code: number;
  try {
    terminal.step('  Building the dashboard, where that is needed');
    await buildDashboard();
    const tokens = { atOnce: directToken(channel.profile), pause: directToken(channel.profile) };
    rig = await startRig({
      directory: options.data,
      httpPort: options.port,
      seed: options.seed,
      ...rigOptions(channel, tokens),
      startEngine: false,
      signal: interrupted,
      say: (part) => terminal.step(`  Starting ${part}`),
      warn: (line) => terminal.print(`  ${line}`),
    });
    const onStarted = ({ engine, apiKey }: Rig): void => {
      // With --exit nobody has the time to look, and logs are no place for keys.
      if (!options.exit) terminal.print(...dashboard(engine.url, apiKey, terminal.paint), '');
    };
    code = await whileAllRun(rig, interrupted, onStarted, (signal, started) =>
      show(started, channel, tokens, options, signal),
    );
  } catch (error) {
    // A Ctrl-C that also ended what we waited for without an event loop, such as initdb, is told to us only now.
    await nextTurn(1);
    code = options.exit ? INTERRUPTED : 0;
    if (!interrupted.aborted) {
      terminal.print('', `${terminal.paint('red', 'It does not work:')} ${(error as Error).message}`);
      code = 1;
    }
  }
  if (rig !== null) {
    terminal.step('Stopping …');
    await rig.stop().catch((error: unknown) => {
      terminal.print(`${terminal.paint('red', 'It did not stop in good order:')} ${(error as Error).message}`);
      code = 1;
    });
  }
  if (rig !== null || interrupted.aborted) terminal.print('Stopped.');
  return code;
}

/** Starts the engine and does the work, unless a part ends by itself. The work is over when this has settled. */
async function whileAllRun(
  rig: Rig,
  interrupted: AbortSignal,
  onStarted: (rig: Rig) => void,
  work: (signal: AbortSignal, rig: Rig) => Promise<number>,
): Promise<number> {
  const partEnded = new AbortController();
  const signal = AbortSignal.any([interrupted, partEnded.signal]);
  const leftover = await rig.waiting();
  await rig.engine.start();
  void rig.failed().then((what) => partEnded.abort(new Error(what)));
  onStarted(rig);
  try {
    if (leftover > 0) await deliverLeftovers(rig, leftover, signal);
    return await work(signal, rig);
  } catch (error) {
    // What the end of a part has broken off fails in its own words; why it ended is what matters.
    throw signal.aborted ? signal.reason : error;
  }
}

async function deliverLeftovers(rig: Rig, leftover: number, signal: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  const what = `${counted(leftover, 'message')} of an interrupted run`;
  terminal.step(`  First come ${what} …`);
  await rig.untilDrained({ deadlineMs: LEFTOVERS_DEADLINE_MS, signal });
  terminal.print(`  Delivered first: ${what}, in ${seconds(performance.now() - startedAt)}.`);
}

async function show(
  rig: Rig,
  channel: DemoChannel,
  tokens: Tokens,
  options: DemoOptions,
  signal: AbortSignal,
): Promise<number> {
  const { paint, isLive } = terminal;
  terminal.print(...parts(rig, options));
  const onProgress = (progress: Progress): void => {
    if (isLive) terminal.draw(progressBlock(progress, paint));
    else terminal.print(progressLine(progress));
  };
  const verdict = await runDemo({
    rig,
    run: Date.now().toString(36),
    channel,
    tokens,
    options,
    signal,
    onProgress,
    progressEveryMs: isLive ? REDRAW_MS : LINE_MS,
  });
  terminal.print('', ...resultTable(verdict, paint), '', ...summary(verdict, paint, channel), '');
  if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(verdict, null, 2)}\n`);
  if (options.exit) return verdict.clean ? 0 : 1;
  terminal.print(...waysToGoOn(rig.engine.url, rig.apiKey, paint, channel.words.room));
  await aborted(signal);
  return 0;
}

/** Rejects with its reason when the signal aborts. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

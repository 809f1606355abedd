/** Runs Spin over the model: generates a verifier for one configuration, compiles it, and reads what it says. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Configuration, PROMISES, type PromiseName } from './configurations.ts';

const MODEL = fileURLToPath(new URL('roomline.pml', import.meta.url));
const TOOLS = ['spin', 'gcc'];
const MEMORY_LIMIT_MB = 8_000;
const TIME_LIMIT_MS = 30 * 60_000;
const MAX_DEPTH = 20_000;
const MAX_OUTPUT_BYTES = 64 * 1_024 * 1_024;
const run = promisify(execFile);

export interface Found {
  /** The promise that was broken; null where none was. */
  readonly broken: PromiseName | null;
  readonly states: number;
  readonly seconds: number;
  readonly memoryMb: number;
  /** The way to what is broken, a step a line. */
  readonly path: readonly string[];
}

/** Null where everything is installed, else one line that says what to install. */
export async function missingTools(): Promise<string | null> {
  const missing: string[] = [];
  for (const tool of TOOLS) {
    // Of Spin, `--version` is no option; it says its version all the same.
    await run(tool, [tool === 'spin' ? '-V' : '--version']).catch(() => missing.push(tool));
  }
  if (missing.length === 0) return null;
  return `No ${missing.join(' and no ')} on this machine (on Debian: apt-get install ${TOOLS.join(' ')})`;
}

/**
 * @param signal ends it before its time
 * @throws Error where the search could not be finished, or ended with something that is no promise
 */
export async function verify(configuration: Configuration, signal: AbortSignal): Promise<Found> {
  const folder = mkdtempSync(join(tmpdir(), 'roomline-model-'));
  try {
    return await verifyIn(folder, configuration, signal);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function verifyIn(cwd: string, configuration: Configuration, signal: AbortSignal): Promise<Found> {
  const { check, expected, quick } = configuration;
  const definitions = definitionsOf(configuration);
  const isSmall = expected !== 'clean' || configuration.covered !== undefined;
  await run('spin', ['-a', ...definitions, MODEL], { cwd, signal });
  const kind = check === 'promises' ? ['-DSAFETY'] : ['-DNFAIR=5'];
  // A `provided` clause and partial order reduction do not go together; nearly every step concerns all, there is little to gain.
  const compiled = ['-w', '-DCOLLAPSE', '-DNOREDUCE', '-DVECTORSZ=2048', `-DMEMLIM=${MEMORY_LIMIT_MB}`, ...kind];
  await run('gcc', [isSmall ? '-O0' : quick ? '-O1' : '-O2', ...compiled, '-o', 'pan', 'pan.c'], { cwd, signal });
  const search = check === 'promises' ? [] : check === 'ends' ? ['-a'] : ['-a', '-f'];
  const startedAt = performance.now();
  const { stdout } = await run('./pan', [`-m${MAX_DEPTH}`, isSmall ? '-w18' : '-w24', '-n', ...search], {
    cwd,
    signal,
    timeout: TIME_LIMIT_MS,
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  const seconds = (performance.now() - startedAt) / 1_000;
  const broken = brokenBy(stdout);
  return {
    broken,
    seconds,
    states: numberIn(stdout, /^\s*([\d.e+]+) states, stored/m),
    memoryMb: numberIn(stdout, /^\s*([\d.]+)\s+total actual memory usage/m),
    path: broken === null ? [] : await pathOf(cwd, definitions),
  };
}

function definitionsOf({ bounds, with: definitions, check }: Configuration): string[] {
  const { messages, workers, attempts, crashes, steals, losses, moves } = bounds;
  const numbers = {
    N: messages,
    W: workers,
    ATTEMPTS: attempts,
    CRASHES: crashes,
    STEALS: steals,
    LOSSES: losses,
    MOVES: moves,
  };
  return [
    ...Object.entries(numbers).map(([name, number]) => `-D${name}=${number}`),
    ...definitions.map((name) => `-D${name}`),
    ...(check === 'promises' ? [] : ['-DEVENTUALLY']),
  ];
}

/**
 * The promise that the verifier found broken; null where none is.
 * @throws Error where it gave no verdict
 */
export function brokenBy(output: string): PromiseName | null {
  const error = /^pan:\d+: (?!wrote)(.*)$/m.exec(output)?.[1];
  if (error === undefined) {
    const complete =
      /errors: 0$/m.test(output) && !/max search depth too small|out of memory|not completed/i.test(output);
    if (!complete) throw new Error(`the search was not finished: ${output.slice(0, 400)}`);
    return null;
  }
  if (error.startsWith('acceptance cycle')) return 'R6';
  const name = PROMISES.find((each) => error.includes(`||${each})`));
  if (name === undefined) throw new Error(`the search ended with: ${error}`);
  return name;
}

function numberIn(output: string, pattern: RegExp): number {
  const number = Number(pattern.exec(output)?.[1]);
  if (Number.isNaN(number)) throw new Error(`the verifier says nothing of ${pattern.source}: ${output.slice(0, 400)}`);
  return number;
}

/** Each step by who takes it, and by what the model says above the place where it does. */
async function pathOf(cwd: string, definitions: readonly string[]): Promise<string[]> {
  const trail = ['-t', '-k', 'roomline.pml.trail', '-p', ...definitions, MODEL];
  const { stdout } = await run('spin', trail, { cwd, maxBuffer: MAX_OUTPUT_BYTES });
  const steps = new Map<string, string>();
  for (const line of stdout.split('\n')) {
    const [, step = '', process = '', who = '', file = '', at = ''] = STEP.exec(line) ?? [];
    if (step === '' || steps.has(step) || who === 'init:') continue;
    const worker = OF_A_WORKER.test(who)
      ? ` of worker ${Math.floor((Number(process) - 1) / PROCESSES_OF_A_WORKER)}`
      : '';
    const place = `${basename(file)}:${at}`;
    steps.set(
      step,
      `${step.padStart(4)} ${`${who}${worker}`.padEnd(22)} ${place.padEnd(18)} ${commentAbove(file, Number(at))}`,
    );
  }
  return [...steps.values()];
}

const STEP = /^\s*(\d+):\s+proc\s+(\d+) \(:?([\w:]+):\d+\) (\S+):(\d+) \(state \d+\)/;
const OF_A_WORKER = /^(Rooms|Renewals|Shards)$/;
/** With Store, in the order in which they are started. */
const PROCESSES_OF_A_WORKER = 4;

function commentAbove(file: string, line: number): string {
  const above = readFileSync(file, 'utf8').split('\n').slice(0, line);
  return above.findLast((text) => text.trimStart().startsWith('/*'))?.trim() ?? '';
}

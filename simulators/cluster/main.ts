/** `npm run cluster`: a fleet under load on this machine that loses a worker, gains one and lets one go, while you watch. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as nextTurn } from 'node:timers/promises';
import { onInterruption } from '../demo/interruption.ts';
import { Fleet } from './fleet.ts';
import { type ClusterOptions, LEASE_MS, parseOptions } from './options.ts';
import {
  type Check,
  check,
  checkLines,
  figureChecks,
  sceneChecks,
  sceneLines,
  signalsChecks,
  signalsLines,
  verdictLine,
} from './report.ts';
import { CHANNEL, play, type SceneReport } from './scene.ts';
import { MEASURE, nodesOf, SHOW } from './settings.ts';
import { measureSignals, type SignalsReport } from './signals.ts';

interface Report {
  readonly scene: SceneReport;
  readonly signals: SignalsReport | null;
  readonly checks: readonly Check[];
}

const INTERRUPTED = 130;
/** A fifth of a lease, as by default. */
const RENEWALS = 5;
/** A send may take no longer than a lease outlives its renewal. */
const MOST_SEND_MS = 5_000;
const SIGNALS_ROOMS = 100;

const interruption = new AbortController();
onInterruption((reason) => interruption.abort(reason));
// Everything is stopped by then; a socket that never closes must not keep us.
process.exit(await main(parseOptions(process.argv), interruption.signal));

async function main(options: ClusterOptions, signal: AbortSignal): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'roomline-cluster-'));
  // As root, Postgres runs under another account, which must be able to enter.
  chmodSync(directory, 0o755);
  let keep = false;
  try {
    const scene = await showScene(options, join(directory, 'fleet'), signal);
    const signals = options.figures ? await showSignals(options, join(directory, 'signals'), signal) : null;
    const checks = [
      ...sceneChecks(scene),
      ...(options.figures ? figureChecks(scene, options.leaseMs) : []),
      ...(signals === null ? [] : signalsChecks(signals)),
      ...(signals?.verdicts ?? []).map((verdict) =>
        check('the run with and without Redis', verdict.clean, verdictLine(verdict)),
      ),
    ];
    say('', ...checkLines(checks));
    const report: Report = { scene, signals, checks };
    if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
    keep = checks.some(({ ok }) => !ok);
    return keep ? 1 : 0;
  } catch (error) {
    await nextTurn(1);
    say(signal.aborted ? 'Interrupted; everything is stopped.' : `It does not work: ${(error as Error).stack}`);
    keep = !signal.aborted;
    return signal.aborted ? INTERRUPTED : 1;
  } finally {
    if (keep) say(`logs and data: ${directory}`);
    else rmSync(directory, { recursive: true, force: true });
  }
}

async function showScene(options: ClusterOptions, directory: string, signal: AbortSignal): Promise<SceneReport> {
  const { rooms, messages, workers, leaseMs, seed, figures } = options;
  const mode = figures ? MEASURE : SHOW;
  const nodes = nodesOf(workers);
  say(
    `A fleet of ${workers} workers, a webhook and API process and an intake; ${rooms} rooms, ${messages} messages each.`,
    `Leases live ${leaseMs / 1_000} s${leaseMs === LEASE_MS ? ', the default' : `; the default is ${LEASE_MS / 1_000} s`}.`,
  );
  const fleet = await Fleet.start({
    directory,
    seed,
    nodes,
    channels: { [CHANNEL]: {} },
    settings: {
      ownership: { leaseMs, renewEveryMs: Math.floor(leaseMs / RENEWALS) },
      channelDefaults: {
        ackTimeoutMs: mode.ackTimeoutMs,
        sendTimeoutMs: Math.min(MOST_SEND_MS, Math.floor(leaseMs * 0.5)),
        maxConcurrentSends: 256,
      },
    },
    platform: [mode.platform],
    signal,
    say: (part) => say(`  ${part}`),
  });
  try {
    const redis =
      fleet.redis === null ? 'goes without Redis, which is not installed' : `has Redis at ${fleet.redis.url}`;
    say(`  The fleet runs and ${redis}.`);
    const { ackTimeoutMs, timing } = mode;
    const report = await play({ fleet, rooms, messages, leaseMs, ackTimeoutMs, signal, say }, timing);
    say('', ...sceneLines(report, leaseMs), verdictLine(report.verdict));
    if (!options.exit && !figures) await stay(fleet, signal);
    return report;
  } finally {
    say('Stopping …');
    await fleet.stop();
  }
}

async function showSignals(options: ClusterOptions, directory: string, signal: AbortSignal): Promise<SignalsReport> {
  say('', `One worker that takes webhooks, too, and one process beside it; ${SIGNALS_ROOMS} rooms at each.`);
  const { seed, leaseMs } = options;
  const report = await measureSignals({ directory, seed, leaseMs, rooms: SIGNALS_ROOMS, signal, say });
  say('', ...signalsLines(report));
  return report;
}

/** Until Ctrl-C, which then ends nothing but the fleet. */
async function stay(fleet: Fleet, signal: AbortSignal): Promise<void> {
  const url = fleet.node('front-1').process.url;
  say('', `It stays until Ctrl-C: ${url}, key ${fleet.rig.apiKey}`);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

function say(...lines: readonly string[]): void {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

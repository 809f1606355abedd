/** A short chaos run on real processes; `npm run chaos` makes longer ones of the same. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { findLibrary } from '../../simulators/chaos/clocks.ts';
import type { FaultKind, PlannedFault } from '../../simulators/chaos/plan.ts';
import { type Report, tableOf } from '../../simulators/chaos/report.ts';
import { runChaos } from '../../simulators/chaos/run.ts';
import { freePort } from '../../simulators/free-port.ts';
import { engineConfig } from '../../simulators/rig/engine-config.ts';
import { Secrets } from '../../simulators/rig/secrets.ts';

const COMMAND = fileURLToPath(new URL('../../src/cli/roomline.mjs', import.meta.url));

const TIMEOUT_MS = 240_000;
const MINUTES = 0.5;
const HOLDER = { of: 'holders', draw: 0 } as const;

/** The faults that no other system test has: what only a proxy, or two engines beside each other, make possible. */
const FAULTS: readonly (readonly [atS: number, forMs: number, FaultKind])[] = [
  [2, 0, { kind: 'engine_kill_at', engine: HOLDER, point: 'answer', awayMs: 500 }],
  [4, 2_000, { kind: 'link_latency', link: 'platform', engine: HOLDER, ms: 400 }],
  [8, 0, { kind: 'commit_cut', engine: HOLDER, batch: 'claim' }],
  [9, 0, { kind: 'commit_cut', engine: HOLDER, batch: 'append' }],
  [10, 2_500, { kind: 'link_black_hole', link: 'postgres', engine: HOLDER, directions: ['up'], end: 'heals' }],
  [15, 0, { kind: 'engine_freeze_at', engine: HOLDER, point: 'claim', leases: 1.5 }],
  [16, 2_000, { kind: 'link_trickle', link: 'webhooks', engine: HOLDER, bytesPerSecond: 1_000 }],
  [20, 0, { kind: 'link_cut', link: 'pubsub', engine: HOLDER }],
  [21, 2_000, { kind: 'row_lock', rooms: 10 }],
  [24, 1_000, { kind: 'clock_step', engine: HOLDER, byS: 240 }],
];

describe('Under faults of everything around it', { timeout: TIMEOUT_MS }, () => {
  let directory: string;
  let report: Report;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'roomline-chaos-'));
    chmodSync(directory, 0o755);
    const clockLibrary = findLibrary();
    const possible = FAULTS.filter(([, , { kind }]) => kind !== 'clock_step' || clockLibrary !== null);
    const plan: PlannedFault[] = possible.map(([atS, forMs, fault], index) => {
      return { ...fault, number: index + 1, atMs: 1_000 * atS, forMs };
    });
    report = await runChaos({
      directory,
      plan,
      seed: 1,
      minutes: MINUTES,
      rooms: 100,
      rate: 40,
      engines: 2,
      clockLibrary,
      signal: new AbortController().signal,
      say: () => undefined,
    });
  }, TIMEOUT_MS);

  afterAll(() => {
    if (existsSync(directory)) rmSync(directory, { recursive: true, force: true });
  });

  test('Roomline loses nothing, keeps the order, and every fault has struck', () => {
    expect(report.faults.filter(({ fired }) => !fired)).toEqual([]);
    expect(
      report.checks.filter(({ ok }) => !ok),
      tableOf(report).join('\n'),
    ).toEqual([]);
    expect(report.clean).toBe(true);
    process.stdout.write(`${tableOf(report).at(-1)}\n`);
  });

  test('one engine takes over from the other', () => {
    expect(report.kills).toBeGreaterThanOrEqual(1);
    // The one that was killed, and the one that stood still for longer than its lease.
    expect(report.takeOvers).toBeGreaterThanOrEqual(2);
  });

  test('nothing is left running', () => {
    expect(readdirSync(join(directory, 'processes'))).toEqual([]);
  });
});

describe('Started while Postgres is not there', () => {
  test('Roomline says so and ends with a code that has it started again', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'roomline-start-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const nobody = await freePort();
    const config = engineConfig(
      {
        httpPort: 0,
        postgresUrl: `postgres://roomline:secret@127.0.0.1:${nobody}/roomline`,
        pubsubAddress: `127.0.0.1:${nobody}`,
        platformUrl: `http://127.0.0.1:${nobody}`,
        channels: { main: {} },
      },
      new Secrets(directory),
    );
    const file = join(directory, 'config.json');
    writeFileSync(file, JSON.stringify(config));
    const { status, stdout } = spawnSync(process.execPath, [COMMAND, 'serve', '--config', file], { encoding: 'utf8' });
    const failed = stdout.split('\n').filter((line) => line.includes('"process.failed"'));
    expect(failed.map((line) => JSON.parse(line))).toMatchObject([{ reason: 'start', code: 'ECONNREFUSED' }]);
    expect(status).toBe(1);
  });
});

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Lane } from './lanes.ts';

export interface LaneRun {
  /** `found`: a rule was seen broken. `clean`: the lane ended well. `failed`: it ended badly and named no rule. */
  readonly verdict: 'found' | 'clean' | 'failed' | 'out_of_time';
  readonly seconds: number;
  /** The line that names what was broken, or the last one. */
  readonly line: string;
}

/** How long a lane may take to end its own processes. */
const END_GRACE_MS = 10_000;

/** Runs a lane in a folder, up to the first rule that it finds broken. */
export async function runLane(lane: Lane, folder: string): Promise<LaneRun> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, lane.command, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined },
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  let found: string | null = null;
  let last = '';
  let outOfTime = false;
  const stop = (): void => {
    child.kill('SIGTERM');
    void delay(END_GRACE_MS, null, { ref: false }).then(() => child.kill('SIGKILL'));
  };
  const timer = setTimeout(() => {
    outOfTime = true;
    stop();
  }, lane.budgetSeconds * 1_000);
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (line.trim() !== '') last = line;
      if (found !== null || !lane.found.test(line)) return;
      found = line.trim();
      stop();
    });
  }
  const code = await ended;
  clearTimeout(timer);
  const seconds = (performance.now() - startedAt) / 1_000;
  if (found !== null) return { verdict: 'found', seconds, line: found };
  if (outOfTime) return { verdict: 'out_of_time', seconds, line: last };
  return { verdict: code === 0 ? 'clean' : 'failed', seconds, line: last };
}

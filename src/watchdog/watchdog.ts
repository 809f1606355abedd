/**
 * Ends the process when its event loop has stood still for longer than it may: others have its shards by then, and what
 * it remembers is of the past. Its lease is looked at before every send, so that nothing is sent before this is noticed.
 *
 * Two watch. A loop that is blocked cannot look at itself: a thread does. After the whole process has been stopped,
 * whichever of the two runs first finds that time has jumped. A machine that was suspended is not noticed: its monotonic
 * clock stood still as well.
 */
import { writeSync } from 'node:fs';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { createLog, type LogLevel } from '../telemetry.ts';

export interface WatchdogOptions {
  /** How long the loop may stand still, in ms. */
  readonly limitMs: number;
  readonly level: LogLevel;
  readonly node: string | undefined;
  /** The thread itself has failed. */
  readonly onFailure: (error: unknown) => void;
}

/** What the thread is given. */
export interface WatchedLoop {
  /** Monotonic ns of the loop's last sign of life. */
  readonly beat: BigInt64Array;
  readonly limitMs: number;
  readonly everyMs: number;
  readonly level: LogLevel;
  readonly node: string | undefined;
}

/** Signs of life within the limit. */
const BEATS = 10;
const MOST_MS = 500;

/** Watches from here on, to the end of the process, which it does not put off. */
export async function startWatchdog(options: WatchdogOptions): Promise<void> {
  const { limitMs, level, node, onFailure } = options;
  const beat = new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT));
  const everyMs = Math.max(1, Math.min(MOST_MS, limitMs / BEATS));
  const watched: WatchedLoop = { beat, limitMs, everyMs, level, node };
  const live = (): void => {
    const stalledMs = sinceBeatMs(beat);
    if (stalledMs <= limitMs) {
      Atomics.store(beat, 0, process.hrtime.bigint());
      return;
    }
    tellOfStall(watched, stalledMs);
    process.exit(1);
  };
  Atomics.store(beat, 0, process.hrtime.bigint());
  setInterval(live, everyMs).unref();
  const thread = new Worker(new URL(`./thread${extname(import.meta.url)}`, import.meta.url), {
    workerData: watched,
    name: 'watchdog',
    // What this process was started with is not meant for it.
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
  });
  thread.on('error', onFailure);
  await new Promise<unknown>((resolve) => {
    thread.once('message', resolve);
    thread.once('error', resolve);
  });
  thread.unref();
}

export function sinceBeatMs(beat: BigInt64Array): number {
  return Number(process.hrtime.bigint() - Atomics.load(beat, 0)) / 1e6;
}

/** Written past the loop: what it still had to pass on goes nowhere. */
export function tellOfStall({ level, node }: WatchedLoop, stalledMs: number): void {
  const destination = { write: (line: string) => void writeSync(1, line) };
  const log = createLog({ level, destination, ...(node === undefined ? {} : { node }) });
  log.event('process.stalled', { durationMs: Math.round(stalledMs) });
}

/** The thread that watches the loop: see `watchdog.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { sinceBeatMs, tellOfStall, type WatchedLoop } from './watchdog.ts';

const watched = workerData as WatchedLoop;

setInterval(() => {
  const stalledMs = sinceBeatMs(watched.beat);
  if (stalledMs <= watched.limitMs) return;
  try {
    tellOfStall(watched, stalledMs);
  } finally {
    // A thread cannot end its process in any other way.
    process.kill(process.pid, 'SIGKILL');
  }
}, watched.everyMs);

parentPort?.postMessage('watching');

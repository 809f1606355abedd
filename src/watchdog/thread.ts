/** The thread that watches the loop: see `watchdog.ts`. */
import { parentPort, workerData } from 'node:worker_threads';
import { sinceBeatMs, tellOfStall, type WatchedLoop } from './watchdog.ts';

const watched = workerData as WatchedLoop;

let told = false;

setInterval(() => {
  const stalledMs = sinceBeatMs(watched.beat);
  if (stalledMs <= watched.limitMs) {
    told = false;
    return;
  }
  try {
    if (!told) tellOfStall(watched, stalledMs);
    told = true;
  } finally {
    // A thread cannot end its process in any other way.
    process.kill(process.pid, 'SIGKILL');
  }
}, watched.everyMs);

parentPort?.postMessage('watching');

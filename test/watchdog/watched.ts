/** A process under a watchdog whose loop stands still for as long as a line of its input says, and ends with that. */
import { createInterface } from 'node:readline';
import { startWatchdog } from '../../src/watchdog/watchdog.ts';

await startWatchdog({
  limitMs: Number(process.argv[2]),
  level: 'info',
  node: 'watched',
  onFailure: (error) => {
    throw error;
  },
});
process.stdout.write('watching\n');
for await (const line of createInterface({ input: process.stdin })) {
  const until = performance.now() + Number(line);
  while (performance.now() < until);
  process.stdout.write(`blocked for ${line}\n`);
}

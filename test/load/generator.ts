/** A load generator as a process: takes one job, tells its outcome, ends. */

import { bulk, humans } from './callers.ts';
import { connections } from './connections-load.ts';
import { type Job, type Outcome, pack } from './jobs.ts';

process.once('message', (job: Job) => {
  void work(job).then(
    (outcome) => process.send?.(pack(outcome), () => process.disconnect()),
    (error: unknown) => {
      process.stderr.write(`${(error as Error).stack}\n`);
      process.exit(1);
    },
  );
});
// Whoever asked has gone.
process.once('disconnect', () => process.exit(0));

function work(job: Job): Promise<Outcome> {
  const onBegun = (): void => void process.send?.('begun');
  switch (job.kind) {
    case 'connections':
      return connections(job, onBegun);
    case 'humans':
      return humans(job, onBegun);
    case 'bulk':
      return bulk(job, onBegun);
    default:
      return job satisfies never;
  }
}

/**
 * Graphile Worker: jobs of a named queue run one at a time, in order. With its local queue and completions in batches, as
 * its documentation advises for throughput.
 */
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { type Outbound, runRival } from './shell.ts';

const TASK = 'deliver';
const CONNECTIONS = 16;
/** A job whose queue became free is found by polling: nothing tells of it. */
const POLL_MS = 10;

await runRival(async ({ postgresUrl, platform, slots }) => {
  const logger = new Logger(() => (level, message) => {
    if (level === 'error') process.stderr.write(`${message}\n`);
  });
  const utils = await makeWorkerUtils({ connectionString: postgresUrl, logger });
  await utils.migrate();
  const runner = await run({
    preset: {
      worker: {
        connectionString: postgresUrl,
        concurrentJobs: slots,
        maxPoolSize: CONNECTIONS,
        pollInterval: POLL_MS,
        localQueue: { size: slots },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
    logger,
    noHandleSignals: true,
    taskList: { [TASK]: (payload) => platform.deliver(payload as Outbound) },
  });

  const nextRunAt = new Map<string, number>();
  return {
    async store(messages) {
      // Jobs are taken by priority and time alone: what shares a queue needs a time of its own.
      const now = Date.now();
      const jobs = messages.map((message) => {
        const { room } = message;
        const runAt = Math.max(now, nextRunAt.get(room) ?? 0);
        nextRunAt.set(room, runAt + 1);
        return { identifier: TASK, payload: message, queueName: room, runAt: new Date(runAt), maxAttempts: 5 };
      });
      await utils.addJobs(jobs);
    },
    async close() {
      await runner.stop();
      await utils.release();
    },
  };
});

/**
 * pg-boss: a queue with the policy `key_strict_fifo`, which lets one job per key be active, in order, in a table of its own.
 * Jobs are inserted, fetched and completed in batches by `insert`, `fetch` and `complete`; its `work` polls twice a second
 * at most, and completes a batch only as a whole.
 */
import { PgBoss } from 'pg-boss';
import { type Outbound, runRival } from './shell.ts';

const QUEUE = 'messages';
/** Autovacuum keeps a table that is in use for hours well planned; it comes too late in a run of seconds. */
const ANALYZE_EVERY_MS = 5_000;

await runRival(async ({ postgresUrl, platform, slots }) => {
  const boss = new PgBoss({ connectionString: postgresUrl, schedule: false });
  boss.on('error', (error) => {
    throw error;
  });
  await boss.start();
  await boss.createQueue(QUEUE, { policy: 'key_strict_fifo', partition: true, retryLimit: 5 });

  const { table } = (await boss.getQueue(QUEUE)) ?? {};
  const analyze = setInterval(() => void boss.getDb().executeSql(`VACUUM ANALYZE pgboss.${table}`), ANALYZE_EVERY_MS);

  const completed: string[] = [];
  let active = 0;
  /** Something may be there to be fetched. */
  let stale = true;
  let wake: () => void = () => undefined;
  let closing = false;

  async function work(id: string, message: Outbound): Promise<void> {
    await platform.deliver(message);
    completed.push(id);
    wake();
  }

  async function run(): Promise<void> {
    while (!closing) {
      if (completed.length > 0) {
        const ids = completed.splice(0);
        await boss.complete(QUEUE, ids);
        active -= ids.length;
        stale = true;
      }
      const free = slots - active;
      if (stale && free > 0) {
        stale = false;
        const jobs = await boss.fetch<Outbound>(QUEUE, { batchSize: free });
        active += jobs.length;
        if (jobs.length === free) stale = true;
        for (const { id, data } of jobs) void work(id, data);
      }
      if (completed.length === 0 && (!stale || active >= slots) && !closing) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  }
  const running = run();

  return {
    async store(messages) {
      const jobs = messages.map((message) => ({ id: ascendingId(), data: message, singletonKey: message.room }));
      await boss.insert(QUEUE, jobs);
      stale = true;
      wake();
    },
    async close() {
      closing = true;
      clearInterval(analyze);
      wake();
      await running;
      await boss.stop();
    },
  };
});

let counter = 0;

/** Jobs of one insert have the same time; then the policy goes by their ids. */
function ascendingId(): string {
  const time = Date.now().toString(16).padStart(12, '0');
  const number = (++counter).toString(16).padStart(16, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8${number.slice(1, 4)}-${number.slice(4)}`;
}

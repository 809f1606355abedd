/** GroupMQ: one job per group at a time, in order; a room is a group. */
import { Queue, Worker } from 'groupmq';
import { Redis } from 'ioredis';
import { type Outbound, runRival } from './shell.ts';

await runRival(async ({ redisUrl, platform, slots }) => {
  const redis = new Redis(redisUrl ?? '', { maxRetriesPerRequest: null });
  const queue = new Queue<Outbound>({ redis, namespace: 'rooms', maxAttempts: 5 });
  const worker = new Worker<Outbound>({
    queue,
    concurrency: slots,
    handler: ({ data }) => platform.deliver(data),
    onError(error) {
      throw error;
    },
  });
  void worker.run();

  return {
    async store(messages) {
      const orderMs = Date.now();
      await Promise.all(
        messages.map((message) =>
          queue.add({ groupId: message.room, data: message, orderMs, jobId: message.reference }),
        ),
      );
    },
    async close() {
      await worker.close();
      await queue.close();
      redis.disconnect();
    },
  };
});

/**
 * BullMQ (open source; its groups are part of the paid version): a room's messages wait in a Redis list, and a job named
 * after the room delivers them one by one. Deduplication with `keepLastIfActive` keeps a room from having two jobs at
 * work, and starts another one where a message came while the last one ended.
 */
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { type Outbound, runRival } from './shell.ts';

const QUEUE = 'rooms';
const LISTS = 'messages:';
const listOf = (room: string) => LISTS + room;

await runRival(async ({ redisUrl, platform, slots, form }) => {
  const messagesPerJob = form === 'a-job-per-message' ? 1 : Infinity;
  // BullMQ asks for this setting wherever a worker uses the connection.
  const redis = new Redis(redisUrl ?? '', { maxRetriesPerRequest: null });
  if (form === 'fsync-always') await redis.config('SET', 'appendfsync', 'always');
  const queue = new Queue(QUEUE, {
    connection: redis,
    defaultJobOptions: { attempts: 5, removeOnComplete: true },
  });
  const jobsOf = (rooms: Iterable<string>) =>
    [...rooms].map((room) => ({
      name: 'deliver',
      data: { room },
      opts: { deduplication: { id: room, keepLastIfActive: true } },
    }));

  const worker = new Worker<{ room: string }>(
    QUEUE,
    async ({ data: { room } }) => {
      const list = listOf(room);
      let next = await redis.lindex(list, 0);
      for (let left = messagesPerJob; next !== null && left > 0; left--) {
        await platform.deliver(JSON.parse(next) as Outbound);
        const results = await redis.pipeline().lpop(list).lindex(list, 0).exec();
        const [, following] = results ?? [];
        next = (following?.[1] as string | null | undefined) ?? null;
      }
      if (next !== null) await queue.addBulk(jobsOf([room]));
    },
    { connection: redis, concurrency: slots },
  );
  worker.on('error', (error) => {
    throw error;
  });
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);
  // A crash between a push and its job has left a room without one.
  for await (const lists of redis.scanStream({ match: `${LISTS}*` })) {
    await queue.addBulk(jobsOf((lists as string[]).map((list) => list.slice(LISTS.length))));
  }

  return {
    async store(messages) {
      const pushes = redis.pipeline();
      for (const message of messages) pushes.rpush(listOf(message.room), JSON.stringify(message));
      const lengths = (await pushes.exec()) ?? [];
      // A list that was not empty has a job that is not through with it.
      const begun = messages.filter((_, index) => lengths[index]?.[1] === 1);
      await queue.addBulk(jobsOf(begun.map(({ room }) => room)));
    },
    async close() {
      await worker.close();
      await queue.close();
      redis.disconnect();
    },
  };
});

/** Buffered acceptance beside direct acceptance, by turns; and a backlog that is taken while Postgres stands still. */
import { setTimeout as delay } from 'node:timers/promises';
import { findRedis, type RedisServer, startRedis } from '../../simulators/rig/redis.ts';
import { type ConnectionsJob, run } from './jobs.ts';
import { LATENCY_HEAD, latencies, latencyCells, type Sample } from './samples.ts';
import { type Scenario, type ScenarioContext, type Table, targetOf } from './scenario.ts';
import { type Target, withTarget } from './target.ts';

/** At the start of each step, while its connections open. */
const IGNORED_MS = 1_000;
const BACKLOG = { messages: 100_000, rooms: 2_000, inFlight: 4 } as const;
const ROLES = ['intake'];
const LOOK_EVERY_MS = 50;
const DEADLINE_MS = 300_000;

export const buffered: Scenario = {
  describe: ({ connections, seconds, rounds, messages, batch }) =>
    `buffered: single publishes over ${connections.join(', ')} connections, direct and buffered by turns: ${rounds} × ${seconds} s each; then ${messages ?? BACKLOG.messages} messages in batches of ${batch.join(', ')} while Postgres stands still, until all are inserted`,

  async measure(context) {
    const program = findRedis();
    if (program === null) throw new Error('No Redis is installed on this machine.');
    const redis = await startRedis(program, { appendonly: 'yes', appendfsync: 'always' });
    try {
      const settings = { ...context.options.settings, pubsub: { enabled: false } };
      const direct = { ...targetOf(context, 1), roles: ROLES, settings };
      return await withTarget(direct, (one) =>
        withTarget({ ...direct, settings: { ...settings, ...buffering(redis) } }, async (other) => [
          await byTurns(one, other, context),
          await drain(other, context),
        ]),
      );
    } finally {
      await redis.stop();
    }
  },
};

function buffering(redis: RedisServer) {
  return { redis: { url: redis.url }, intake: { mode: 'buffered' } };
}

async function byTurns(direct: Target, other: Target, context: ScenarioContext): Promise<Table> {
  const { connections, seconds, rounds } = context.options;
  const forMs = seconds * 1_000 + IGNORED_MS;
  let loads = 0;
  const publish = async (target: Target, groups: ConnectionsJob['groups']): Promise<readonly Sample[]> => {
    const roomPrefix = `publishes-${++loads}-`;
    const job = { kind: 'connections', key: target.key, urls: target.urls, roomPrefix, round: 1 } as const;
    const { samples, accepted } = await run({ ...job, groups, isEmptyRoute: false }, context.signal);
    if (target === other) await untilInserted(target, context.signal);
    await target.check(roomPrefix, accepted);
    return samples;
  };
  const modes = [
    ['direct', direct],
    ['buffered', other],
  ] as const;
  for (const [, target] of modes) await publish(target, [{ connections: 50, fromMs: 0, forMs: 3_000 }]);
  const rows: Table['rows'][number][] = [];
  for (const count of connections) {
    const samples = new Map<string, Sample[]>(modes.map(([mode]) => [mode, []]));
    for (let round = 0; round < rounds; round++) {
      for (const [mode, target] of modes) {
        const taken = await publish(target, [{ connections: count, fromMs: 0, forMs }]);
        const kept = taken.filter(({ atMs }) => atMs >= IGNORED_MS && atMs < forMs);
        const shiftMs = round * (forMs - IGNORED_MS) - IGNORED_MS;
        for (const sample of kept) samples.get(mode)?.push({ ...sample, atMs: sample.atMs + shiftMs });
      }
    }
    for (const [mode] of modes) {
      const all = latencies(samples.get(mode) ?? [], 0, rounds * (forMs - IGNORED_MS));
      rows.push([count, mode, ...latencyCells(all)]);
    }
    context.say(`  ${count} connections done`);
  }
  return { title: 'Single publishes, direct and buffered by turns', head: ['connections', '', ...LATENCY_HEAD], rows };
}

async function drain(target: Target, context: ScenarioContext): Promise<Table> {
  const head = [
    'messages in a batch',
    'messages',
    'taken in s',
    'messages/s',
    'p50 ms of a batch',
    'p99 ms of a batch',
    'errors',
    'inserted after s',
    'messages/s',
  ];
  const rows: Table['rows'][number][] = [];
  for (const batch of context.options.batch) rows.push([batch, ...(await drained(target, batch, context))]);
  return { title: 'A backlog that is taken while Postgres stands still', head, rows };
}

async function drained(target: Target, batch: number, { options, signal }: ScenarioContext): Promise<number[]> {
  const { rooms, inFlight } = BACKLOG;
  const messages = options.messages ?? BACKLOG.messages;
  const roomPrefix = `backlog-${batch}-`;
  const job = { kind: 'bulk', urls: target.urls, key: target.key, roomPrefix, round: 1 } as const;
  const { postgres } = target.rig;
  postgres.pause();
  const taking = run({ ...job, rooms, batch, messages, inFlight }, signal).finally(() => postgres.resume());
  const { accepted, tookMs, samples } = await taking;
  const startedAt = performance.now();
  await untilInserted(target, signal);
  const drainedMs = performance.now() - startedAt;
  await target.check(roomPrefix, accepted);
  const { p50, p99, errors } = latencies(samples, 0, tookMs);
  return [
    ...[accepted.length, tookMs / 1_000, Math.round((accepted.length / tookMs) * 1_000), p50, p99, errors],
    ...[drainedMs / 1_000, Math.round((accepted.length / drainedMs) * 1_000)],
  ];
}

async function untilInserted({ urls: [url], key }: Target, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const answer = await fetch(`${url}/v1/ops/buffer`, { headers: { authorization: `Bearer ${key}` }, signal });
    const { messages, buried } = (await answer.json()) as { messages: number; buried: number };
    if (messages === 0 && buried === 0) return;
    if (performance.now() > deadline) throw new Error(`${messages} messages have not been inserted in time`);
    await delay(LOOK_EVERY_MS, null, { signal });
  }
}

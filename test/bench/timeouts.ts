/** One message for each of many rooms, and no ack ever: how late the timeouts are that all run at the same time. */
import pg from 'pg';
import { DATABASE } from '../../simulators/rig/database.ts';
import { load } from '../../simulators/rig/publisher.ts';
import { sayProfile, startEngine } from './engine.ts';
import { ascending, figure, quantile } from './figures.ts';
import { histogramQuantile } from './histogram.ts';
import { memoryMb } from './machine.ts';
import { Observations } from './observations.ts';
import type { BenchOptions } from './options.ts';
import { heapMb } from './passage.ts';
import { accepted, CHANNEL, cpuBetween, cpuTimes, judge, RunNotClean, until, withSystem } from './system.ts';
import { RUN_DEADLINE_MS, type Workload } from './workload.ts';

/** Long enough that the last message is accepted before the first one times out. */
const ACK_TIMEOUT_MS = 45_000;
const SENDS = 256;
const NEVER_MS = 3_600_000;

/** Times of one message in engine time. */
interface Wait {
  readonly acceptedAt: number;
  readonly settledAt: number;
}

export const timeouts: Workload = {
  describe(options) {
    return `timeouts: ${roomsOf(options)} rooms × 1 message, no acks, X = ${ACK_TIMEOUT_MS / 1_000} s`;
  },

  measure(context) {
    const { options, run, signal, say } = context;
    const rooms = roomsOf(options);
    const channel = {
      unlockedBy: 'delivered',
      ackTimeoutMs: ACK_TIMEOUT_MS,
      maxConcurrentSends: SENDS,
      // No ack at all would count as an outage, which shortens the wait.
      ackOutage: { afterMs: NEVER_MS, minTimeouts: 20, gapMs: 500 },
      ...options.channel,
    };
    const platform = { defaults: { lossShare: 1 } };
    return withSystem(
      { channel, settings: options.settings, redis: options.redis, platform, signal, say },
      async (rig) => {
        const pid = await startEngine(rig, context);
        const memoryBefore = memoryMb(pid);
        const metricsBefore = await rig.engine.metrics();
        const { publisher, log } = rig.publisher(run);
        await publisher.publish(load(run, CHANNEL, rooms, 1), { signal });
        const allAccepted = async () => (await accepted(rig, CHANNEL)) >= rooms;
        await until('all messages are accepted', allAccepted, { deadlineMs: RUN_DEADLINE_MS, signal });
        const memoryOpen = memoryMb(pid);
        const heapOpen = heapMb(await rig.engine.metrics());
        say(`  ${rooms} messages wait for acks`);
        const cpuBefore = cpuTimes(rig, { pids: [pid], redisPid: null });
        const settled = async () => (await rig.engine.metrics()).sum('roomline_messages_settled_total') >= rooms;
        await until('all have timed out', settled, { deadlineMs: RUN_DEADLINE_MS, signal });
        const cpu = cpuBetween(cpuBefore, cpuTimes(rig, { pids: [pid], redisPid: null }));
        const metrics = await rig.engine.metrics();
        const memoryAfter = memoryMb(pid);
        await rig.untilDrained({ deadlineMs: RUN_DEADLINE_MS, signal });
        await rig.engine.stop();
        sayProfile(context);
        const judged = {
          published: log.entries(),
          final: await rig.database.finalState(CHANNEL),
          options: {
            unlockedBy: ['delivered' as const],
            ackTimeoutMs: ACK_TIMEOUT_MS,
            expectedMessages: rooms,
            expectedFaults: { status_lost_delivered: rooms },
          },
        };
        const verdict = await judge(rig, 'Roomline', judged, new Observations(run));
        if (verdict.messages.outcomes.assumed !== rooms) {
          throw new RunNotClean(`not every message timed out: ${JSON.stringify(verdict.messages.outcomes)}`);
        }
        const waits = await readWaits(rig.postgres.url(DATABASE));
        const open = openAtOnce(waits);
        if (open !== rooms) throw new RunNotClean(`only ${open} of ${rooms} timeouts were open at once`);
        const lateness = ascending(waits.map(({ acceptedAt, settledAt }) => settledAt - acceptedAt - ACK_TIMEOUT_MS));
        const own = (share: number) =>
          histogramQuantile(metricsBefore, metrics, 'roomline_timeout_lateness_seconds', share) * 1_000;
        const acceptances = ascending(waits.map(({ acceptedAt }) => acceptedAt));
        const arrivedIn = (acceptances.at(-1) ?? Number.NaN) - (acceptances[0] ?? Number.NaN);
        return {
          ratios: [],
          figures: [
            figure('open at once', 'messages', open),
            figure('timeouts per second', 'messages/s', (rooms / arrivedIn) * 1_000),
            figure('settled so much later than X, least', 'ms', quantile(lateness, 0)),
            figure('settled so much later than X, p50', 'ms', quantile(lateness, 0.5)),
            figure('settled so much later than X, p99', 'ms', quantile(lateness, 0.99)),
            figure('settled so much later than X, greatest', 'ms', quantile(lateness, 1)),
            figure('timer late by the own histogram, p50', 'ms', own(0.5)),
            figure('timer late by the own histogram, p99', 'ms', own(0.99)),
            figure('CPU per timeout, engine', 'µs', (cpu.engine * 1_000) / rooms),
            figure('CPU per timeout, Postgres', 'µs', (cpu.postgres * 1_000) / rooms),
            figure('memory before', 'MB', memoryBefore),
            figure('memory with all open', 'MB', memoryOpen),
            figure('JavaScript heap in use before', 'MB', heapMb(metricsBefore)),
            figure('JavaScript heap in use with all open', 'MB', heapOpen),
            figure('memory after', 'MB', memoryAfter),
          ],
        };
      },
    );
  },
};

function roomsOf({ rooms }: BenchOptions): number {
  return rooms ?? 25_000;
}

async function readWaits(url: string): Promise<Wait[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ accepted: string; settled: string }>(
      `SELECT attempts -> -1 ->> 'endedAt' AS accepted, settled_at AS settled FROM history`,
    );
    return rows.map(({ accepted, settled }) => ({ acceptedAt: Number(accepted), settledAt: Number(settled) }));
  } finally {
    await client.end();
  }
}

/** The greatest number of messages that were accepted and not settled at one moment. */
function openAtOnce(waits: readonly Wait[]): number {
  const accepted = ascending(waits.map(({ acceptedAt }) => acceptedAt));
  const settled = ascending(waits.map(({ settledAt }) => settledAt));
  let gone = 0;
  let most = 0;
  for (const [index, at] of accepted.entries()) {
    while ((settled[gone] ?? Number.POSITIVE_INFINITY) < at) gone++;
    most = Math.max(most, index + 1 - gone);
  }
  return most;
}

/** Few rooms, one message at a time: what a message waits for where nothing else does. */
import { setTimeout as delay } from 'node:timers/promises';
import { load } from '../../simulators/rig/publisher.ts';
import { sayProfile, startEngine } from './engine.ts';
import { ascending, figure, quantile } from './figures.ts';
import { Observations } from './observations.ts';
import type { BenchOptions } from './options.ts';
import { allTold, CHANNEL, cpuBetween, cpuTimes, judge, until, withSystem } from './system.ts';
import { LONG_ACK_TIMEOUT_MS, RUN_DEADLINE_MS, type Workload } from './workload.ts';

const ACK_DELAY = { minMs: 0, maxMs: 5 };
/** Far enough apart that each finds the system at rest. */
const EVERY_MS = 50;
/** The first ones find code that has not been compiled yet. */
const WARM_UP = 20;

export const quiet: Workload = {
  describe(options) {
    const { rooms, messages } = sizeOf(options);
    return `quiet: ${rooms} rooms × ${messages} messages, two of one room every ${EVERY_MS} ms, acks after ${ACK_DELAY.minMs}–${ACK_DELAY.maxMs} ms`;
  },

  measure(context) {
    const { options, run, signal, say } = context;
    const { rooms, messages } = sizeOf(options);
    const channel = { unlockedBy: 'delivered', ackTimeoutMs: LONG_ACK_TIMEOUT_MS, ...options.channel };
    const platform = { message: { status: { delivered: { delayMs: { kind: 'uniform' as const, ...ACK_DELAY } } } } };
    return withSystem({ channel, settings: options.settings, platform, signal, say }, async (rig) => {
      const pid = await startEngine(rig, context);
      const { publisher, log } = rig.publisher(run);
      // Pairs of one room: the first is sent at once, the second when the first one's ack has come.
      const pairs = pairsOf([...load(run, CHANNEL, rooms, messages)]);
      const publishedAt = new Map<string, number>();
      const cpuBefore = cpuTimes(rig, pid);
      const begun = performance.now();
      for (const [index, pair] of pairs.entries()) {
        await delay(Math.max(0, begun + index * EVERY_MS - performance.now()), null, { signal });
        publishedAt.set(pair[0]?.messageId ?? '', performance.timeOrigin + performance.now());
        await publisher.publish(pair, { lanes: 1, signal });
      }
      const done = () => allTold(rig, CHANNEL, rooms * messages);
      await until('all messages are delivered and told of', done, { deadlineMs: RUN_DEADLINE_MS, signal });
      const cpu = cpuBetween(cpuBefore, cpuTimes(rig, pid));
      const elapsedMs = performance.now() - begun;
      await rig.untilDrained({ deadlineMs: RUN_DEADLINE_MS, signal });
      await rig.engine.stop();
      sayProfile(context);
      const observations = new Observations(run);
      const judged = {
        published: log.entries(),
        final: await rig.database.finalState(CHANNEL),
        options: {
          unlockedBy: ['delivered' as const],
          ackTimeoutMs: LONG_ACK_TIMEOUT_MS,
          expectedMessages: rooms * messages,
        },
      };
      await judge(rig, 'Roomline', judged, observations);
      const measured = [...publishedAt].slice(WARM_UP);
      const firstSends = measured.map(([key, at]) => (observations.receivedAt(key) ?? Number.NaN) - at);
      const latencies = ascending(firstSends);
      const gaps = observations.gapsMs(measured.map(([key]) => key));
      return {
        ratios: [],
        figures: [
          figure('from publish to first send, p50', 'ms', quantile(latencies, 0.5)),
          figure('from publish to first send, p99', 'ms', quantile(latencies, 0.99)),
          figure('from ack to next send, p50', 'ms', quantile(gaps, 0.5)),
          figure('from ack to next send, p99', 'ms', quantile(gaps, 0.99)),
          figure('CPU of the engine', '%', (cpu.engine / elapsedMs) * 100),
          figure('CPU of Postgres', '%', (cpu.postgres / elapsedMs) * 100),
        ],
      };
    });
  },
};

function sizeOf({ rooms, messages }: BenchOptions): { rooms: number; messages: number } {
  return { rooms: rooms ?? 20, messages: messages ?? 20 };
}

/** Of a load that is interleaved by rooms: each room's first and second message, then its third and fourth, … */
function pairsOf<T extends { readonly room: string }>(all: readonly T[]): T[][] {
  const pairs: T[][] = [];
  const open = new Map<string, T[]>();
  for (const message of all) {
    const pair = open.get(message.room);
    if (pair === undefined) {
      const begun = [message];
      open.set(message.room, begun);
      pairs.push(begun);
    } else {
      pair.push(message);
      open.delete(message.room);
    }
  }
  return pairs;
}

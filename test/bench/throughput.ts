/** Many rooms with waiting messages, acks at once, nothing lost: how much goes through, and what a message costs. */
import type { Rig } from '../../simulators/rig/rig.ts';
import type { Row } from './comparison.ts';
import { type Contestant, startContestant } from './contestant.ts';
import { contestantsOf } from './contestants.ts';
import { type Engine, startRoomline } from './engine.ts';
import { type Figure, figure } from './figures.ts';
import { loadOf } from './load.ts';
import type { BenchOptions } from './options.ts';
import { conclude, type Passage, pass, type Shown, totalUs } from './passage.ts';
import { CHANNEL, withSystem } from './system.ts';
import { LONG_ACK_TIMEOUT_MS, type Workload, type WorkloadContext } from './workload.ts';

const ACK_DELAY = { kind: 'uniform', minMs: 0, maxMs: 5 } as const;
const SENDS = 256;
/** Messages of each room before the clock starts: code is compiled and connections are open then. */
const WARM_UP = 5;
/** How long a status waits for others where a call tells of several. */
const LINGER_MS = 5;

export const throughput: Workload = {
  describe(options) {
    const { rooms, messages } = sizeOf(options);
    const acks = `acks after ${ACK_DELAY.minMs}–${ACK_DELAY.maxMs} ms, ${options.batch.join(' and ')} in a webhook call`;
    return `throughput: ${rooms} rooms × ${messages} messages after ${WARM_UP} each to warm up, through ${options.intake}, ${acks}, no loss`;
  },

  measure(context) {
    const { options, signal, say } = context;
    const contestants = contestantsOf(options.against, say);
    const channel = {
      unlockedBy: 'delivered',
      ackTimeoutMs: LONG_ACK_TIMEOUT_MS,
      maxConcurrentSends: SENDS,
      ...options.channel,
    };
    const platform = { defaults: { ackDelayMs: ACK_DELAY } };
    const contest = {
      maxConcurrentSends: Number(channel.maxConcurrentSends),
      ackTimeoutMs: LONG_ACK_TIMEOUT_MS,
      signal,
    };
    return withSystem(
      { channel, settings: options.settings, redis: options.redis, platform, signal, say },
      async (rig) => {
        const roomline = await measureBatches(rig, await startRoomline(rig, CHANNEL, context), options.batch, context);
        const rows: Row[] = roomline.map((shown) => ({ shown }));
        const others: Shown[] = [];
        for (const contestant of contestants) {
          const passed = await throughContestant(rig, contestant, contest, context);
          if ('failure' in passed) rows.push(passed);
          else others.push(passed.shown);
        }
        rows.push(...others.map((shown) => ({ shown })));
        return {
          // The table of all tells those of several.
          ratios: others.length === 1 ? ratiosOf(roomline[0] as Shown, others[0] as Shown) : [],
          figures: [...roomline, ...others].flatMap(({ figures }) => figures),
          rows,
        };
      },
    );
  },
};

/** One that fails has no figure; the next one is not to suffer from what it leaves. */
async function throughContestant(
  rig: Rig,
  contestant: Contestant,
  options: Parameters<typeof startContestant>[2],
  context: WorkloadContext,
): Promise<Row> {
  let engine: Engine | null = null;
  try {
    engine = await startContestant(contestant, rig, options);
    const [shown] = await measureBatches(rig, engine, context.options.batch.slice(0, 1), context);
    return { shown: shown as Shown };
  } catch (error) {
    context.signal.throwIfAborted();
    await engine?.end();
    await rig.pubsub.emptySubscription();
    return { name: contestant.name, failure: (error as Error).message };
  }
}

/** The same load once for each number of statuses in a webhook call. */
async function measureBatches(
  rig: Rig,
  engine: Engine,
  sizes: readonly number[],
  context: WorkloadContext,
): Promise<Shown[]> {
  const { rooms, messages } = sizeOf(context.options);
  const timeouts = { ackTimeoutMs: LONG_ACK_TIMEOUT_MS };
  const prefix = `${context.run}-${engine.channel}`;
  const shape = { channel: engine.channel, rooms };
  const passages: [Passage, string][] = [];
  await pass(rig, engine, loadOf({ ...shape, run: `${prefix}-warm-up`, messages: WARM_UP }), timeouts, context);
  for (const size of sizes) {
    await rig.platform.change({ defaults: { batch: { size, lingerMs: size === 1 ? 0 : LINGER_MS } } });
    const load = loadOf({ ...shape, run: `${prefix}-${size}`, messages });
    passages.push([await pass(rig, engine, load, timeouts, context), nameOf(engine, size)]);
  }
  await engine.stop();
  const shown: Shown[] = [];
  for (const [passage, name] of passages) shown.push(await conclude(rig, passage, name));
  return shown;
}

function nameOf({ name }: Engine, size: number): string {
  return size === 1 ? name : `${name}, statuses by ${size}`;
}

function ratiosOf(roomline: Shown, other: Shown): Figure[] {
  const of = (what: string, share: (shown: Shown) => number): Figure =>
    figure(`Roomline by ${other.name}: ${what}`, '×', share(roomline) / share(other));
  return [
    of('messages/s, end to end', ({ perSecond }) => perSecond),
    of('messages/s, middle 80 %', ({ steadyPerSecond }) => steadyPerSecond),
    of('CPU per message, engine, Postgres and Redis', totalUs),
    of('CPU per message, engine', ({ engineUs }) => engineUs),
    of('CPU per message, Postgres', ({ postgresUs }) => postgresUs),
    of('gap from ack to next send, p50', ({ gapP50Ms }) => gapP50Ms),
    of('gap from ack to next send, p99', ({ gapP99Ms }) => gapP99Ms),
    of('transactions per message', ({ transactions }) => transactions),
    of('WAL per message', ({ walBytes }) => walBytes),
  ];
}

function sizeOf({ rooms, messages }: BenchOptions): { rooms: number; messages: number } {
  return { rooms: rooms ?? 2_000, messages: messages ?? 10 };
}

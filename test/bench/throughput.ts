/** Many rooms with waiting messages, acks at once, nothing lost: how much goes through, and what a message costs. */
import type { Rig } from '../../simulators/rig/rig.ts';
import { beside, contest } from './contest.ts';
import { contestantsOf } from './contestants.ts';
import { type Engine, startRoomline } from './engine.ts';
import { loadOf } from './load.ts';
import type { BenchOptions } from './options.ts';
import { conclude, type Passage, pass, type Shown } from './passage.ts';
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
    const terms = { maxConcurrentSends: Number(channel.maxConcurrentSends), ackTimeoutMs: LONG_ACK_TIMEOUT_MS };
    return withSystem(
      { channel, settings: options.settings, redis: options.redis, platform, signal, say },
      async (rig) => {
        const measure = (engine: Engine, sizes: readonly number[]) => measureBatches(rig, engine, sizes, context);
        const roomline = await measure(await startRoomline(rig, CHANNEL, context), options.batch);
        const others = await contest(rig, contestants, terms, context, (engine) =>
          measure(engine, options.batch.slice(0, 1)),
        );
        return beside(roomline, others);
      },
    );
  },
};

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

function sizeOf({ rooms, messages }: BenchOptions): { rooms: number; messages: number } {
  return { rooms: rooms ?? 2_000, messages: messages ?? 10 };
}

/** Messages that arrive steadily whatever the engine does: with quick acks, at the scale of a chat product, for long. */
import type { Rig } from '../../simulators/rig/rig.ts';
import { beside, contest } from './contest.ts';
import type { Contestant } from './contestant.ts';
import { contestantsOf } from './contestants.ts';
import { type Engine, startRoomline } from './engine.ts';
import { figure, type RunFigures } from './figures.ts';
import { loadOf, type Shape } from './load.ts';
import type { BenchOptions } from './options.ts';
import { conclude, pass, type Shown } from './passage.ts';
import { CHANNEL, withSystem } from './system.ts';
import { LONG_ACK_TIMEOUT_MS, type Workload, type WorkloadContext } from './workload.ts';

const QUICK_ACKS = { kind: 'uniform', minMs: 0, maxMs: 5 } as const;
const PHONE_ACKS = { kind: 'lognormal', medianMs: 100, p99Ms: 400 } as const;
/** Messages of a room that arrive together: an answer in several bubbles. */
const BURST = 3;
const PER_SECOND = 600;
const STEADY_SECONDS = 30;
const STEADY_SENDS = 64;
const SOAK_MINUTES = 30;
const LOSS = 0.12;
const CHAT_TIMEOUT_MS = 2_000;
const CHAT_BURST = 2;
/** Of each room at once, to find out how much goes through. */
const CAPACITY_MESSAGES = 2;
const SENDS = 512;
const SHARE_OF_CAPACITY = 0.5;

/** 600 messages/s over 2,000 rooms, acks at once. */
export const steady: Workload = {
  describe: (options) => `steady: ${describeSteady(options, STEADY_SECONDS / 60)}`,
  measure: (context) =>
    measureSteady(context, STEADY_SECONDS / 60, contestantsOf(context.options.against, context.say)),
};

/** The same for half an hour, and whether memory grows. */
export const soak: Workload = {
  describe: (options) => `soak: ${describeSteady(options, SOAK_MINUTES)}`,
  measure: (context) => measureSteady(context, SOAK_MINUTES, []),
};

function describeSteady(options: BenchOptions, usualMinutes: number): string {
  const { rooms, minutes } = steadyOf(options, usualMinutes);
  const acks = `acks after ${QUICK_ACKS.minMs}–${QUICK_ACKS.maxMs} ms`;
  return `${PER_SECOND} messages/s, ${BURST} of a room at once, over ${rooms} rooms for ${minutes} minutes, ${acks}`;
}

function steadyOf({ rooms, minutes }: BenchOptions, usualMinutes: number): { rooms: number; minutes: number } {
  return { rooms: rooms ?? 2_000, minutes: minutes ?? usualMinutes };
}

async function measureSteady(
  context: WorkloadContext,
  usualMinutes: number,
  contestants: readonly Contestant[],
): Promise<RunFigures> {
  const { options, signal, say } = context;
  const { rooms, minutes } = steadyOf(options, usualMinutes);
  const channel = {
    unlockedBy: 'delivered',
    ackTimeoutMs: LONG_ACK_TIMEOUT_MS,
    maxConcurrentSends: STEADY_SENDS,
    ...options.channel,
  };
  const platform = { defaults: { ackDelayMs: QUICK_ACKS, batch: batchOf(options) } };
  const terms = { maxConcurrentSends: Number(channel.maxConcurrentSends), ackTimeoutMs: LONG_ACK_TIMEOUT_MS };
  return withSystem(
    { channel, settings: options.settings, redis: options.redis, platform, signal, say },
    async (rig) => {
      const messages = BURST * Math.max(1, Math.round((PER_SECOND * 60 * minutes) / rooms / BURST));
      const measure = (engine: Engine) => measureArrivals(rig, engine, { rooms, messages }, context);
      const roomline = await measure(await startRoomline(rig, CHANNEL, context));
      return beside(roomline, await contest(rig, contestants, terms, context, measure));
    },
  );
}

/** After one burst in every room, without which code is not compiled and rooms do not exist yet. */
async function measureArrivals(
  rig: Rig,
  engine: Engine,
  { rooms, messages }: { readonly rooms: number; readonly messages: number },
  context: WorkloadContext,
): Promise<Shown[]> {
  const run = `${context.run}-${engine.channel}`;
  const shape = { channel: engine.channel, rooms, roomPrefix: `${run}-`, burst: BURST };
  const timeouts = { ackTimeoutMs: LONG_ACK_TIMEOUT_MS };
  const warmUp = loadOf({ ...shape, run: `${run}-warm-up`, messages: BURST, perSecond: null });
  await pass(rig, engine, warmUp, timeouts, context);
  const passage = await pass(
    rig,
    engine,
    loadOf({ ...shape, run, messages, perSecond: PER_SECOND }),
    timeouts,
    context,
  );
  await engine.stop();
  return [await conclude(rig, passage)];
}

/** 25,000 rooms, acks as phones give them, some never: what goes through at once, and the latency at half of that. */
export const chat: Workload = {
  describe(options) {
    const acks = `acks around ${PHONE_ACKS.medianMs} ms, ${LOSS * 100} % lost, X = ${CHAT_TIMEOUT_MS / 1_000} s`;
    return `chat: ${roomsOf(options)} rooms, ${acks}; ${CAPACITY_MESSAGES} messages each at once, then ${SHARE_OF_CAPACITY * 100} % of what that passed in a second, ${CHAT_BURST} of a room at once`;
  },

  measure(context) {
    const { options, run, signal, say } = context;
    const rooms = roomsOf(options);
    const channel = {
      unlockedBy: 'delivered',
      ackTimeoutMs: CHAT_TIMEOUT_MS,
      maxConcurrentSends: SENDS,
      ...options.channel,
    };
    const platform = { defaults: { ackDelayMs: PHONE_ACKS, lossShare: LOSS, batch: batchOf(options) } };
    return withSystem(
      { channel, settings: options.settings, redis: options.redis, platform, signal, say },
      async (rig) => {
        const timeouts = { ackTimeoutMs: CHAT_TIMEOUT_MS, losesAcks: true };
        const engine = await startRoomline(rig, CHANNEL, context);
        const shape = { channel: CHANNEL, rooms, roomPrefix: `${run}-` };
        const burst = (name: string): Shape => ({ ...shape, run: `${run}-${name}`, messages: CAPACITY_MESSAGES });
        await pass(rig, engine, loadOf(burst('warm-up')), timeouts, context);
        const burstPassage = await pass(rig, engine, loadOf(burst('burst')), timeouts, context);
        const atOnce = await conclude(rig, burstPassage, 'Roomline, at once');
        const capacity = atOnce.steadyPerSecond;
        const perSecond = capacity * SHARE_OF_CAPACITY;
        const minutes = options.minutes ?? STEADY_SECONDS / 60;
        const messages = CHAT_BURST * Math.max(1, Math.round((perSecond * 60 * minutes) / rooms / CHAT_BURST));
        say(`  ${Math.round(capacity)} messages/s at once; now ${Math.round(perSecond)} messages/s`);
        const half = loadOf({ ...shape, run: `${run}-half`, messages, burst: CHAT_BURST, perSecond });
        const halfPassage = await pass(rig, engine, half, timeouts, context);
        await engine.stop();
        const all: Shown[] = [
          await conclude(rig, burstPassage, 'Roomline, at once'),
          await conclude(rig, halfPassage, 'Roomline, half of capacity'),
        ];
        return {
          ratios: [],
          figures: [figure('capacity', 'messages/s', capacity), ...all.flatMap(({ figures }) => figures)],
          rows: all.map((shown) => ({ shown })),
        };
      },
    );
  },
};

function roomsOf({ rooms }: BenchOptions): number {
  return rooms ?? 25_000;
}

/** Of the numbers that were asked for, the first. */
function batchOf({ batch: [size = 1] }: BenchOptions): { size: number; lingerMs: number } {
  return { size, lingerMs: size === 1 ? 0 : 5 };
}

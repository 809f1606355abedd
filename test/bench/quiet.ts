/** Few rooms, one pair of messages at a time: what a message waits for where nothing else does. */
import { startRoomline } from './engine.ts';
import { loadOf } from './load.ts';
import type { BenchOptions } from './options.ts';
import { conclude, pass } from './passage.ts';
import { CHANNEL, withSystem } from './system.ts';
import { LONG_ACK_TIMEOUT_MS, type Workload } from './workload.ts';

const ACK_DELAY = { kind: 'uniform', minMs: 0, maxMs: 5 } as const;
/** Pairs of one room, so far apart that each finds the system at rest. */
const BURST = 2;
const EVERY_MS = 50;
const PER_SECOND = (BURST * 1_000) / EVERY_MS;
/** Messages of each room that find code that has not been compiled yet. */
const WARM_UP = 4;

export const quiet: Workload = {
  describe(options) {
    const { rooms, messages } = sizeOf(options);
    return `quiet: ${rooms} rooms × ${messages} messages, two of one room every ${EVERY_MS} ms, acks after ${ACK_DELAY.minMs}–${ACK_DELAY.maxMs} ms`;
  },

  measure(context) {
    const { options, run, signal, say } = context;
    const { rooms, messages } = sizeOf(options);
    const channel = { unlockedBy: 'delivered', ackTimeoutMs: LONG_ACK_TIMEOUT_MS, ...options.channel };
    const platform = { defaults: { ackDelayMs: ACK_DELAY } };
    return withSystem(
      { channel, settings: options.settings, redis: options.redis, platform, signal, say },
      async (rig) => {
        const engine = await startRoomline(rig, CHANNEL, context);
        const shape = { channel: CHANNEL, rooms, burst: BURST, perSecond: PER_SECOND };
        const timeouts = { ackTimeoutMs: LONG_ACK_TIMEOUT_MS };
        await pass(rig, engine, loadOf({ ...shape, run: `${run}-warm-up`, messages: WARM_UP }), timeouts, context);
        const passage = await pass(rig, engine, loadOf({ ...shape, run, messages }), timeouts, context);
        await engine.stop();
        const shown = await conclude(rig, passage);
        return { ratios: [], figures: shown.figures, rows: [{ shown }] };
      },
    );
  },
};

function sizeOf({ rooms, messages }: BenchOptions): { rooms: number; messages: number } {
  return { rooms: rooms ?? 20, messages: messages ?? 20 };
}

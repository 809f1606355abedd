/** What signals are worth: webhooks at the holder against webhooks elsewhere, Redis there against Redis gone, in one run. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Verdict } from '../oracle/types.ts';
import type { SettingsPatch } from '../platform/settings.ts';
import { load } from '../rig/publisher.ts';
import { Fleet } from './fleet.ts';
import { readTimeline } from './scene.ts';
import { WEBHOOKS } from './settings.ts';
import type { Spread } from './spread.ts';
import { ackToNext, throughput } from './standstill.ts';

export interface SignalsOptions {
  readonly directory: string;
  readonly seed: number;
  /** Of each of the two channels. */
  readonly rooms: number;
  readonly leaseMs: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface Phase {
  readonly name: 'with Redis' | 'without' | 'with it again';
  readonly perSecond: number;
  /** ms from the beginning of the webhook call to the room's next request. */
  readonly atHolder: Spread;
  readonly elsewhere: Spread;
}

export interface SignalsReport {
  readonly phases: readonly Phase[];
  /** ms from the kill of Redis until both processes knew that signals would not come, and from its start until they knew that they would. */
  readonly lostAfterMs: number;
  readonly backAfterMs: number;
  readonly verdicts: readonly Verdict[];
}

const ACK_TIMEOUT_MS = 5_000;
const PHASE_MS = 12_000;
/** What is not measured at the beginning of each, beside the change itself. */
const SETTLING_MS = 2_000;
/** The first one begins when all messages are in the database, and the processes have run for so long. */
const WARM_MS = 10_000;
const INTAKE_DEADLINE_MS = 60_000;
const POLL_MS = 25;
const DEADLINE_MS = 120_000;
/** Of the two channels: whose webhooks come to the holder, and whose to another process. */
const HOLDER = 'holder';
const ELSEWHERE = 'elsewhere';

/** A room sends about three times a second; nothing is lost and nothing is late. */
const PLATFORM: SettingsPatch = {
  message: {
    send: { responseDelayMs: { kind: 'lognormal', medianMs: 30, p99Ms: 80 } },
    phone: { delayMs: { kind: 'lognormal', medianMs: 250, p99Ms: 500 } },
    status: { sent: { delayMs: 0 }, delivered: { delayMs: 0, lossProbability: 0 } },
  },
  channel: WEBHOOKS,
};

/** @throws Error where no Redis is installed, or something takes too long */
export async function measureSignals(options: SignalsOptions): Promise<SignalsReport> {
  const { rooms, signal, say } = options;
  const fleet = await Fleet.start({
    ...options,
    nodes: [
      { name: 'worker-1', roles: ['worker', 'webhook'] },
      { name: 'front-1', roles: ['api', 'webhook', 'intake'] },
    ],
    channels: { [HOLDER]: {}, [ELSEWHERE]: {} },
    webhooksAt: { [HOLDER]: ['worker-1'], [ELSEWHERE]: ['front-1'] },
    settings: {
      ownership: { leaseMs: options.leaseMs },
      channelDefaults: { ackTimeoutMs: ACK_TIMEOUT_MS, maxConcurrentSends: 256 },
    },
    platform: [PLATFORM],
  });
  try {
    const { redis, rig } = fleet;
    if (redis === null) throw new Error('no Redis is installed (on Debian: apt-get install redis-server)');
    const { publisher, log } = rig.publisher();
    // No room may come to the end of its messages while it is measured.
    const messages = Math.ceil((WARM_MS + 3 * PHASE_MS) / 250) + 20;
    await Promise.all(
      [HOLDER, ELSEWHERE].map((channel) => publisher.publish(load(channel, channel, rooms, messages), { signal })),
    );
    await until(async () => (await fleet.appended()) === 2 * rooms * messages, INTAKE_DEADLINE_MS, signal);
    await delay(WARM_MS, null, { signal });
    const nodes = [...fleet.nodes.values()];
    /** ms until signals are live at both, or are not. */
    const untilLive = async (live: boolean): Promise<number> => {
      const from = performance.now();
      const wanted = live ? 1 : 0;
      await until(
        async () => {
          const all = await Promise.all(nodes.map(({ process }) => process.metrics()));
          return all.every((metrics) => metrics.sum('roomline_signals_live') === wanted);
        },
        DEADLINE_MS,
        signal,
      );
      return Math.round(performance.now() - from);
    };
    const times: { name: Phase['name']; from: number; until: number }[] = [];
    const phase = async (name: Phase['name'], change: () => Promise<void>): Promise<void> => {
      await change();
      say(`  ${name} …`);
      await delay(SETTLING_MS, null, { signal });
      const from = Date.now();
      await delay(PHASE_MS - SETTLING_MS, null, { signal });
      times.push({ name, from, until: Date.now() });
    };
    await phase('with Redis', async () => undefined);
    let lostAfterMs = 0;
    await phase('without', async () => {
      await redis.kill();
      lostAfterMs = await untilLive(false);
    });
    let backAfterMs = 0;
    await phase('with it again', async () => {
      await redis.start();
      backAfterMs = await untilLive(true);
    });
    await rig.untilDrained({ deadlineMs: DEADLINE_MS, signal });
    await rig.untilQuiet({ deadlineMs: DEADLINE_MS, signal });
    const timeline = await readTimeline(fleet);
    const of = (channel: string) => (room: string) => room.startsWith(`${channel}-`);
    const phases = times.map(({ name, from, until }) => ({
      name,
      perSecond: throughput(timeline, from, until),
      atHolder: ackToNext(timeline, of(HOLDER), from, until),
      elsewhere: ackToNext(timeline, of(ELSEWHERE), from, until),
    }));
    const accounts = [...log.accounts()];
    const verdicts = await rig.judge(
      await Promise.all(
        [HOLDER, ELSEWHERE].map(async (channel) => ({
          published: accounts.filter((entry) => entry.channel === channel),
          final: await rig.database.finalState(channel),
          inbox: await rig.database.inbox(channel),
          options: { ackTimeoutMs: ACK_TIMEOUT_MS, expectedMessages: rooms * messages },
        })),
      ),
    );
    return { phases, lostAfterMs, backAfterMs, verdicts };
  } finally {
    await fleet.stop();
  }
}

/** Neither the database nor a process tells of it: they are asked. */
async function until(is: () => Promise<boolean>, deadlineMs: number, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await is())) {
    if (performance.now() > deadline) throw new Error('it takes too long');
    await delay(POLL_MS, null, { signal });
  }
}

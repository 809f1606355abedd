/** What a message costs on each platform, in its own format and with its own statuses: one fake platform after another. */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEMO_CHANNELS, type DemoChannel } from '../../simulators/demo/channels.ts';
import type { FinalRow } from '../../simulators/oracle/types.ts';
import { PROFILES, type ProfileName } from '../../simulators/platform/profiles.ts';
import { DATABASE } from '../../simulators/rig/database.ts';
import { load } from '../../simulators/rig/publisher.ts';
import { type Rig, startRig } from '../../simulators/rig/rig.ts';
import { sayProfile, startRoomline } from './engine.ts';
import { type Figure, figure } from './figures.ts';
import { Observations } from './observations.ts';
import type { BenchOptions } from './options.ts';
import { cpuBetween, cpuTimes, judge, othersShare, writtenBy } from './system.ts';
import { LONG_ACK_TIMEOUT_MS, RUN_DEADLINE_MS, type Workload, type WorkloadContext } from './workload.ts';

const CHANNEL = 'bench';
/** Messages of each room before the clock starts. */
const WARM_UP = 4;
const SENDS = 256;
const MAX_ACK_DELAY_MS = 20;

export const platforms: Workload = {
  describe(options) {
    const { rooms, messages } = sizeOf(options);
    return `platforms: on each, ${rooms} rooms × ${messages} messages after ${WARM_UP} each to warm up, phones within ${MAX_ACK_DELAY_MS} ms, no limits, no loss`;
  },

  async measure(context) {
    const figures: Figure[] = [];
    for (const profile of Object.keys(PROFILES) as ProfileName[]) {
      figures.push(...(await measureOn(DEMO_CHANNELS[profile], context)));
    }
    return { ratios: [], figures };
  },
};

async function measureOn(channel: DemoChannel, context: WorkloadContext): Promise<Figure[]> {
  const { options, signal, say } = context;
  const { profile, policy } = channel;
  const directory = join(tmpdir(), `roomline-bench-${randomBytes(6).toString('hex')}`);
  try {
    const rig = await startRig({
      directory,
      profile,
      channels: {
        [CHANNEL]: {
          ackTimeoutMs: LONG_ACK_TIMEOUT_MS,
          maxConcurrentSends: SENDS,
          minGapMs: 0,
          channelLimit: { perSecond: 0 },
          roomLimit: { everyMs: 0 },
          ...policy,
          ...options.channel,
        },
      },
      settings: options.settings,
      platform: [
        {
          message: {
            send: { responseDelayMs: 0 },
            phone: { delayMs: { kind: 'uniform', minMs: 0, maxMs: MAX_ACK_DELAY_MS } },
          },
          channel: {
            limit: null,
            pairLimit: null,
            heavyLimit: null,
            groupLimit: null,
            queue: null,
            webhooks: { connections: SENDS },
          },
        },
      ],
      startEngine: false,
      signal,
      warn: say,
    });
    try {
      return await measureRig(rig, channel, context);
    } finally {
      await rig.stop();
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measureRig(
  rig: Rig,
  { profile, form, unlockedBy }: DemoChannel,
  context: WorkloadContext,
): Promise<Figure[]> {
  const { rooms, messages } = sizeOf(context.options);
  const { run, signal } = context;
  const engine = await startRoomline(rig, CHANNEL, context);
  const send = async (name: string, each: number) => {
    const { publisher, log } = rig.publisher(name);
    await publisher.publish(load(name, CHANNEL, rooms, each), { form, signal });
    await rig.untilDrained({ deadlineMs: RUN_DEADLINE_MS, signal });
    await rig.untilQuiet({ deadlineMs: RUN_DEADLINE_MS, signal });
    return log;
  };
  await send(`${run}-${profile}-warm-up`, WARM_UP);
  const name = `${run}-${profile}`;
  const written = await writtenBy(rig.postgres.url(DATABASE));
  const before = cpuTimes(rig, engine);
  const log = await send(name, messages);
  const cpu = cpuBetween(before, cpuTimes(rig, engine));
  const after = await writtenBy(rig.postgres.url(DATABASE));
  await engine.stop();
  sayProfile(context);
  const count = rooms * messages;
  // The rooms of the warm-up have names that begin like it.
  const final = (await rig.database.finalState(CHANNEL, `${name}-`)).filter(({ key }) => key.startsWith(`${name}/`));
  const judged = {
    published: log.entries(),
    final,
    options: { unlockedBy, ackTimeoutMs: LONG_ACK_TIMEOUT_MS, expectedMessages: count, partialRooms: true },
  };
  await judge(rig, profile, judged, new Observations(name));
  const each = (ms: number): number => (ms * 1_000) / count;
  const of = (what: string): string => `${profile}: ${what}`;
  return [
    figure(of('from the first accepted to the last settled'), 'messages/s', (count / elapsedMs(final)) * 1_000),
    figure(of('CPU per message, engine'), 'µs', each(cpu.engine)),
    figure(of('CPU per message, Postgres'), 'µs', each(cpu.postgres)),
    figure(of('CPU per message, platform'), 'µs', each(cpu.platform)),
    figure(of('transactions per message'), '', (after.transactions - written.transactions) / count),
    figure(of('WAL per message'), 'bytes', (after.walBytes - written.walBytes) / count),
    figure(of('share of the machine that others used'), '%', othersShare(cpu)),
  ];
}

function elapsedMs(final: readonly FinalRow[]): number {
  const acceptedAt = final.map((row) => row.acceptedAt ?? Number.NaN);
  const settledAt = final.map((row) => row.settledAt ?? Number.NaN);
  return Math.max(...settledAt) - Math.min(...acceptedAt);
}

function sizeOf({ rooms, messages }: BenchOptions): { rooms: number; messages: number } {
  return { rooms: rooms ?? 500, messages: messages ?? 10 };
}

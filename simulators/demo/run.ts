/** One run: the same load three ways, side by side, and what the oracle says of each. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Published } from '../oracle/types.ts';
import type { PlatformStats } from '../platform/platform.ts';
import { load } from '../rig/publisher.ts';
import { NotInTime, type Rig } from '../rig/rig.ts';
import { sendDirectly } from './baseline.ts';
import { ACK_LOSS, type DemoChannel } from './channels.ts';
import type { DemoOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { BASELINES, CHANNEL, PAUSE_MS, type Tokens } from './scenario.ts';
import { type DemoVerdict, demoVerdict } from './verdict.ts';

export interface RunParts {
  readonly rig: Rig;
  readonly run: string;
  readonly channel: DemoChannel;
  readonly tokens: Tokens;
  readonly options: Pick<DemoOptions, 'rooms' | 'messages' | 'seed'>;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  readonly progressEveryMs: number;
}

type Way = keyof typeof BASELINES;

const QUIET_DEADLINE_MS = 30_000;
/** WhatsApp's pair limit lets a message of a room through every 6 s once the burst is spent. */
const SLOWEST_ROOM_MS = 7_000;

/** @throws Error when something does not settle in time, or the signal's reason. */
export async function runDemo(parts: RunParts): Promise<DemoVerdict> {
  const { rig, run, channel, tokens, options, signal } = parts;
  const { rooms, messages } = options;
  const { publisher, log } = rig.publisher();
  const deadlineMs = runDeadlineMs(channel, rooms, messages);
  const drain = { deadlineMs, signal };

  const baseline = (way: Way, pauseMs: number | null): Promise<Published[]> => {
    const { channel: name } = BASELINES[way];
    const direct = { url: rig.platform.url, token: tokens[way], channel, pauseMs, signal };
    return sendDirectly(load(`${run}-${name}`, name, rooms, messages), direct);
  };
  const throughRoomline = async (): Promise<void> => {
    await publisher.publish(load(run, CHANNEL, rooms, messages), { form: channel.form, signal });
    await judgedAnyway(rig.untilDrained(drain));
  };
  const [atOnceSent, pauseSent] = await watched(parts, async () => {
    const sent = await Promise.all([baseline('atOnce', null), baseline('pause', PAUSE_MS), throughRoomline()]);
    await judgedAnyway(rig.untilQuiet({ deadlineMs: QUIET_DEADLINE_MS, signal }));
    return sent;
  });
  const [roomline, atOnce, pause] = await rig.judge([
    {
      published: log.entries(),
      final: await rig.database.finalState(CHANNEL, `${run}-`),
      options: {
        unlockedBy: channel.unlockedBy,
        ackTimeoutMs: channel.ackTimeoutMs,
        expectedMessages: rooms * messages,
        expectedFaults: channel.ack === null ? {} : { [`status_lost_${channel.ack}`]: leastLost(rooms * messages) },
      },
    },
    { published: atOnceSent, options: { discipline: 'none' } },
    { published: pauseSent, options: { discipline: 'none' } },
  ]);
  if (!roomline || !atOnce || !pause) throw new Error('a verdict is missing');
  const { profile, ack } = channel;
  return demoVerdict(
    {
      ...(profile === 'generic' ? {} : { channel: profile }),
      run,
      rooms,
      messagesPerRoom: messages,
      seed: options.seed,
    },
    { roomline, atOnce, pause },
    ack,
  );
}

/** What has not come about by its deadline shows in the verdict. */
async function judgedAnyway(wait: Promise<void>): Promise<void> {
  await wait.catch((error: unknown) => {
    if (!(error instanceof NotInTime)) throw error;
  });
}

/** A run of the usual size is over within two minutes; a larger one gets more. */
function runDeadlineMs({ ackTimeoutMs, leastPerSecond }: DemoChannel, rooms: number, messages: number): number {
  const room = messages * Math.max(ackTimeoutMs, SLOWEST_ROOM_MS);
  return Math.max(90_000, room + ((rooms * messages) / leastPerSecond) * 1_000);
}

/** Fewer lost acks than this would mean that the platform did not lose any on purpose: four standard deviations. */
function leastLost(messages: number): number {
  const expected = messages * ACK_LOSS;
  return Math.max(0, Math.floor(expected - 4 * Math.sqrt(expected * (1 - ACK_LOSS))));
}

/** Tells of the progress of the work while it lasts. */
async function watched<T>(parts: RunParts, work: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const watching = watch(parts, over.signal);
  try {
    return await work();
  } finally {
    over.abort();
    await watching;
  }
}

/** Tells of the progress, counted from now, until the signal. */
async function watch({ rig, options, onProgress, progressEveryMs }: RunParts, signal: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  const first = await look(rig);
  while (!signal.aborted) {
    const now = await look(rig);
    if (now !== null && !signal.aborted) {
      const of = (channel: string, what: 'accepted' | 'shown') =>
        (now.stats.channels[channel]?.[what] ?? 0) - (first?.stats.channels[channel]?.[what] ?? 0);
      const way = (name: string, channel: string) => ({
        name,
        sent: of(channel, 'accepted'),
        shown: of(channel, 'shown'),
      });
      const { atOnce, pause } = BASELINES;
      onProgress({
        elapsedMs: performance.now() - startedAt,
        total: options.rooms * options.messages,
        ways: [
          {
            ...way('Roomline', CHANNEL),
            settled: {
              acked: now.acked - (first?.acked ?? 0),
              assumed: now.assumed - (first?.assumed ?? 0),
            },
          },
          way(atOnce.name, atOnce.channel),
          way(pause.name, pause.channel),
        ],
      });
    }
    await delay(progressEveryMs, null, { signal }).catch(() => undefined);
  }
}

interface Look {
  readonly stats: PlatformStats;
  readonly acked: number;
  readonly assumed: number;
}

/** Null where a part does not answer: then the run itself says what is wrong. */
async function look(rig: Rig): Promise<Look | null> {
  try {
    const [stats, metrics] = await Promise.all([rig.platform.stats(), rig.engine.metrics()]);
    const settled = (outcome: string) => metrics.sum('roomline_messages_settled_total', { outcome });
    return { stats, acked: settled('acked'), assumed: settled('assumed') };
  } catch {
    return null;
  }
}

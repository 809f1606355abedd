/** What happens to a fleet under load: one worker is killed, one told to go, one added; and what its rooms felt of it. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Verdict } from '../oracle/types.ts';
import { load, type Publisher } from '../rig/publisher.ts';
import type { PublisherLog } from '../rig/publisher-log.ts';
import { NotInTime } from '../rig/rig.ts';
import type { Fleet, HeldRoom } from './fleet.ts';
import { afterDrain, afterKill, type DrainAnswer, type KillAnswer } from './standstill.ts';
import { Timeline } from './timeline.ts';

export const CHANNEL = 'main';

export interface Scene {
  readonly fleet: Fleet;
  readonly rooms: number;
  readonly messages: number;
  readonly leaseMs: number;
  readonly ackTimeoutMs: number;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface Shares {
  /** ms since the load began. */
  readonly atMs: number;
  readonly shards: Readonly<Record<string, number>>;
}

export interface SceneReport {
  readonly killed: KillAnswer;
  readonly drained: DrainAnswer & { readonly exitCode: number | null; readonly tookMs: number };
  readonly shares: readonly Shares[];
  readonly settledInTime: boolean;
  readonly verdict: Verdict;
}

const DRAIN_DEADLINE_MS = 300_000;
const QUIET_DEADLINE_MS = 60_000;
const WATCH_MS = 1_000;
const POLL_MS = 15;

/** What was noted while a worker went, for the ground truth to be asked about. */
interface Killing {
  readonly worker: string;
  readonly killedAt: number;
  readonly held: readonly HeldRoom[];
  readonly sending: ReadonlySet<string>;
}

interface Draining {
  readonly worker: string;
  readonly drainedAt: number;
  readonly held: readonly HeldRoom[];
  readonly movedAt: ReadonlyMap<number, number>;
  readonly exitCode: number | null;
  readonly tookMs: number;
}

export interface Timing {
  /** From the first publishing to the kill. */
  readonly killAfterMs: number;
  /** From the take-over to the worker that joins, and from that to the one that goes. */
  readonly pauseMs: number;
}

/** @throws Error where a worker holds nothing when it should go, or the signal's reason */
export async function play(scene: Scene, timing: Timing): Promise<SceneReport> {
  const { fleet, rooms, messages, signal, say } = scene;
  const { publisher, log } = fleet.rig.publisher();
  const watching = new AbortController();
  const shares = watch(scene, log, AbortSignal.any([signal, watching.signal]));
  const published = publishAll(publisher, rooms, messages, signal);
  // What is thrown on the way is told below; until then nobody listens.
  published.catch(() => undefined);
  try {
    await delay(timing.killAfterMs, null, { signal });
    const killing = await kill(scene, 'worker-2');
    await delay(timing.pauseMs, null, { signal });
    const added = `worker-${[...fleet.nodes.keys()].filter((name) => name.startsWith('worker-')).length + 1}`;
    say(`  + ${added} joins`);
    await fleet.add({ name: added, roles: ['worker'] });
    await delay(timing.pauseMs, null, { signal });
    const draining = await drain(scene, 'worker-1');
    await published;
    const settledInTime = await inTime(async () => {
      await fleet.rig.untilDrained({ deadlineMs: DRAIN_DEADLINE_MS, signal });
      await fleet.rig.untilQuiet({ deadlineMs: QUIET_DEADLINE_MS, signal });
    });
    watching.abort();
    return { ...(await judge(scene, log, killing, draining)), shares: await shares, settledInTime };
  } finally {
    watching.abort();
  }
}

async function publishAll(publisher: Publisher, rooms: number, messages: number, signal: AbortSignal): Promise<void> {
  await publisher.publish(load('cluster', CHANNEL, rooms, messages), { signal });
}

async function kill({ fleet, leaseMs, signal, say }: Scene, name: string): Promise<Killing> {
  const node = fleet.node(name);
  const { worker } = node;
  if (worker === null) throw new Error(`${name} holds no shards`);
  const held = await fleet.roomsOf(worker);
  const killedAt = Date.now();
  await node.process.kill9();
  say(`  ✗ ${name} is killed with ${held.length} rooms; its lease lives on for at most ${leaseMs / 1_000} s`);
  // Until somebody takes over only their acks move these rooms, and those that are coming have come by then.
  await delay(leaseMs / 2, null, { signal });
  const found = await fleet.roomsOf(worker);
  const sending = new Set(found.filter(({ phase }) => phase === 'sending').map(({ room }) => room));
  await until(async () => (await fleet.shardsOf(worker)).size === 0, signal);
  say(`  its shards have owners again after ${((Date.now() - killedAt) / 1_000).toFixed(1)} s`);
  return { worker, killedAt, held, sending };
}

async function drain({ fleet, signal, say }: Scene, name: string): Promise<Draining> {
  const node = fleet.node(name);
  const { worker } = node;
  if (worker === null) throw new Error(`${name} holds no shards`);
  const held = await fleet.roomsOf(worker);
  const left = await fleet.shardsOf(worker);
  const shards = left.size;
  const drainedAt = Date.now();
  say(`  − ${name} is told to go with ${held.length} rooms in ${shards} shards`);
  const ended = node.process.stop();
  const movedAt = new Map<number, number>();
  const look = async (): Promise<boolean> => {
    const kept = await fleet.shardsOf(worker);
    const now = Date.now();
    for (const shard of left) {
      if (kept.has(shard)) continue;
      left.delete(shard);
      movedAt.set(shard, now);
    }
    return left.size === 0;
  };
  await until(look, signal);
  const tookMs = Date.now() - drainedAt;
  const exitCode = (await ended)?.code ?? null;
  say(`  ${name} has handed over ${shards} shards in ${tookMs} ms and ended with ${exitCode}`);
  return { worker, drainedAt, held, movedAt, exitCode, tookMs };
}

async function judge(
  { fleet, rooms, messages, ackTimeoutMs }: Scene,
  log: PublisherLog,
  killing: Killing,
  draining: Draining,
): Promise<Pick<SceneReport, 'killed' | 'drained' | 'verdict'>> {
  const { rig } = fleet;
  const timeline = await readTimeline(fleet);
  const [verdict] = await rig.judge([
    {
      published: log.entries(),
      final: await rig.database.finalState(CHANNEL),
      inbox: await rig.database.inbox(CHANNEL),
      fences: await rig.database.fences(),
      options: { ackTimeoutMs, expectedMessages: rooms * messages, killedHolders: 1 },
    },
  ]);
  if (verdict === undefined) throw new Error('the oracle said nothing');
  const { worker, killedAt, sending, held } = killing;
  const { exitCode, tookMs } = draining;
  return {
    killed: afterKill(timeline, { rooms: held.map(({ room }) => room), sending, worker, killedAt, ackTimeoutMs }),
    drained: {
      ...afterDrain(timeline, {
        rooms: draining.held.map(({ room, shard }) => [room, shard] as const),
        worker: draining.worker,
        drainedAt: draining.drainedAt,
        movedAt: draining.movedAt,
      }),
      exitCode,
      tookMs,
    },
    verdict,
  };
}

/** The rooms are named in the keys that `load` gives. */
export async function readTimeline({ rig }: Fleet): Promise<Timeline> {
  const timeline = new Timeline((key) => key.split('/')[1] ?? null);
  for await (const record of rig.platform.groundTruth()) timeline.record(record);
  return timeline;
}

/** One line a second, until the signal; who held how many shards. */
async function watch({ fleet, say }: Scene, log: PublisherLog, signal: AbortSignal): Promise<Shares[]> {
  const startedAt = performance.now();
  const seen: Shares[] = [];
  let before = 0;
  while (!signal.aborted) {
    await delay(WATCH_MS, null, { signal }).catch(() => undefined);
    const [shares, stats] = await Promise.all([fleet.shares(), fleet.rig.platform.stats()]).catch(() => []);
    if (shares === undefined || stats === undefined || signal.aborted) continue;
    const atMs = Math.round(performance.now() - startedAt);
    const shards = Object.fromEntries([...shares].sort(([a], [b]) => a.localeCompare(b)));
    seen.push({ atMs, shards });
    const held = Object.entries(shards).map(([name, count]) => `${name} ${count}`);
    say(
      `${String(Math.round(atMs / 1_000)).padStart(4)} s  published ${log.confirmed}, shown ${stats.shown} ` +
        `(+${stats.shown - before})  shards: ${held.join(', ')}`,
    );
    before = stats.shown;
  }
  return seen;
}

/** False where it was not so in time: the verdict says what is missing. */
async function inTime(wait: () => Promise<void>): Promise<boolean> {
  try {
    await wait();
    return true;
  } catch (error) {
    if (error instanceof NotInTime) return false;
    throw error;
  }
}

/** The database tells of no such change; it is asked. */
async function until(is: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + QUIET_DEADLINE_MS;
  while (!(await is())) {
    if (performance.now() > deadline) throw new Error('the shards have kept their owner');
    await delay(POLL_MS, null, { signal });
  }
}

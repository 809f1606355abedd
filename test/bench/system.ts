/** A complete system for one run, in a folder of its own, and what is read from it before and after the load. */
import { randomBytes, randomInt } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { Oracle } from '../../simulators/oracle/oracle.ts';
import type { FinalRow, OracleOptions, Published, Verdict } from '../../simulators/oracle/types.ts';
import type { LeanPatch } from '../../simulators/platform/lean/settings.ts';
import type { Metrics } from '../../simulators/rig/metrics.ts';
import { underWay } from '../../simulators/rig/platform.ts';
import { findRedis, type RedisServer, startRedis } from '../../simulators/rig/redis.ts';
import { type Rig, startRig } from '../../simulators/rig/rig.ts';
import type { Engine } from './engine.ts';
import { cpuMs, cpuMsWithChildren, machineMs } from './machine.ts';
import type { Observations } from './observations.ts';

export const CHANNEL = 'bench';

export interface SystemOptions {
  /** Policy of the one channel. */
  readonly channel: Readonly<Record<string, unknown>>;
  /** Laid over Roomline's settings, section by section. */
  readonly settings: Readonly<Record<string, object>>;
  /** Policies of further channels, by name. */
  readonly more?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly platform: LeanPatch;
  /** Roomline sends its signals through a Redis of its own. */
  readonly redis: boolean;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** Below the ports that systems hand out to outgoing connections, so that none of those takes it before us. */
const PORTS = { from: 20_000, below: 30_000 };

/** Runs `work` on a fresh system whose engine is not started yet; nothing is left of it afterwards. */
export async function withSystem<T>(options: SystemOptions, work: (rig: Rig) => Promise<T>): Promise<T> {
  const directory = join(tmpdir(), `roomline-bench-${randomBytes(6).toString('hex')}`);
  const redis = options.redis ? await startRedisServer() : null;
  try {
    const rig = await startRig({
      directory,
      httpPort: randomInt(PORTS.from, PORTS.below),
      channels: { [CHANNEL]: options.channel, ...options.more },
      settings: redis === null ? options.settings : { ...options.settings, redis: redisSettings(directory, redis) },
      leanPlatform: options.platform,
      startEngine: false,
      signal: options.signal,
      warn: options.say,
    });
    if (redis !== null) redisServers.set(rig, redis);
    try {
      return await work(rig);
    } finally {
      await rig.stop();
    }
  } finally {
    await redis?.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

const redisServers = new WeakMap<Rig, RedisServer>();

/** Of the Redis that Roomline uses; null where it uses none. */
export function redisPidOf(rig: Rig): number | null {
  return redisServers.get(rig)?.pid ?? null;
}

function redisSettings(directory: string, { url }: RedisServer): object {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, 'redis-url');
  writeFileSync(file, url, { mode: 0o600 });
  return { url: { file } };
}

/** @throws Error in one line where there is none on this machine */
export async function startRedisServer(): Promise<RedisServer> {
  const program = findRedis();
  if (program === null) throw new Error('there is no redis-server or valkey-server on the path');
  return startRedis(program, { appendonly: 'yes', appendfsync: 'everysec' });
}

/** CPU time in ms, each with all its processes. */
export interface CpuTimes {
  readonly engine: number;
  readonly postgres: number;
  readonly redis: number;
  readonly platform: number;
  readonly pubsub: number;
  /** This process: it publishes. */
  readonly publisher: number;
  /** What all processes of the machine used, and other machines took from it. */
  readonly machine: number;
  /** What there was to use. */
  readonly all: number;
}

export function cpuTimes(rig: Rig, engine: Pick<Engine, 'pids' | 'redisPid'>): CpuTimes {
  const { busy, stolen, all } = machineMs();
  const own = process.cpuUsage();
  return {
    engine: engine.pids.reduce((sum, pid) => sum + cpuMsWithChildren(pid), 0),
    postgres: cpuMsWithChildren(rig.postgres.pid ?? 0),
    redis: engine.redisPid === null ? 0 : cpuMsWithChildren(engine.redisPid),
    platform: cpuMs(rig.platform.child?.pid ?? 0),
    pubsub: cpuMs(rig.pubsub.child?.pid ?? 0),
    publisher: (own.user + own.system) / 1_000,
    machine: busy + stolen,
    all,
  };
}

export function cpuBetween(before: CpuTimes, after: CpuTimes): CpuTimes {
  const names = Object.keys(after) as (keyof CpuTimes)[];
  return Object.fromEntries(names.map((name) => [name, after[name] - before[name]])) as unknown as CpuTimes;
}

/** Share of the machine that was used, but not by the parts of this system, in %. */
export function othersShare({ machine, all, ...ours }: CpuTimes): number {
  const used = Object.values(ours).reduce((sum, each) => sum + each, 0);
  return (Math.max(0, machine - used) / all) * 100;
}

/** What Postgres has written so far, and how many transactions of this database it has committed. */
export async function writtenBy(url: string): Promise<{ walBytes: number; transactions: number }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ wal: string; transactions: string }>(
      `SELECT pg_current_wal_lsn() - '0/0' AS wal, xact_commit AS transactions
       FROM pg_stat_database WHERE datname = current_database()`,
    );
    return { walBytes: Number(rows[0]?.wal), transactions: Number(rows[0]?.transactions) };
  } finally {
    await client.end();
  }
}

const POLL_MS = 50;

/** For states of other processes, which no event tells of. @throws Error when the deadline has passed. */
export async function until(
  what: string,
  is: () => Promise<boolean>,
  options: { readonly deadlineMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + options.deadlineMs;
  while (!(await is())) {
    if (performance.now() > deadline)
      throw new Error(`${what}: not so after ${Math.round(options.deadlineMs / 1_000)} s`);
    await delay(POLL_MS, null, { signal: options.signal });
  }
}

/** Messages of the channel that the platform has accepted so far. */
export async function accepted(rig: Rig, channel: string): Promise<number> {
  return (await rig.platform.stats()).channels[channel]?.accepted ?? 0;
}

/**
 * Whether an engine has settled so many messages: the platform has accepted so many of its channel and told of all that
 * it tells of; then the engine is asked, where it counts. The platform is asked first because that costs it little.
 */
export async function hasSettled(rig: Rig, engine: Engine, messages: number): Promise<boolean> {
  const stats = await rig.platform.stats();
  if ((stats.channels[engine.channel]?.accepted ?? 0) < messages || underWay(stats) > 0) return false;
  return (await settledBy(rig, engine)) >= messages;
}

/** Messages that it has settled since it started. Without a count of its own: those that the platform has accepted. */
export async function settledBy(rig: Rig, engine: Engine): Promise<number> {
  const metrics = await engine.metrics();
  if (metrics === null) return accepted(rig, engine.channel);
  return metrics.sum('roomline_messages_settled_total', { channel: `default/${engine.channel}` });
}

/** The run broke a rule: none of its figures counts. */
export class RunNotClean extends Error {
  override name = 'RunNotClean';
}

export interface Judged {
  readonly published: Iterable<Published>;
  readonly final?: Iterable<FinalRow>;
  readonly options: OracleOptions;
}

/** Reads the platform's log once, for the oracle and for what is measured. @throws RunNotClean */
export async function judge(rig: Rig, who: string, load: Judged, observations: Observations): Promise<Verdict> {
  const oracle = new Oracle(load.options);
  for (const entry of load.published) oracle.published(entry);
  for await (const record of rig.platform.groundTruth()) {
    oracle.record(record);
    observations.record(record);
  }
  for (const row of load.final ?? []) oracle.settled(row);
  const verdict = oracle.verdict();
  if (verdict.clean) return verdict;
  const broken = Object.entries(verdict.broken).map(([rule, times]) => `${rule}: ${times}`);
  const examples = verdict.violations.map(
    ({ rule, room, message, detail }) => `${rule}, room ${room}, message ${message}: ${detail}`,
  );
  throw new RunNotClean([`${who} broke rules, so there is no figure: ${broken.join(', ')}`, ...examples].join('\n  '));
}

/** Counted by Roomline between two readings: statements of one kind and their rows. */
export function batches(before: Metrics, after: Metrics, statement: string): { statements: number; rows: number } {
  const grown = (name: string) => after.sum(name, { statement }) - before.sum(name, { statement });
  return { statements: grown('roomline_batch_rows_count'), rows: grown('roomline_batch_rows_sum') };
}

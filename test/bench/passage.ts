/** One load through one engine: what is read before, while and after it passes, and what it shows. */
import type { OracleOptions, Verdict } from '../../simulators/oracle/types.ts';
import type { Metrics } from '../../simulators/rig/metrics.ts';
import type { Rig } from '../../simulators/rig/rig.ts';
import type { Engine } from './engine.ts';
import { ascending, type Figure, figure, quantile, steadyRate } from './figures.ts';
import { histogramQuantile } from './histogram.ts';
import { type Load, type PublishedAt, Publisher, prepared, publishedOf } from './load.ts';
import { MIB, memoryMb as residentMb } from './machine.ts';
import { Observations } from './observations.ts';
import {
  batches,
  type CpuTimes,
  cpuBetween,
  cpuTimes,
  hasSettled,
  judge,
  othersShare,
  RunNotClean,
  settledBy,
  until,
  writtenBy,
} from './system.ts';
import { RUN_DEADLINE_MS, type WorkloadContext } from './workload.ts';

export interface PassageOptions {
  readonly ackTimeoutMs: number;
  /** Acks are lost on purpose, so that messages may end as assumed. */
  readonly losesAcks?: boolean;
  readonly oracle?: OracleOptions;
  /** Whether the load is through, where other loads of the channel are under way beside it. */
  readonly isDone?: () => Promise<boolean>;
}

/** What was read around a load. Not judged yet. */
export interface Passage {
  readonly engine: Engine;
  readonly load: Load;
  readonly options: PassageOptions;
  /** Unix time in ms of the first publish. */
  readonly startedAt: number;
  readonly published: PublishedAt;
  readonly cpu: CpuTimes;
  readonly walBytes: number;
  readonly transactions: number;
  readonly metrics: readonly [Metrics, Metrics] | null;
  /** Resident, at even intervals; the first before the load, the last after it. */
  readonly memoryMb: readonly number[];
}

/** What a judged load shows. */
export interface Shown {
  readonly name: string;
  readonly count: number;
  readonly perSecond: number;
  readonly steadyPerSecond: number;
  readonly gapP50Ms: number;
  readonly gapP99Ms: number;
  readonly firstSendP50Ms: number;
  readonly firstSendP99Ms: number;
  readonly timeoutLateP50Ms: number;
  readonly timeoutLateP99Ms: number;
  /** CPU time in µs of a message. */
  readonly engineUs: number;
  readonly postgresUs: number;
  readonly redisUs: number;
  readonly walBytes: number;
  readonly transactions: number;
  /** Messages that a phone showed after a later one, and in how many rooms. */
  readonly swaps: { readonly total: number; readonly rooms: number };
  readonly figures: readonly Figure[];
}

const MEMORY_EVERY_MS = 250;

/** Publishes the load and waits until all of it has been told of, or has timed out. */
export async function pass(
  rig: Rig,
  engine: Engine,
  load: Load,
  options: PassageOptions,
  context: WorkloadContext,
): Promise<Passage> {
  const { signal, say } = context;
  const door = engine.name === 'Roomline' ? context.options.intake : 'pubsub';
  const publisher = Publisher.open(rig, door);
  try {
    if (load.perSecond === null) prepared(load);
    const goal = (await settledBy(rig, engine)) + load.count;
    const written = await writtenBy(engine.databaseUrl);
    const metricsBefore = await engine.metrics();
    const memoryMb = [memoryOf(engine)];
    const watch = setInterval(() => memoryMb.push(memoryOf(engine)), MEMORY_EVERY_MS);
    try {
      const cpuBefore = cpuTimes(rig, engine);
      const startedAt = performance.timeOrigin + performance.now();
      const published = await publisher.publish(load, signal);
      const publishedMs = performance.timeOrigin + performance.now() - startedAt;
      const deadlineMs = RUN_DEADLINE_MS + load.count;
      const isDone = options.isDone ?? (() => hasSettled(rig, engine, goal));
      await until('all messages are settled', isDone, { deadlineMs, signal });
      const cpu = cpuBetween(cpuBefore, cpuTimes(rig, engine));
      const elapsedMs = performance.timeOrigin + performance.now() - startedAt;
      say(`  ${load.run}: ${load.count} messages, published in ${ms(publishedMs)}, settled in ${ms(elapsedMs)}`);
      const metricsAfter = await engine.metrics();
      const after = await writtenBy(engine.databaseUrl);
      return {
        engine,
        load,
        options,
        startedAt,
        published,
        cpu,
        walBytes: after.walBytes - written.walBytes,
        transactions: after.transactions - written.transactions,
        metrics: metricsBefore === null || metricsAfter === null ? null : [metricsBefore, metricsAfter],
        memoryMb: [...memoryMb, memoryOf(engine)],
      };
    } finally {
      clearInterval(watch);
    }
  } finally {
    await publisher.close();
  }
}

function memoryOf({ pids }: Engine): number {
  return pids.reduce((sum, pid) => sum + residentMb(pid), 0);
}

function ms(value: number): string {
  return `${Math.round(value).toLocaleString('en-US')} ms`;
}

/** Has the oracle judge a load that is through. @throws RunNotClean */
export async function judgeLoad(
  rig: Rig,
  engine: Engine,
  load: Load,
  options: PassageOptions,
  label: string,
  observations: Observations,
): Promise<Verdict> {
  const rows = await engine.final(load.roomPrefix);
  const final = rows?.filter(({ key }) => key.startsWith(`${load.run}/`));
  const judged = {
    discipline: engine.discipline,
    unlockedBy: ['delivered' as const],
    ackTimeoutMs: options.ackTimeoutMs,
    expectedMessages: load.count,
    // Other loads may have used the same rooms.
    partialRooms: rows?.length !== final?.length,
    ...options.oracle,
  };
  const logs = { published: publishedOf(load), ...(final === undefined ? {} : { final }), options: judged };
  const verdict = await judge(rig, label, logs, observations);
  const { acked = 0, assumed = 0 } = verdict.messages.outcomes;
  const settled = options.losesAcks === true ? acked + assumed : acked;
  if (final !== undefined && judged.drained !== false && settled !== load.count) {
    const outcomes = JSON.stringify(verdict.messages.outcomes);
    throw new RunNotClean(`${label}: not every message was settled as it should be: ${outcomes}`);
  }
  return verdict;
}

/** What a load shows, once the oracle has judged it. @param label instead of the engine's name @throws RunNotClean */
export async function conclude(rig: Rig, passage: Passage, label = passage.engine.name): Promise<Shown> {
  const { engine, load, options } = passage;
  const observations = new Observations(load.run);
  const verdict = await judgeLoad(rig, engine, load, options, label, observations);
  return shownBy(passage, label, observations, verdict.swaps);
}

function shownBy(passage: Passage, label: string, observations: Observations, { total, rooms }: Shown['swaps']): Shown {
  const { load, cpu, startedAt, published, options } = passage;
  const { count } = load;
  const publishedAt = publishTimes(load, published);
  const at = (key: string): number => publishedAt.get(key) ?? Number.NaN;
  const gaps = observations.gapsMs(undefined, at);
  const late = observations.timeoutsLateMs(options.ackTimeoutMs, at);
  const firstSends = ascending(
    firstOfTheirBursts(load).map((key) => (observations.receivedAt(key) ?? Number.NaN) - at(key)),
  );
  const settled = options.losesAcks === true ? observations.allReceivedAt() : observations.settledAt();
  const elapsedMs = (settled.at(-1) ?? Number.NaN) - startedAt;
  const each = (millis: number): number => (millis * 1_000) / count;
  const shown = {
    name: label,
    count,
    perSecond: (count / elapsedMs) * 1_000,
    steadyPerSecond: steadyRate(settled),
    gapP50Ms: quantile(gaps, 0.5),
    gapP99Ms: quantile(gaps, 0.99),
    firstSendP50Ms: quantile(firstSends, 0.5),
    firstSendP99Ms: quantile(firstSends, 0.99),
    timeoutLateP50Ms: quantile(late, 0.5),
    timeoutLateP99Ms: quantile(late, 0.99),
    engineUs: each(cpu.engine),
    postgresUs: each(cpu.postgres),
    redisUs: each(cpu.redis),
    walBytes: passage.walBytes / count,
    transactions: passage.transactions / count,
    swaps: { total, rooms },
  };
  const of = (name: string): string => `${label}: ${name}`;
  const figures: Figure[] = [
    figure(of('end to end'), 'messages/s', shown.perSecond),
    figure(of('middle 80 %'), 'messages/s', shown.steadyPerSecond),
    figure(of('CPU per message, engine'), 'µs', shown.engineUs),
    figure(of('CPU per message, Postgres'), 'µs', shown.postgresUs),
    ...(passage.engine.redisPid === null ? [] : [figure(of('CPU per message, Redis'), 'µs', shown.redisUs)]),
    figure(of('CPU per message, engine, Postgres and Redis'), 'µs', totalUs(shown)),
    figure(of('CPU per message, platform'), 'µs', each(cpu.platform)),
    figure(of('CPU per message, Pub/Sub'), 'µs', each(cpu.pubsub)),
    figure(of('CPU per message, publisher'), 'µs', each(cpu.publisher)),
    figure(of('gap from ack to next send, p50'), 'ms', shown.gapP50Ms),
    figure(of('gap from ack to next send, p99'), 'ms', shown.gapP99Ms),
    figure(of('gap from ack to next send, greatest'), 'ms', gaps.at(-1) ?? Number.NaN),
    figure(of('from publish to first send, p50'), 'ms', shown.firstSendP50Ms),
    figure(of('from publish to first send, p99'), 'ms', shown.firstSendP99Ms),
    figure(of('from publish to first send, greatest'), 'ms', firstSends.at(-1) ?? Number.NaN),
    ...(options.losesAcks === true
      ? [
          figure(of('sent so much later than X, p50'), 'ms', shown.timeoutLateP50Ms),
          figure(of('sent so much later than X, p99'), 'ms', shown.timeoutLateP99Ms),
        ]
      : []),
    ...(load.perSecond === null ? [] : [figure(of('publisher behind its plan, most'), 'ms', published.mostLateMs)]),
    figure(of('webhook calls per message'), '', observations.calls / count),
    figure(of('transactions per message'), '', shown.transactions),
    figure(of('WAL per message'), 'bytes', shown.walBytes),
    ...(total === 0 ? [] : [figure(of('messages shown after a later one'), 'messages', total)]),
    ...byMetrics(passage, of),
    ...garbage(passage, of),
    ...memoryFigures(passage, of),
    figure(of('share of the machine that others used'), '%', othersShare(cpu)),
  ];
  return { ...shown, figures };
}

/** Of a steady load, its quarters show whether memory grows. */
function memoryFigures({ load, memoryMb }: Passage, of: (name: string) => string): Figure[] {
  const quarter = Math.floor(memoryMb.length / 4);
  const mean = (from: number): number =>
    memoryMb.slice(from, from + quarter).reduce((sum, mb) => sum + mb, 0) / quarter;
  return [
    figure(of('memory before the load'), 'MB', memoryMb[0] ?? Number.NaN),
    figure(
      of('memory, most'),
      'MB',
      memoryMb.reduce((most, mb) => Math.max(most, mb), 0),
    ),
    figure(of('memory after the load'), 'MB', memoryMb.at(-1) ?? Number.NaN),
    ...(load.perSecond === null
      ? []
      : [
          figure(of('memory, mean of the second quarter'), 'MB', mean(quarter)),
          figure(of('memory, mean of the last quarter'), 'MB', mean(memoryMb.length - quarter)),
        ]),
  ];
}

export function totalUs({ engineUs, postgresUs, redisUs }: Pick<Shown, 'engineUs' | 'postgresUs' | 'redisUs'>): number {
  return engineUs + postgresUs + redisUs;
}

/** What the engine says of itself. */
function byMetrics({ metrics, load: { count } }: Passage, of: (name: string) => string): Figure[] {
  if (metrics === null) return [];
  const [before, after] = metrics;
  const [append, compareAndSet] = [batches(before, after, 'append'), batches(before, after, 'compare_and_set')];
  const own = (share: number): number =>
    histogramQuantile(before, after, 'roomline_ack_to_next_send_seconds', share) * 1_000;
  return [
    figure(of('gap by its own histogram, p50'), 'ms', own(0.5)),
    figure(of('gap by its own histogram, p99'), 'ms', own(0.99)),
    figure(of('statements per message'), '', (append.statements + compareAndSet.statements) / count),
    figure(of('rows per append'), '', append.rows / append.statements),
    figure(of('rows per compare-and-set'), '', compareAndSet.rows / compareAndSet.statements),
    figure(of('compare-and-set rows per message'), '', compareAndSet.rows / count),
    figure(of('JavaScript heap in use before the load'), 'MB', heapMb(before)),
    figure(of('JavaScript heap in use after the load'), 'MB', heapMb(after)),
  ];
}

/** Collecting it is part of the engine's CPU; a pause holds everything up. */
function garbage({ metrics, cpu }: Passage, of: (name: string) => string): Figure[] {
  if (metrics === null) return [];
  const [before, after] = metrics;
  const grown = (what: string): number =>
    after.sum(`nodejs_gc_duration_seconds_${what}`) - before.sum(`nodejs_gc_duration_seconds_${what}`);
  return [
    figure(of('garbage collection, share of the engine'), '%', (grown('sum') * 1e5) / cpu.engine),
    figure(of('garbage collection, mean pause'), 'ms', (grown('sum') * 1_000) / grown('count')),
  ];
}

/** What is garbage by now still counts. */
export function heapMb(metrics: Metrics): number {
  return metrics.sum('nodejs_heap_size_used_bytes') / MIB;
}

function publishTimes(load: Load, { times }: PublishedAt): Map<string, number> {
  const byKey = new Map<string, number>();
  let index = 0;
  for (const { messageId } of load.messages()) byKey.set(messageId, times[index++] ?? Number.NaN);
  return byKey;
}

/** Of messages that follow each other in one room, only the first waits for nothing but the engine. */
function firstOfTheirBursts(load: Load): string[] {
  const firsts: string[] = [];
  let before = '';
  for (const { room, messageId } of load.messages()) {
    if (room !== before) firsts.push(messageId);
    before = room;
  }
  return firsts;
}

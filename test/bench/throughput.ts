/** Many rooms with waiting messages, acks at once, nothing lost: how much goes through, and what a message costs. */
import type { OracleOptions } from '../../simulators/oracle/types.ts';
import { DATABASE } from '../../simulators/rig/database.ts';
import { load } from '../../simulators/rig/publisher.ts';
import type { Rig } from '../../simulators/rig/rig.ts';
import { BASELINE_CHANNEL, startBaseline } from './baseline.ts';
import { sayProfile, startEngine } from './engine.ts';
import { type Figure, figure, quantile, steadyRate } from './figures.ts';
import { histogramQuantile } from './histogram.ts';
import { memoryMb } from './machine.ts';
import { Observations } from './observations.ts';
import type { BenchOptions } from './options.ts';
import {
  accepted,
  allTold,
  batches,
  CHANNEL,
  type CpuTimes,
  cpuBetween,
  cpuTimes,
  judge,
  othersShare,
  RunNotClean,
  until,
  withSystem,
  writtenBy,
} from './system.ts';
import { LONG_ACK_TIMEOUT_MS, RUN_DEADLINE_MS, type Workload, type WorkloadContext } from './workload.ts';

const ACK_DELAY = { minMs: 0, maxMs: 5 };
const SENDS = 256;
/** Messages of each room before the clock starts: code is compiled and connections are open then. */
const WARM_UP = 5;

interface Load {
  readonly rooms: number;
  readonly messages: number;
}

/** What can be said of any engine that took this load. */
interface Passed {
  readonly elapsedMs: number;
  readonly perSecond: number;
  readonly steadyPerSecond: number;
  readonly gapP50Ms: number;
  readonly gapP99Ms: number;
  readonly cpu: CpuTimes;
  readonly walBytes: number;
  readonly transactions: number;
}

export const throughput: Workload = {
  describe(options) {
    const { rooms, messages } = sizeOf(options);
    const acks = `acks after ${ACK_DELAY.minMs}–${ACK_DELAY.maxMs} ms`;
    const load = `${rooms} rooms × ${messages} messages after ${WARM_UP} each to warm up`;
    return `throughput: ${load}, ${acks}, one per webhook call, no loss`;
  },

  measure(context) {
    const { options, signal, say } = context;
    const channel = {
      unlockedBy: 'delivered',
      ackTimeoutMs: LONG_ACK_TIMEOUT_MS,
      maxConcurrentSends: SENDS,
      ...options.channel,
    };
    const platform = { message: { status: { delivered: { delayMs: { kind: 'uniform' as const, ...ACK_DELAY } } } } };
    return withSystem({ channel, settings: options.settings, platform, signal, say }, async (rig) => {
      const roomline = await throughRoomline(rig, context);
      if (!options.baseline) return { ratios: [], figures: roomline.figures };
      const baseline = await throughBaseline(rig, context, Number(channel.maxConcurrentSends));
      return {
        ratios: ratiosOf(roomline.passed, baseline.passed),
        figures: [...roomline.figures, ...baseline.figures],
      };
    });
  },
};

function sizeOf({ rooms, messages }: BenchOptions): Load {
  return { rooms: rooms ?? 2_000, messages: messages ?? 10 };
}

interface Measured {
  readonly passed: Passed;
  readonly figures: readonly Figure[];
}

async function throughRoomline(rig: Rig, context: WorkloadContext): Promise<Measured> {
  const { options, signal } = context;
  const size = sizeOf(options);
  const count = size.rooms * size.messages;
  const url = rig.postgres.url(DATABASE);
  const pid = await startEngine(rig, context);
  const memoryAtStart = memoryMb(pid);
  await warmUp(rig, CHANNEL, pid, context);
  const memoryBefore = memoryMb(pid);
  const writtenBefore = await writtenBy(url);
  const metricsBefore = await rig.engine.metrics();
  const sent = await send(rig, `${context.run}-roomline`, CHANNEL, size, pid, context);
  const metrics = await rig.engine.metrics();
  const memory = memoryMb(pid);
  await rig.untilDrained({ deadlineMs: RUN_DEADLINE_MS, signal });
  await rig.engine.stop();
  sayProfile(context);
  const written = await writtenBy(url);
  const final = await rig.database.finalState(CHANNEL, `${sent.run}-`);
  const observations = new Observations(sent.run);
  const verdict = await judge(rig, 'Roomline', { ...sent, final, options: oracleOptions(count) }, observations);
  if (verdict.messages.outcomes.acked !== count) {
    throw new RunNotClean(`not every message was acked: ${JSON.stringify(verdict.messages.outcomes)}`);
  }
  const passed = passedOf(sent, observations, count, writtenBefore, written);
  const each = (statement: string) => batches(metricsBefore, metrics, statement);
  const [append, compareAndSet] = [each('append'), each('compare_and_set')];
  const ownGap = (share: number) =>
    histogramQuantile(metricsBefore, metrics, 'roomline_ack_to_next_send_seconds', share) * 1_000;
  return {
    passed,
    figures: [
      ...figuresOf('Roomline', passed, count),
      figure('Roomline: gap by its own histogram, p50', 'ms', ownGap(0.5)),
      figure('Roomline: gap by its own histogram, p99', 'ms', ownGap(0.99)),
      figure('Roomline: batches per message', '', (append.statements + compareAndSet.statements) / count),
      figure('Roomline: rows per append', '', append.rows / append.statements),
      figure('Roomline: rows per compare-and-set', '', compareAndSet.rows / compareAndSet.statements),
      figure('Roomline: compare-and-set rows per message', '', compareAndSet.rows / count),
      figure('Roomline: memory at its start', 'MB', memoryAtStart),
      figure('Roomline: memory before the load', 'MB', memoryBefore),
      figure('Roomline: memory after the load', 'MB', memory),
    ],
  };
}

async function throughBaseline(rig: Rig, context: WorkloadContext, sends: number): Promise<Measured> {
  const size = sizeOf(context.options);
  const count = size.rooms * size.messages;
  const baseline = await startBaseline(rig, sends, context.signal);
  const { pid } = baseline.child;
  try {
    await warmUp(rig, BASELINE_CHANNEL, pid, context);
    const writtenBefore = await writtenBy(baseline.databaseUrl);
    const sent = await send(rig, `${context.run}-baseline`, BASELINE_CHANNEL, size, pid, context);
    await baseline.child.stop();
    const written = await writtenBy(baseline.databaseUrl);
    const observations = new Observations(sent.run);
    await judge(rig, 'The baseline', { ...sent, options: oracleOptions(count) }, observations);
    const passed = passedOf(sent, observations, count, writtenBefore, written);
    return { passed, figures: figuresOf('Baseline', passed, count) };
  } finally {
    await baseline.child.kill9();
  }
}

interface Sent {
  readonly run: string;
  readonly published: ReturnType<ReturnType<Rig['publisher']>['log']['entries']>;
  /** Unix time in ms of the first publish. */
  readonly startedAt: number;
  readonly cpu: CpuTimes;
}

async function warmUp(rig: Rig, channel: string, pid: number, context: WorkloadContext): Promise<void> {
  const { rooms } = sizeOf(context.options);
  await send(rig, `${context.run}-warm-up-${channel}`, channel, { rooms, messages: WARM_UP }, pid, context);
}

/** Publishes the load and waits until the platform has told of all of it and was answered. */
async function send(
  rig: Rig,
  run: string,
  channel: string,
  { rooms, messages }: Load,
  pid: number,
  { signal, say }: WorkloadContext,
): Promise<Sent> {
  const { publisher, log } = rig.publisher(run);
  // Made before the clock starts: what publishers do to make their messages is not ours to measure.
  const all = [...load(run, channel, rooms, messages)];
  const total = (await accepted(rig, channel)) + all.length;
  const cpuBefore = cpuTimes(rig, pid);
  const startedAt = Date.now();
  await publisher.publish(all, { signal });
  const publishedMs = Date.now() - startedAt;
  const done = () => allTold(rig, channel, total);
  await until('all messages are delivered and told of', done, { deadlineMs: RUN_DEADLINE_MS, signal });
  const cpu = cpuBetween(cpuBefore, cpuTimes(rig, pid));
  say(`  ${run}: published in ${publishedMs} ms, delivered in ${Date.now() - startedAt} ms`);
  return { run, published: log.entries(), startedAt, cpu };
}

function oracleOptions(count: number): OracleOptions {
  return { unlockedBy: ['delivered'], ackTimeoutMs: LONG_ACK_TIMEOUT_MS, expectedMessages: count };
}

function passedOf(
  { startedAt, cpu }: Sent,
  observations: Observations,
  count: number,
  before: Awaited<ReturnType<typeof writtenBy>>,
  after: Awaited<ReturnType<typeof writtenBy>>,
): Passed {
  const settled = observations.settledAt();
  const gaps = observations.gapsMs();
  const elapsedMs = (settled.at(-1) ?? Number.NaN) - startedAt;
  return {
    elapsedMs,
    perSecond: (count / elapsedMs) * 1_000,
    steadyPerSecond: steadyRate(settled),
    gapP50Ms: quantile(gaps, 0.5),
    gapP99Ms: quantile(gaps, 0.99),
    cpu,
    walBytes: after.walBytes - before.walBytes,
    transactions: after.transactions - before.transactions,
  };
}

function figuresOf(who: string, passed: Passed, count: number): Figure[] {
  const { cpu } = passed;
  const each = (ms: number) => (ms * 1_000) / count;
  return [
    figure(`${who}: end to end`, 'messages/s', passed.perSecond),
    figure(`${who}: middle 80 %`, 'messages/s', passed.steadyPerSecond),
    figure(`${who}: gap from ack to next send, p50`, 'ms', passed.gapP50Ms),
    figure(`${who}: gap from ack to next send, p99`, 'ms', passed.gapP99Ms),
    figure(`${who}: CPU per message, engine`, 'µs', each(cpu.engine)),
    figure(`${who}: CPU per message, Postgres`, 'µs', each(cpu.postgres)),
    figure(`${who}: CPU per message, Pub/Sub`, 'µs', each(cpu.pubsub)),
    figure(`${who}: CPU per message, fake platform`, 'µs', each(cpu.platform)),
    figure(`${who}: CPU per message, publisher`, 'µs', each(cpu.publisher)),
    figure(`${who}: transactions per message`, '', passed.transactions / count),
    figure(`${who}: WAL per message`, 'bytes', passed.walBytes / count),
    figure(`${who}: share of the machine that others used`, '%', othersShare(cpu)),
  ];
}

function ratiosOf(roomline: Passed, baseline: Passed): Figure[] {
  const both = ({ cpu }: Passed) => cpu.engine + cpu.postgres;
  return [
    figure('messages/s, end to end', '×', roomline.perSecond / baseline.perSecond),
    figure('messages/s, middle 80 %', '×', roomline.steadyPerSecond / baseline.steadyPerSecond),
    figure('CPU per message, engine and Postgres', '×', both(roomline) / both(baseline)),
    figure('CPU per message, engine', '×', roomline.cpu.engine / baseline.cpu.engine),
    figure('CPU per message, Postgres', '×', roomline.cpu.postgres / baseline.cpu.postgres),
    figure('gap from ack to next send, p50', '×', roomline.gapP50Ms / baseline.gapP50Ms),
    figure('gap from ack to next send, p99', '×', roomline.gapP99Ms / baseline.gapP99Ms),
    figure('transactions per message', '×', roomline.transactions / baseline.transactions),
    figure('WAL per message', '×', roomline.walBytes / baseline.walBytes),
  ];
}

/** A load through the model, and what came of it. */
import { chanceFor, type WorldChance } from '../world/chance.ts';
import type { UnitCosts } from './costs.ts';
import { Timeline } from './machine.ts';
import { type Draw, type Message, newRoom, type Room, System, type SystemSpec } from './model.ts';

export interface Load {
  readonly rooms: number;
  /** Of a room together. */
  readonly burst: number;
  readonly arrival:
    | { readonly kind: 'at_once'; readonly perRoom: number }
    /** One room after the other, or whichever it happens to be. */
    | { readonly kind: 'steady'; readonly perSecond: number; readonly seconds: number; readonly inTurn: boolean };
}

/** Times in ms, CPU in µs per message; NaN where there was none. */
export interface Outcome {
  readonly messages: number;
  readonly perSecond: number;
  readonly steadyPerSecond: number;
  readonly engineUs: number;
  readonly postgresUs: number;
  readonly gapMs: Quantiles;
  /** Of the first of those that came together. */
  readonly firstSendMs: Quantiles;
  /** The same where nothing of their room was under way. */
  readonly freeSendMs: Quantiles;
  /** From arrival to the platform, of all messages, whatever they waited for. */
  readonly sentMs: Quantiles;
  readonly timeoutLateMs: Quantiles;
  /** From X to the decision that it has passed. */
  readonly givenUpLateMs: Quantiles;
  readonly statementsPerMessage: number;
  readonly rowsPerAppend: number;
  readonly rowsPerWrite: number;
  readonly writeRowsPerMessage: number;
  readonly syncsPerSecond: number;
  readonly commitsPerSecond: number;
  /** Of an engine's core, and of all cores of Postgres together. */
  readonly engineLoad: number;
  readonly postgresCores: number;
  /** Rooms that wait for an ack which never comes, on the mean. */
  readonly blockedRooms: number;
  /** Messages that arrived and were not sent when the last had arrived. */
  readonly backlog: number;
}

export interface Quantiles {
  readonly p50: number;
  readonly p99: number;
}

/** The first part of a steady load fills the system and is not counted. */
const WARM_UP = 0.2;
const TICK_MS = 5;
/** What came at once is settled by then, or never. */
const MOST_MS = 3_600_000;

/** The same seed, the same outcome. */
export function simulate(spec: SystemSpec, costs: UnitCosts, load: Load, seed = 1): Outcome {
  const timeline = new Timeline();
  const system = new System(timeline, spec, costs, chanceFor(seed, 'system'));
  const rooms = Array.from({ length: load.rooms }, (_, number) => newRoom(number, spec));
  const { arrival } = load;
  if (arrival.kind === 'at_once') {
    for (let index = 0; index < arrival.perRoom; index++) {
      for (const room of rooms) system.publish(room, message(0, index === 0));
    }
    const count = load.rooms * arrival.perRoom;
    timeline.run(MOST_MS, () => system.settled >= count);
    return outcomeOf(system, rooms, { from: 0, atMs: timeline.now, before: usage(system, true) });
  }
  arrive(system, rooms, load, arrival, chanceFor(seed, 'arrival'));
  const fromMs = arrival.seconds * WARM_UP * 1_000;
  timeline.run(fromMs);
  const before = usage(system);
  timeline.run(arrival.seconds * 1_000);
  return outcomeOf(system, rooms, { from: fromMs, atMs: timeline.now, before });
}

/** Two quantiles: what half of them keep to, and 99 of 100. */
export function lognormal({ p50, p99 }: Quantiles): Draw {
  const sigma = p50 > 0 ? Math.log(p99 / p50) / 2.3263478740408408 : 0;
  return (chance) => {
    if (sigma === 0) return p50;
    const radius = Math.sqrt(-2 * Math.log(1 - chance.uniform()));
    return p50 * Math.exp(sigma * radius * Math.cos(2 * Math.PI * chance.uniform()));
  };
}

export function uniform(minMs: number, maxMs: number): Draw {
  return (chance) => minMs + chance.uniform() * (maxMs - minMs);
}

function message(at: number, isFirst: boolean): Message {
  const never = Number.NaN;
  const times = { sentAt: never, answeredAt: never, ackAt: never, givenUpAt: never, settledAt: never };
  return { isFirst, publishedAt: at, ...times };
}

function arrive(
  system: System,
  rooms: readonly Room[],
  { burst }: Load,
  { perSecond, seconds, inTurn }: Extract<Load['arrival'], { kind: 'steady' }>,
  chance: WorldChance,
): void {
  const { timeline } = system;
  const everyMs = (burst * 1_000) / perSecond;
  let turn = 0;
  let dueAt = 0;
  const next = (): void => {
    while (dueAt <= timeline.now) {
      const room = inTurn ? (rooms[turn++ % rooms.length] as Room) : chance.pick(rooms);
      for (let index = 0; index < burst; index++) system.publish(room, message(timeline.now, index === 0));
      dueAt += inTurn ? everyMs : chance.around(everyMs);
    }
    // Publishers that send in turn look at the clock now and then.
    if (dueAt < seconds * 1_000) timeline.after(Math.max(inTurn ? TICK_MS : 0, dueAt - timeline.now), next);
  };
  timeline.after(0, next);
}

interface Usage {
  readonly settled: number;
  readonly engineUs: number;
  readonly postgresUs: number;
  readonly statements: number;
  readonly appends: { readonly statements: number; readonly rows: number };
  readonly writes: { readonly statements: number; readonly rows: number };
  readonly syncs: number;
}

function usage({ settled, engines, servers, disk }: System, zero = false): Usage {
  const factor = zero ? 0 : 1;
  const sum = <T>(all: readonly T[], of: (one: T) => number): number =>
    factor * all.reduce((total, one) => total + of(one), 0);
  const lanes = engines.flatMap((engine) => engine.lanes);
  const appends = engines.map((engine) => engine.appends);
  const reads = engines.map((engine) => engine.reads);
  return {
    settled: settled * factor,
    engineUs: sum(engines, ({ thread }) => thread.busyUs),
    postgresUs: sum(servers, ({ busyUs }) => busyUs),
    statements: sum([...lanes, ...appends, ...reads], (lane) => lane.statements),
    appends: { statements: sum(appends, (lane) => lane.statements), rows: sum(appends, (lane) => lane.rows) },
    writes: { statements: sum(lanes, (lane) => lane.statements), rows: sum(lanes, (lane) => lane.rows) },
    syncs: disk.syncs * factor,
  };
}

function outcomeOf(
  system: System,
  rooms: readonly Room[],
  { from, atMs, before }: { from: number; atMs: number; before: Usage },
): Outcome {
  const { ackTimeoutMs } = system.spec;
  const after = usage(system);
  const grown = (of: (usage: Usage) => number): number => of(after) - of(before);
  const seconds = (atMs - from) / 1_000;
  const messages = grown(({ settled }) => settled);
  const gaps: number[] = [];
  const firsts: number[] = [];
  const free: number[] = [];
  const sent: number[] = [];
  const late: number[] = [];
  const givenUp: number[] = [];
  const settledAt: number[] = [];
  let blockedMs = 0;
  let backlog = 0;
  for (const { all } of rooms) {
    for (const [index, one] of all.entries()) {
      const next = all[index + 1];
      const isFree = index === 0 || (all[index - 1] as Message).settledAt <= one.publishedAt;
      const wasLost = Number.isNaN(one.ackAt) && one.answeredAt + ackTimeoutMs <= atMs;
      const dueAt = one.answeredAt + ackTimeoutMs;
      if (one.publishedAt >= from) {
        if (Number.isNaN(one.sentAt)) backlog++;
        else {
          sent.push(one.sentAt - one.publishedAt);
          if (one.isFirst) firsts.push(one.sentAt - one.publishedAt);
          if (one.isFirst && isFree) free.push(one.sentAt - one.publishedAt);
        }
        if (one.settledAt >= from) settledAt.push(one.settledAt);
        if (next !== undefined && one.ackAt >= next.publishedAt) gaps.push(next.sentAt - one.ackAt);
        if (wasLost) givenUp.push(one.givenUpAt - dueAt);
        if (wasLost && next !== undefined && next.publishedAt <= dueAt) late.push(next.sentAt - dueAt);
      }
      if (wasLost) {
        blockedMs += Math.max(0, Math.min(dueAt, atMs) - Math.max(one.answeredAt, from));
      }
    }
  }
  const writes = grown((usage) => usage.writes.statements);
  const appends = grown((usage) => usage.appends.statements);
  const postgresUs = grown((usage) => usage.postgresUs);
  const engineUs = grown((usage) => usage.engineUs);
  return {
    messages,
    perSecond: messages / seconds,
    steadyPerSecond: middleRate(settledAt.sort((a, b) => a - b)),
    engineUs: engineUs / messages,
    postgresUs: postgresUs / messages,
    gapMs: quantiles(gaps),
    firstSendMs: quantiles(firsts),
    freeSendMs: quantiles(free),
    sentMs: quantiles(sent),
    timeoutLateMs: quantiles(late),
    givenUpLateMs: quantiles(givenUp),
    statementsPerMessage: grown((usage) => usage.statements) / messages,
    rowsPerAppend: grown((usage) => usage.appends.rows) / appends,
    rowsPerWrite: grown((usage) => usage.writes.rows) / writes,
    writeRowsPerMessage: grown((usage) => usage.writes.rows) / messages,
    syncsPerSecond: grown((usage) => usage.syncs) / seconds,
    commitsPerSecond: grown((usage) => usage.statements) / seconds,
    engineLoad: engineUs / 1e6 / seconds / system.engines.length,
    postgresCores: postgresUs / 1e6 / seconds,
    blockedRooms: blockedMs / 1_000 / seconds,
    backlog,
  };
}

function quantiles(values: number[]): Quantiles {
  const sorted = Float64Array.from(values.filter((value) => !Number.isNaN(value))).sort();
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

/** Without the first and the last tenth. */
function middleRate(sorted: readonly number[]): number {
  const tenth = Math.floor(sorted.length / 10);
  const [first = Number.NaN, last = Number.NaN] = [sorted[tenth], sorted[sorted.length - 1 - tenth]];
  return ((sorted.length - 1 - 2 * tenth) / (last - first)) * 1_000;
}

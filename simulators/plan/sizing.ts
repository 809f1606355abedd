/** From a load and what things cost: what to run, what to expect of it, and what will not hold. */
import type { UnitCosts } from './costs.ts';
import type { SystemSpec } from './model.ts';
import type { Inputs } from './options.ts';
import { type Load, lognormal, type Outcome, type Quantiles, simulate } from './simulate.ts';

export interface Warning {
  /** Stable. */
  readonly code: 'room_limit' | 'channel_limit' | 'capacity' | 'ack_timeout_short' | 'shards' | 'sends_queue';
  /** The promise that would not be kept; null where it is only slow. */
  readonly promise: 'R6' | null;
  readonly text: string;
}

/** Times in ms, CPU in µs per message. */
export interface Plan {
  readonly perSecond: number;
  readonly deployment: {
    /** Each with all roles. */
    readonly processes: number;
    /** The same work by roles, where each scales alone. */
    readonly byRole: { readonly intake: number; readonly webhook: number; readonly worker: number };
    readonly processMemoryMb: number;
    readonly maxConcurrentSends: number;
    readonly postgres: {
      readonly cores: number;
      readonly connections: number;
      readonly hotSetMb: number;
      readonly walMbPerSecond: number;
      readonly commitsPerSecond: number;
      readonly syncsPerSecond: number;
      readonly storageGbPerDay: number;
      readonly storageGb: number;
    };
    /** Null: one process needs none. */
    readonly redis: {
      readonly memoryMb: number;
      readonly corePercent: number;
      readonly signalsPerSecond: number;
    } | null;
  };
  readonly expected: {
    /** From the ack at a webhook to the next request at the platform. */
    readonly gapMs: Quantiles;
    /** From arrival to the platform, where nothing of the room was under way. */
    readonly firstSendMs: Quantiles;
    /** From arrival to the platform, of all messages. */
    readonly sentMs: Quantiles;
    readonly timeoutLateMs: Quantiles;
    readonly engineUs: number;
    readonly postgresUs: number;
    /** Shares of what there is. */
    readonly engineLoad: number;
    readonly postgresLoad: number;
    /** How many times the load would fit before a core or the disk has none left for it. */
    readonly headroom: number;
  };
  readonly lostAcks: {
    readonly blockedRooms: number;
    /** Share of the messages that arrive in such a room. */
    readonly behindLost: number;
    /** Acks that come when X has passed. */
    readonly lateAcks: number;
  };
  /** Messages per second of one room, at most, and what it has to take. */
  readonly room: { readonly most: number; readonly wanted: number };
  readonly warnings: readonly Warning[];
}

const LANES = 2;
const MAX_ROWS = 500;
const LINGER_MS = 2;
const ACCEPTANCE_LINGER_MS = 20;
const WINDOW = 5_000;
const SHARDS = 4_096;
const SIGNAL_MS = 1;
const LEAST_SENDS = 64;
const MOST_SENDS = 10_000;
/** Connections of a process beside its lanes: appends, lease, fence, pool. */
const OTHER_CONNECTIONS = 11;
const SIGNAL_REDIS_US = 1.6;
const SUBSCRIPTION_BYTES = 240;
const REDIS_BASE_MB = 10;
const BODY_CACHE_MB = 64;
/** Of what is in use, until garbage is collected. */
const MEMORY_SLACK = 2;
const MIB = 1_048_576;
/** Where waiting begins to grow without bound. */
const FULL = 0.95;
const NEAR = 0.8;
const ROUNDS = 8;
/** So many messages per second of the simulated part are enough to see how it behaves. */
const SIMULATED_PER_SECOND = 4_000;
/** So long messages arrive, or until there are so many of them. */
interface Length {
  readonly seconds: number;
  readonly messages: number;
}

const LEAST_SECONDS = 4;
/** To see how busy everything is. */
const SIZING: Length = { seconds: 10, messages: 15_000 };
/** To see how long everything takes; several times what a lost ack does. */
const FINAL: Length = { seconds: 15, messages: 60_000 };
const TIMEOUTS_SEEN = 4;

interface Size {
  readonly processes: number;
  readonly postgresCores: number;
}

export function plan(inputs: Inputs, costs: UnitCosts): Plan {
  const perSecond = (inputs.rooms * inputs.perMinute) / 60;
  let size = firstGuess(inputs, costs, perSecond);
  // Batches fill as load grows, so that how busy things are says little of how much they bear: that is tried out.
  const most = perSecond / inputs.utilisation;
  let stressed = tryOut(inputs, costs, most, size, SIZING);
  for (let round = 1; round < ROUNDS; round++) {
    const next = resized(inputs, most, size, stressed);
    if (next.processes === size.processes && next.postgresCores === size.postgresCores) break;
    size = next;
    stressed = tryOut(inputs, costs, most, size, SIZING);
  }
  const timeouts = (TIMEOUTS_SEEN * inputs.ackTimeoutMs) / 1_000;
  const outcome = tryOut(inputs, costs, perSecond, size, { ...FINAL, seconds: Math.max(FINAL.seconds, timeouts) });
  const deployment = deploymentOf(inputs, costs, perSecond, size, outcome, stressed.engineUs);
  const room = roomOf(inputs, outcome);
  const lostAcks = lostAcksOf(inputs, perSecond);
  const shares = [stressed.engineUs / size.processes, stressed.postgresUs / size.postgresCores];
  const disk = (outcome.syncsPerSecond * inputs.syncMs) / 1_000;
  return {
    perSecond,
    deployment,
    expected: {
      gapMs: outcome.gapMs,
      firstSendMs: outcome.freeSendMs,
      sentMs: outcome.sentMs,
      timeoutLateMs: outcome.timeoutLateMs,
      engineUs: outcome.engineUs,
      postgresUs: outcome.postgresUs,
      engineLoad: outcome.engineLoad,
      postgresLoad: outcome.postgresCores / size.postgresCores,
      headroom: (FULL * 1e6) / (perSecond * Math.max(...shares)),
    },
    lostAcks,
    room,
    warnings: warningsOf(inputs, perSecond, size, outcome, { room, lateAcks: lostAcks.lateAcks, disk }),
  };
}

/** Each message's own work, with statements as large as they get. */
function firstGuess({ door, batch, ...inputs }: Inputs, { engine, postgres }: UnitCosts, perSecond: number): Size {
  const engineUs = engine.intakeUs[door] + engine.messageUs + engine.callUs / batch;
  const rowsUs = postgres.appendRowUs + 3 * postgres.writeRowUs;
  const cores = (us: number): number => (perSecond * us) / 1e6 / inputs.utilisation;
  return {
    processes: inputs.workers ?? Math.max(1, Math.ceil(cores(engineUs))),
    postgresCores: inputs.postgresCores ?? Math.max(2, Math.ceil(cores(rowsUs))),
  };
}

/** More of what had nothing left. */
function resized(inputs: Inputs, perSecond: number, { processes, postgresCores }: Size, outcome: Outcome): Size {
  const behind = Math.max(1, perSecond / outcome.perSecond);
  const more = (count: number, share: number): number =>
    share > FULL ? Math.max(count + 1, Math.ceil(count * Math.min(behind, 2))) : count;
  return {
    processes: inputs.workers ?? more(processes, outcome.engineLoad),
    postgresCores: inputs.postgresCores ?? more(postgresCores, outcome.postgresCores / postgresCores),
  };
}

/** A part of a large fleet behaves as the whole does: so many of its processes, with their part of Postgres. */
function tryOut(
  inputs: Inputs,
  costs: UnitCosts,
  perSecond: number,
  { processes, postgresCores }: Size,
  length: Length,
): Outcome {
  const each = perSecond / processes;
  const engines = Math.min(processes, Math.max(2, Math.floor(SIMULATED_PER_SECOND / each)));
  const part = engines / processes;
  const cores = Math.max(1, Math.round(postgresCores * part));
  // What a part of a core lacks to a whole one, its work lasts the longer.
  const factor = cores / (postgresCores * part);
  const spec: SystemSpec = {
    engines,
    place: { kind: 'apart', postgresCores: cores },
    door: inputs.door,
    window: WINDOW * engines,
    lanes: LANES,
    permits: sendsOf(inputs, each) * inputs.channels,
    maxRows: MAX_ROWS,
    lingerMs: LINGER_MS,
    acceptanceLingerMs: processes === 1 ? ACCEPTANCE_LINGER_MS : 0,
    roundTripMs: inputs.roundTripMs,
    syncMs: inputs.syncMs,
    signalMs: SIGNAL_MS,
    ackTimeoutMs: inputs.ackTimeoutMs,
    answerMs: lognormal({ p50: inputs.sendP50Ms, p99: inputs.sendP99Ms }),
    ackMs: lognormal({ p50: inputs.ackP50Ms, p99: inputs.ackP99Ms }),
    loss: inputs.loss,
    batch: { size: inputs.batch, lingerMs: 0 },
  };
  const rate = perSecond * part;
  const seconds = Math.max(LEAST_SECONDS, Math.min(length.seconds, length.messages / rate));
  const load: Load = {
    // More load comes from more rooms: one alone bears no more than it does.
    rooms: Math.max(1, Math.round((rate * 60) / inputs.perMinute)),
    burst: inputs.burst,
    arrival: { kind: 'steady', perSecond: rate, seconds, inTurn: false },
  };
  const outcome = simulate(spec, slowed(costs, factor), load, inputs.seed);
  return {
    ...outcome,
    perSecond: outcome.perSecond / part,
    postgresUs: outcome.postgresUs / factor,
    postgresCores: outcome.postgresCores / factor / part,
    syncsPerSecond: outcome.syncsPerSecond / part,
    commitsPerSecond: outcome.commitsPerSecond / part,
    backlog: outcome.backlog / part,
  };
}

function slowed(costs: UnitCosts, factor: number): UnitCosts {
  const postgres = Object.fromEntries(Object.entries(costs.postgres).map(([name, cost]) => [name, cost * factor]));
  return { ...costs, postgres: postgres as unknown as UnitCosts['postgres'] };
}

/** Twice what is in flight on the mean, so that permits are seldom waited for. */
function sendsOf({ channels, ...inputs }: Inputs, perProcess: number): number {
  const meanMs = meanOf({ p50: inputs.sendP50Ms, p99: inputs.sendP99Ms });
  const inFlight = Math.ceil((2 * perProcess * meanMs) / 1_000 / channels);
  return Math.min(MOST_SENDS, Math.max(LEAST_SENDS, inFlight));
}

function deploymentOf(
  inputs: Inputs,
  { engine, bytes, memory }: UnitCosts,
  perSecond: number,
  { processes, postgresCores }: Size,
  outcome: Outcome,
  engineUs: number,
): Plan['deployment'] {
  const cores = (us: number): number => Math.max(1, Math.ceil((perSecond * us) / 1e6 / inputs.utilisation));
  const statusUs = engine.messageUs * 0.35 + engine.callUs / inputs.batch;
  const intakeUs = engine.intakeUs[inputs.door];
  const more = Math.max(-bytes.body, inputs.bodyBytes - bytes.body);
  const roomsEach = inputs.rooms / processes;
  const waiting = Math.max(0, ((outcome.sentMs.p50 || 0) / 1_000) * perSecond);
  const bodiesMb = Math.min(BODY_CACHE_MB, ((waiting / processes) * inputs.bodyBytes) / MIB);
  const perDay = perSecond * inputs.hours * 3_600;
  const rowBytes = bytes.history + bytes.historyIndexes + more;
  const signals = perSecond * 2 * (1 - 1 / processes);
  return {
    processes,
    byRole: {
      intake: cores(intakeUs),
      webhook: cores(statusUs),
      worker: cores(Math.max(0, engineUs - intakeUs - statusUs)),
    },
    processMemoryMb: Math.ceil(MEMORY_SLACK * (memory.processMb + (roomsEach * memory.busyRoomBytes) / MIB + bodiesMb)),
    maxConcurrentSends: sendsOf(inputs, perSecond / processes),
    postgres: {
      cores: postgresCores,
      connections: processes * (LANES + OTHER_CONNECTIONS),
      // Rooms stay live for an hour; appends look for what was in theirs.
      hotSetMb: (inputs.rooms * bytes.room + (waiting + perSecond * 3_600) * rowBytes) / MIB,
      // A body is written with its message and once more with its history.
      walMbPerSecond: (perSecond * (bytes.walPerMessage + 2 * more)) / MIB,
      commitsPerSecond: outcome.commitsPerSecond,
      syncsPerSecond: outcome.syncsPerSecond,
      storageGbPerDay: (perDay * rowBytes) / MIB / 1_024,
      storageGb: (perDay * rowBytes * inputs.retentionDays) / MIB / 1_024,
    },
    redis:
      processes === 1
        ? null
        : {
            memoryMb: Math.ceil(REDIS_BASE_MB + (SHARDS * SUBSCRIPTION_BYTES) / MIB),
            corePercent: (signals * SIGNAL_REDIS_US) / 1e4,
            signalsPerSecond: signals,
          },
  };
}

/** A lost ack holds its room up for X and no longer: as many are held up at once as get lost in that time. */
function lostAcksOf({ rooms, loss, burst, ...inputs }: Inputs, perSecond: number): Plan['lostAcks'] {
  const blockedRooms = Math.min(rooms, (perSecond * loss * inputs.ackTimeoutMs) / 1_000);
  // The kth of those that come together has k - 1 before it.
  const before = Array.from({ length: burst }, (_, index) => (1 - loss) ** index);
  const free = before.reduce((sum, share) => sum + share, 0) / burst;
  const acks = { p50: inputs.ackP50Ms, p99: inputs.ackP99Ms };
  return {
    blockedRooms,
    behindLost: 1 - free * (1 - blockedRooms / rooms),
    lateAcks: (1 - loss) * shareAbove(acks, inputs.ackTimeoutMs),
  };
}

/** A room sends one after the other: gap, answer, and the ack or X. */
function roomOf(inputs: Inputs, { gapMs }: Outcome): Plan['room'] {
  const acks = { p50: inputs.ackP50Ms, p99: inputs.ackP99Ms };
  const late = shareAbove(acks, inputs.ackTimeoutMs);
  const waitMs =
    (1 - inputs.loss) * Math.min(inputs.ackTimeoutMs, (1 - late) * meanOf(acks) + late * inputs.ackTimeoutMs) +
    inputs.loss * inputs.ackTimeoutMs;
  const ownMs = (gapMs.p50 || 0) + meanOf({ p50: inputs.sendP50Ms, p99: inputs.sendP99Ms }) + waitMs;
  return { most: 1_000 / Math.max(ownMs, inputs.roomEveryMs), wanted: inputs.perMinute / 60 };
}

interface Judged {
  readonly room: Plan['room'];
  readonly lateAcks: number;
  /** Share of its time that the disk writes the WAL. */
  readonly disk: number;
}

function warningsOf(inputs: Inputs, perSecond: number, size: Size, outcome: Outcome, judged: Judged): Warning[] {
  const warnings: Warning[] = [];
  const warn = (code: Warning['code'], promise: Warning['promise'], text: string): void => {
    warnings.push({ code, promise, text });
  };
  const { room, lateAcks } = judged;
  if (room.wanted > room.most) {
    warn(
      'room_limit',
      'R6',
      `a room takes ${shown(room.most)} messages/s at most and gets ${shown(room.wanted)}: it falls behind without end`,
    );
  } else if (room.wanted > NEAR * room.most) {
    warn(
      'room_limit',
      null,
      `a room gets ${percent(room.wanted / room.most)} of what it can take: messages wait long for each other`,
    );
  }
  const limit = inputs.channelLimit * inputs.channels;
  if (limit > 0 && perSecond > limit) {
    warn(
      'channel_limit',
      'R6',
      `channels take ${shown(limit)} messages/s together and get ${shown(perSecond)}: more wait without end`,
    );
  } else if (limit > 0 && perSecond > NEAR * limit) {
    warn(
      'channel_limit',
      null,
      `channels get ${percent(perSecond / limit)} of what they may send: bursts wait for permits`,
    );
  }
  const postgresLoad = outcome.postgresCores / size.postgresCores;
  const full = Math.max(outcome.engineLoad, postgresLoad);
  const fallsBehind = room.wanted < NEAR * room.most && outcome.perSecond < NEAR * perSecond;
  if (full > FULL || fallsBehind) {
    const what = outcome.engineLoad > postgresLoad ? 'processes' : "Postgres' cores";
    warn('capacity', 'R6', `${what} are ${percent(full)} busy: arrival is at or beyond what this deployment passes`);
  }
  if (inputs.ackP99Ms > inputs.ackTimeoutMs) {
    warn(
      'ack_timeout_short',
      null,
      `X is below the p99 of acks: ${percent(lateAcks)} of all messages settle as assumed although their ack comes, and their order is not proven`,
    );
  }
  if (size.processes > SHARDS)
    warn('shards', null, `${size.processes} processes share ${SHARDS} shards: create the database with more`);
  if (sendsOf(inputs, perSecond / size.processes) === MOST_SENDS) {
    warn(
      'sends_queue',
      null,
      `a channel would need more than ${MOST_SENDS.toLocaleString('en-US')} requests in flight in a process: spread it over more`,
    );
  }
  return warnings;
}

function shown(value: number): string {
  return value < 10 ? value.toPrecision(2) : Math.round(value).toLocaleString('en-US');
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.01 ? 2 : 0)} %`;
}

const Z99 = 2.3263478740408408;

function meanOf({ p50, p99 }: Quantiles): number {
  if (p50 === 0) return 0;
  const sigma = Math.log(p99 / p50) / Z99;
  return p50 * Math.exp((sigma * sigma) / 2);
}

/** Of a lognormal: by the logistic approximation of the normal distribution, good to 1 %. */
function shareAbove({ p50, p99 }: Quantiles, value: number): number {
  if (p50 === 0 || p99 === p50) return value < p50 ? 1 : 0;
  const z = (Math.log(value / p50) * Z99) / Math.log(p99 / p50);
  return 1 / (1 + Math.exp(1.5976 * z + 0.07056 * z ** 3));
}

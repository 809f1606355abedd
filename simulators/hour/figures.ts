/** The figures of an hour, and what is wrong with it. */
import { orderedBoundMs } from './bound.ts';
import type { HourResult } from './hour.ts';
import type { JudgedCounts } from './judge.ts';
import { whatsAppLimits } from './limits.ts';
import { isWithin, type Window } from './options.ts';

export interface Spread {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface Phase {
  readonly name: string;
  /** From publishing to the first request. */
  readonly inQueue: Spread;
  /** From being its room's first unsettled message to the first request: what limits and the holder's notice cost. */
  readonly asHead: Spread;
}

export interface Drain {
  readonly drainedMs: number;
  readonly settledMs: number;
  /** A perfect sender's, within the platform's limits alone; the rooms' limits alone. */
  readonly boundMs: number;
  readonly roomsBoundMs: number;
  /** The same for a sender that waits for acks. */
  readonly orderedBoundMs: number;
  readonly ratio: number;
  readonly orderedRatio: number;
  /** The same ratio counted from the moment the token works again; null without that outage. */
  readonly sinceTokenRatio: number | null;
  /** By when 99 % and 99.9 % of the messages had gone, over the perfect sender's time for as many. */
  readonly ratioAt99: number;
  readonly ratioAt999: number;
  readonly firstAfterTokenMs: number | null;
}

export interface Figures {
  readonly seed: number;
  readonly minutes: number;
  readonly scale: number;
  readonly processes: number;
  readonly rooms: number;
  readonly burstingRooms: number;
  readonly judged: JudgedCounts;
  readonly findings: readonly string[];
  readonly provenShare: number;
  /** The same without what was published or settled in the ack outage. */
  readonly provenShareOutsideOutage: number;
  readonly swappedInOutage: number;
  readonly drain: Drain;
  readonly phases: readonly Phase[];
  readonly number: HourResult['number'];
  readonly statuses: HourResult['statuses'];
  readonly states: readonly string[];
  readonly kills: number;
  readonly deadLetters: number;
  readonly events: number;
}

/** The aim for the time to drain over its bound. */
export const DRAIN_AIM = 1.05;
const AIM_FROM_MINUTES = 60;
/** The least of refusals for which the number's limit, or a room's, counts as kept: a handful, whatever the size. */
const HANDFUL = 5;
const NUMBER_REFUSALS_SHARE = 0.000_1;
/** A room's limit is kept where requests leave; they may overtake each other's time on the way by this much. */
const PAIR_TOO_EARLY_MS = 3_000;

export function figuresOf(result: HourResult): Figures {
  const { options, load, judge, counts, schedule, states } = result;
  const { acked, assumed } = counts.outcomes;
  let outside = 0;
  let provenOutside = 0;
  let swappedInOutage = 0;
  for (let message = 0; message < load.count; message++) {
    const settledAt = judge.settledAt[message] as number;
    const inOutage = isWithin(schedule.ackOutage, settledAt) || isWithin(schedule.ackOutage, takenAt(result, message));
    if (inOutage) swappedInOutage += judge.swapped[message] as number;
    else {
      outside++;
      if (judge.outcomeOf(message) === 'acked') provenOutside++;
    }
  }
  return {
    seed: options.seed,
    minutes: options.minutes,
    scale: options.scale,
    processes: options.processes,
    rooms: load.rooms,
    burstingRooms: load.bursting,
    judged: counts,
    findings: judge.findings,
    provenShare: acked / Math.max(1, acked + assumed),
    provenShareOutsideOutage: provenOutside / Math.max(1, outside),
    swappedInOutage,
    drain: drainOf(result),
    phases: phasesOf(result),
    number: result.number,
    statuses: result.statuses,
    states: states.map(({ at, process, state }) => `${(at / 60_000).toFixed(2)} min: ${process} ${state}`),
    kills: result.kills,
    deadLetters: result.deadLetters,
    events: result.events,
  };
}

/** What keeps an hour from being clean; empty where nothing does. */
export function wrongWith(figures: Figures): string[] {
  const { judged, number, drain, deadLetters, burstingRooms, minutes } = figures;
  const wrong: string[] = [];
  const demand = (count: number, most: number, what: string): void => {
    if (count > most) wrong.push(`${count} ${what}${most === 0 ? '' : ` (at most ${most})`}`);
  };
  demand(judged.violations, 0, 'violations');
  demand(judged.unsettled, 0, 'messages unsettled');
  demand(judged.lost, 0, 'messages lost');
  demand(judged.swappedAfterAcked, 0, 'messages out of order after acked');
  demand(judged.copiesWithoutReason, 0, 'copies without an unknown outcome');
  demand(deadLetters, 0, 'dead letters');
  const mostOfNumber = Math.max(HANDFUL, Math.round(judged.messages * NUMBER_REFUSALS_SHARE));
  demand(number.numberLimit, mostOfNumber, "refusals by the number's limit (130429)");
  demand(number.pairLimit, Math.max(HANDFUL, burstingRooms), "refusals by a pair's limit (131056)");
  if (number.pairTooEarlyMs > PAIR_TOO_EARLY_MS) {
    wrong.push(`131056 for a request ${Math.round(number.pairTooEarlyMs)} ms too early (at most ${PAIR_TOO_EARLY_MS})`);
  }
  // In less than an hour the last acks of the longest room weigh more than the number's limit.
  if (minutes >= AIM_FROM_MINUTES && !(drain.ratio <= DRAIN_AIM)) {
    wrong.push(`drained in ${drain.ratio.toFixed(4)} times the bound (at most ${DRAIN_AIM})`);
  }
  return wrong;
}

function drainOf(result: HourResult): Drain {
  const { options, load, judge, schedule, bound, drainedMs, settledMs, firstTakenAfterRevoked } = result;
  const { revoked } = schedule;
  const waitMs = judge.settledAt.map((at, message) => at - (judge.takenAt[message] as number));
  const orderedMs = orderedBoundMs(load, whatsAppLimits(options.scale), revoked, waitMs);
  const ordered = Math.max(bound.lastMs, orderedMs);
  const taken = judge.takenAt.toSorted();
  const at = (share: number): number => {
    const index = Math.floor(share * (load.count - 1));
    return (taken[index] as number) / (bound.sentMs[index] as number);
  };
  const hasGap = Number.isFinite(revoked.to);
  return {
    drainedMs,
    settledMs,
    boundMs: bound.lastMs,
    roomsBoundMs: bound.roomsMs,
    orderedBoundMs: ordered,
    ratio: drainedMs / bound.lastMs,
    orderedRatio: drainedMs / ordered,
    sinceTokenRatio: hasGap ? (drainedMs - revoked.to) / (bound.lastMs - revoked.to) : null,
    ratioAt99: at(0.99),
    ratioAt999: at(0.999),
    firstAfterTokenMs: firstTakenAfterRevoked === null || !hasGap ? null : firstTakenAfterRevoked - revoked.to,
  };
}

function phasesOf(result: HourResult): Phase[] {
  const { load, schedule } = result;
  const { ackOutage, revoked, lengthMs } = schedule;
  if (!Number.isFinite(revoked.to)) return [phase('all', result, { from: 0, to: lengthMs })];
  return [
    phase('before the ack outage', result, { from: 0, to: ackOutage.from }),
    phase('in the ack outage', result, ackOutage),
    phase('after it', result, { from: ackOutage.to, to: revoked.from }),
    phase('token revoked', result, revoked),
    phase('backlog of that', result, { from: revoked.to, to: lengthMs }),
    phase(`all ${load.count}`, result, { from: 0, to: lengthMs }),
  ];
}

/** @param isCounted tells which rooms count */
export function phase(
  name: string,
  { load, judge }: HourResult,
  published: Window,
  isCounted: (room: number) => boolean = () => true,
): Phase {
  const inQueue: number[] = [];
  const asHead: number[] = [];
  for (let message = 0; message < load.count; message++) {
    const left = judge.firstLeftAt[message] as number;
    if (Number.isNaN(left) || !isWithin(published, load.at[message] as number)) continue;
    if (!isCounted(load.room[message] as number)) continue;
    inQueue.push(left - (load.at[message] as number));
    asHead.push(left - (judge.headAt[message] as number));
  }
  return { name, inQueue: spreadOf(inQueue), asHead: spreadOf(asHead) };
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { count: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99) };
}

function takenAt({ judge }: HourResult, message: number): number {
  return judge.takenAt[message] as number;
}

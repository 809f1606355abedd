/** One virtual hour of a WhatsApp number, from the first message published to the last one settled. */
import type { Engine } from '../../src/engine/engine.ts';
import type { ChannelSettings } from '../../src/engine/policy.ts';
import { chanceFor } from '../world/chance.ts';
import { VirtualTime } from '../world/time.ts';
import { type Bound, boundOf } from './bound.ts';
import { createHourDatabase } from './database.ts';
import { Feed } from './feed.ts';
import { Fleet, type StateChange } from './fleet.ts';
import { Judge, type JudgedCounts } from './judge.ts';
import { whatsAppLimits } from './limits.ts';
import { drawLoad, type Load } from './load.ts';
import { VirtualNumber } from './number.ts';
import { type HourOptions, type Schedule, scheduleOf } from './options.ts';
import { Phones } from './phones.ts';
import { readSettings } from './settings.ts';
import { Statuses } from './statuses.ts';

/** What a test changes so that the judge has something to find. */
export interface Spoiled {
  readonly channel?: (settings: ChannelSettings) => ChannelSettings;
  readonly engine?: (engine: Engine) => void;
}

export interface HourResult {
  readonly options: HourOptions;
  readonly schedule: Schedule;
  readonly load: Load;
  readonly judge: Judge;
  readonly counts: JudgedCounts;
  readonly bound: Bound;
  /** When the number had taken the last message, ms since the opening. */
  readonly drainedMs: number;
  /** When the last message had settled. */
  readonly settledMs: number;
  readonly number: VirtualNumber['counts'];
  readonly firstTakenAfterRevoked: number | null;
  readonly statuses: Statuses['counts'];
  readonly states: readonly StateChange[];
  readonly kills: number;
  readonly events: number;
  readonly deadLetters: number;
}

const START_MS = 1_700_000_000_000;
/** Processes start, and take their shards, before anything is published. */
const OPEN_AT = START_MS + 5_000;
/** Beyond the bound; whoever has not drained by then does not drain. */
const PATIENCE_MS = 20 * 60_000;
/** For messages on their way to phones, copies and statuses. */
const AFTERMATH_MS = 60_000;
const DOWN_MS = 3_000;

/** @param onMinute is told every virtual minute that has passed */
export async function runHour(
  options: HourOptions,
  spoiled: Spoiled = {},
  onMinute: (minute: number) => void = () => undefined,
): Promise<HourResult> {
  const { seed, scale, processes, sweepEveryMs, killAtMinute } = options;
  const schedule = scheduleOf(options);
  const limits = whatsAppLimits(scale);
  const configured = readSettings(scale);
  const engine = { ...configured.engine, sweepEveryMs: sweepEveryMs ?? configured.engine.sweepEveryMs };
  const settings = { engine, channel: spoiled.channel?.(configured.channel) ?? configured.channel };
  const load = drawLoad(options, limits.perSecond);
  const bound = boundOf(load, limits, schedule.revoked);

  const time = new VirtualTime(START_MS, chanceFor(seed, 'ties').uniform);
  const judge = new Judge(load, () => time.now - OPEN_AT);
  const { stores, deadLetters } = createHourDatabase(time, judge, engine.shards);
  const pick = () => fleet.pick();
  const parts = { seed, time, openAt: OPEN_AT, judge };
  const phones = new Phones({ ...parts, lengthMs: schedule.lengthMs });
  const statuses = new Statuses({ ...parts, outage: schedule.ackOutage, pick });
  const number = new VirtualNumber({ ...parts, load, limits, revoked: schedule.revoked, phones, statuses });
  const spoil = spoiled.engine ?? null;
  const fleet: Fleet = new Fleet({ seed, processes, time, stores, number, judge, settings, spoil });

  fleet.boot();
  new Feed({ time, openAt: OPEN_AT, load, shards: engine.shards, pick }).begin();
  if (killAtMinute !== null) time.after(OPEN_AT + killAtMinute * 60_000 - time.now, () => fleet.kill(DOWN_MS));

  const lastMs = Math.max(schedule.lengthMs, bound.lastMs) + PATIENCE_MS;
  for (let minute = 1; !judge.drained && minute * 60_000 <= lastMs; minute++) {
    await time.runUntil(OPEN_AT + minute * 60_000, () => judge.drained);
    onMinute(minute);
  }
  const settledMs = time.now - OPEN_AT;
  await time.runUntil(time.now + AFTERMATH_MS, () => false);
  return {
    options,
    schedule,
    load,
    judge,
    counts: judge.verdict(),
    bound,
    drainedMs: judge.lastTakenAt,
    settledMs,
    number: number.counts,
    firstTakenAfterRevoked: number.firstTakenAfterRevoked,
    statuses: statuses.counts,
    states: fleet.states.map((change) => ({ ...change, at: change.at - OPEN_AT })),
    kills: fleet.kills,
    events: time.events,
    deadLetters: deadLetters(),
  };
}

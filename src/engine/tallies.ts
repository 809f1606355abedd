/**
 * What happened in each channel, counted in memory: since the start, for the rates of the last minute, and since the
 * last minute that was stored, for charts. Counting costs a look-up and an addition; nothing is written per message.
 */
import type { Settled } from '../room/events.ts';
import { headEnvelope, type Room } from '../room/room.ts';
import type { ChannelKey } from './ports.ts';

export const TOTALS = [
  'accepted',
  'attempts',
  'acked',
  'assumed',
  'failed',
  'expired',
  'cancelled',
  'skipped',
  'timeouts',
  'lateAcks',
  'possibleDuplicates',
] as const;
export type Total = (typeof TOTALS)[number];
export type Totals = Record<Total, number>;

/** `ackToNextSend`: from the receipt of the ack of n to the first byte of n+1. */
export const LATENCIES = ['acceptToFirstSend', 'ackToNextSend', 'ackDelay', 'acceptToSettled'] as const;
export type Latency = (typeof LATENCIES)[number];
/** Counts by bucket; what lies beyond the end of an array is 0. */
export type Histograms = Record<Latency, number[]>;

/** Two buckets for each doubling, from 1 ms to eight days. */
const BUCKETS = 60;

/** Upper bounds in ms: bucket i counts what took at least bound i-1 and less than bound i; the last takes the rest. */
export const BUCKET_BOUNDS_MS: readonly number[] = Array.from({ length: BUCKETS }, (_, index) => 2 ** (index / 2));

export function bucketOf(ms: number): number {
  if (!(ms >= 1)) return 0;
  return Math.min(BUCKETS - 1, Math.floor(2 * Math.log2(ms)) + 1);
}

/** What a part `share` of the values (0 to 1) was below, in ms, interpolated within its bucket; null where there are none. */
export function quantileMs(counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const rank = share * total;
  let below = 0;
  for (const [index, count] of counts.entries()) {
    if (count > 0 && below + count >= rank) {
      const from = index === 0 ? 0 : (BUCKET_BOUNDS_MS[index - 1] as number);
      const to = BUCKET_BOUNDS_MS[index] as number;
      return from + (to - from) * ((rank - below) / count);
    }
    below += count;
  }
  return BUCKET_BOUNDS_MS.at(-1) as number;
}

/** What a channel did in a while. */
export interface Activity {
  readonly totals: Totals;
  readonly histograms: Histograms;
}

export function newActivity(): Activity {
  const zeros = TOTALS.map((total) => [total, 0] as const);
  const empty = LATENCIES.map((latency) => [latency, []] as const);
  return {
    totals: Object.fromEntries(zeros) as Totals,
    histograms: Object.fromEntries(empty) as unknown as Histograms,
  };
}

export function addActivity(to: Activity, more: Activity): void {
  for (const total of TOTALS) to.totals[total] += more.totals[total];
  for (const latency of LATENCIES) {
    const counts = to.histograms[latency];
    more.histograms[latency].forEach((count, index) => {
      while (counts.length <= index) counts.push(0);
      counts[index] = (counts[index] as number) + count;
    });
  }
}

const SECONDS = 60;

interface Sums {
  readonly accepted: number;
  readonly settled: number;
  readonly failed: number;
}
const NOTHING: Sums = { accepted: 0, settled: 0, failed: 0 };

/** How many settled, whatever came of them. */
export function settledIn({ acked, assumed, failed, expired, cancelled, skipped }: Totals): number {
  return acked + assumed + failed + expired + cancelled + skipped;
}

/** One channel's. */
export class Tally {
  readonly key: ChannelKey;
  #activity: Activity = newActivity();
  #isEmpty = true;
  /** What had been counted since the start, at the ends of the last 60 seconds. */
  readonly #ring: Sums[] = [NOTHING];
  /** What had been counted since the start when the activity was last taken. */
  readonly #before: Activity = newActivity();

  constructor(key: ChannelKey) {
    this.key = { tenant: key.tenant, channel: key.channel };
  }

  count(total: Total, by = 1): void {
    this.#activity.totals[total] += by;
    this.#isEmpty = false;
  }

  time(latency: Latency, ms: number): void {
    const counts = this.#activity.histograms[latency];
    const bucket = bucketOf(ms);
    while (counts.length <= bucket) counts.push(0);
    counts[bucket] = (counts[bucket] as number) + 1;
    this.#isEmpty = false;
  }

  /** An attempt of the room's head is on its way. @param repeats an earlier one may have reached the platform */
  begun(room: Room, repeats: boolean): void {
    this.count('attempts');
    if (repeats) this.count('possibleDuplicates');
    const head = headEnvelope(room);
    const attempt = room.attempts.at(-1);
    if (room.attempt === 1 && head !== null && attempt !== undefined) {
      this.time('acceptToFirstSend', attempt.begunAt - head.acceptedAt);
    }
  }

  /** @param acceptedAt when intake accepted it, where that is known */
  settled(fact: Settled, acceptedAt: number | null): void {
    this.count(fact.outcome);
    if (fact.reason === 'ack_timeout') this.count('timeouts');
    if (acceptedAt !== null) this.time('acceptToSettled', fact.at - acceptedAt);
    if (fact.reason !== 'ack') return;
    const accepted = fact.attempts.findLast((attempt) => attempt.result === 'accepted')?.endedAt ?? null;
    if (accepted !== null) this.time('ackDelay', fact.at - accepted);
  }

  /** What was counted since the last call; null where nothing was. */
  take(): Activity | null {
    if (this.#isEmpty) return null;
    const taken = this.#activity;
    addActivity(this.#before, taken);
    this.#activity = newActivity();
    this.#isEmpty = true;
    return taken;
  }

  /** What was counted since the start. */
  sinceStart(): Activity {
    const whole = newActivity();
    addActivity(whole, this.#before);
    addActivity(whole, this.#activity);
    return whole;
  }

  /** To be called once a second. What was counted in the last 60 of them. */
  lastMinute(): Sums {
    const sums = this.#sums();
    const first = this.#ring[0] ?? NOTHING;
    this.#ring.push(sums);
    if (this.#ring.length > SECONDS) this.#ring.shift();
    return {
      accepted: sums.accepted - first.accepted,
      settled: sums.settled - first.settled,
      failed: sums.failed - first.failed,
    };
  }

  #sums(): Sums {
    const [now, before] = [this.#activity.totals, this.#before.totals];
    return {
      accepted: before.accepted + now.accepted,
      settled: settledIn(before) + settledIn(now),
      failed: before.failed + now.failed,
    };
  }
}

export class Tallies {
  readonly #byTenant = new Map<string, Map<string, Tally>>();
  #last: Tally | null = null;

  of(key: ChannelKey): Tally {
    const last = this.#last;
    if (last !== null && last.key.channel === key.channel && last.key.tenant === key.tenant) return last;
    let ofTenant = this.#byTenant.get(key.tenant);
    if (ofTenant === undefined) {
      ofTenant = new Map();
      this.#byTenant.set(key.tenant, ofTenant);
    }
    let tally = ofTenant.get(key.channel);
    if (tally === undefined) {
      tally = new Tally(key);
      ofTenant.set(key.channel, tally);
    }
    this.#last = tally;
    return tally;
  }

  all(): Tally[] {
    return [...this.#byTenant.values()].flatMap((ofTenant) => [...ofTenant.values()]);
  }
}

/**
 * R5: the same minutes three times, without outages: with rooms that burst beyond what one user may be sent; with their
 * messages in rooms of their own, which is the same load on the number; and without them. No other room should notice.
 */
import { phase, type Spread } from './figures.ts';
import { runHour } from './hour.ts';
import type { HourOptions } from './options.ts';

export interface Isolation {
  readonly minutes: number;
  readonly bursting: number;
  readonly pairRefusals: number;
  /** Time in queue of all rooms that do not burst. */
  readonly beside: Spread;
  readonly sameLoad: Spread;
  readonly removed: Spread;
}

const MOST_MINUTES = 10;
/** How much longer than without them other rooms may wait beside rooms that burst. */
const MOST_RATIO = 1.1;

export async function compareWithoutBursts(options: HourOptions): Promise<Isolation> {
  const minutes = Math.min(MOST_MINUTES, options.minutes);
  const run = (bursts: HourOptions['bursts']) =>
    runHour({ ...options, minutes, outages: false, killAtMinute: null, bursts });
  const beside = await run('in_one_room');
  const { bursting, rooms } = beside.load;
  const spread = (of: typeof beside): Spread =>
    phase('', of, { from: 0, to: minutes * 60_000 }, (room) => room >= bursting && room < rooms).inQueue;
  return {
    minutes,
    bursting,
    pairRefusals: beside.number.pairLimit,
    beside: spread(beside),
    sameLoad: spread(await run('spread')),
    removed: spread(await run('none')),
  };
}

export function wrongWithIsolation({ beside, sameLoad }: Isolation): string[] {
  const ratio = beside.p99Ms / sameLoad.p99Ms;
  return ratio <= MOST_RATIO ? [] : [`other rooms wait ${ratio.toFixed(3)} times as long beside rooms that burst`];
}

import { Command, InvalidArgumentError } from 'commander';

/** What one virtual hour is made of. Times are virtual ms since the number opened, unless a name says otherwise. */

export interface HourOptions {
  readonly seed: number;
  readonly minutes: number;
  /** Of the number's limit and of the load on it, alike. */
  readonly scale: number;
  readonly processes: number;
  /** The minute in which one process is killed; it is back soon after. Null: none is. */
  readonly killAtMinute: number | null;
  /** How often a holder looks over its rooms; null: as configured. */
  readonly sweepEveryMs: number | null;
  readonly outages: boolean;
  /** `spread`: each message of a burst goes to a room of its own: the same load, and nothing to throttle. */
  readonly bursts: 'in_one_room' | 'spread' | 'none';
}

export interface Window {
  readonly from: number;
  readonly to: number;
}

export interface Schedule {
  /** Messages are published from 0 to here. */
  readonly lengthMs: number;
  /** Statuses are held and told in one go when it is over. */
  readonly ackOutage: Window;
  /** Every request is refused: the token is revoked. */
  readonly revoked: Window;
}

/** Of an hour: ten minutes without statuses, and later five with a revoked token. */
export function scheduleOf({ minutes, outages }: HourOptions): Schedule {
  const lengthMs = minutes * 60_000;
  if (!outages) {
    const never = { from: Number.POSITIVE_INFINITY, to: Number.POSITIVE_INFINITY };
    return { lengthMs, ackOutage: never, revoked: never };
  }
  return {
    lengthMs,
    ackOutage: { from: lengthMs / 6, to: lengthMs / 3 },
    revoked: { from: (lengthMs * 7) / 12, to: (lengthMs * 8) / 12 },
  };
}

export function isWithin({ from, to }: Window, at: number): boolean {
  return at >= from && at < to;
}

export interface Order extends HourOptions {
  /** Compare with the same load without bursts afterwards. */
  readonly isolation: boolean;
  /** Where the figures go as JSON; null for nowhere. */
  readonly json: string | null;
}

/** Prints help or what is wrong and ends the process where the arguments ask for it. */
export function parseOptions(argv: readonly string[]): Order {
  const { killAt, sweep, json, ...others } = new Command('npm run hour --')
    .description('Run one virtual hour of a WhatsApp number through the real engine, and judge what came of it.')
    .option('--seed <n>', 'seed of everything that is left to chance', positive, 1)
    .option('--minutes <n>', 'how long messages are published', positive, 60)
    .option('--scale <n>', "of the number's limit and of the load on it, alike", positive, 1)
    .option('--processes <n>', 'processes of Roomline on one database', wholePositive, 2)
    .option('--kill-at <minute>', 'kill one process in this minute', positive)
    .option('--sweep <ms>', 'how often holders look over their rooms (default: as configured)', positive)
    .option('--no-isolation', 'leave the comparison with and without bursts out')
    .option('--json <file>', 'write the figures to this file')
    .parse([...argv])
    .opts<
      Pick<Order, 'seed' | 'minutes' | 'scale' | 'processes' | 'isolation'> & {
        killAt?: number;
        sweep?: number;
        json?: string;
      }
    >();
  return {
    ...others,
    killAtMinute: killAt ?? null,
    sweepEveryMs: sweep ?? null,
    outages: true,
    bursts: 'in_one_room',
    json: json ?? null,
  };
}

function positive(text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new InvalidArgumentError('It must be a number above 0.');
}

function wholePositive(text: string): number {
  const value = positive(text);
  if (Number.isInteger(value)) return value;
  throw new InvalidArgumentError('It must be a whole number.');
}

import { Command, InvalidArgumentError } from 'commander';

/** What one simulated day is made of. */
export interface DayOptions {
  readonly seed: number;
  /** Of the load; 1 is about 60,000 messages in a whole day. */
  readonly scale: number;
  /** A shorter day has the same shape, with its incidents at the same places and as long as ever. */
  readonly hours: number;
}

export interface Order extends DayOptions {
  /** Where the figures go as JSON; null for nowhere. */
  readonly json: string | null;
}

/** Prints help or what is wrong and ends the process where the arguments ask for it. */
export function parseOptions(argv: readonly string[]): Order {
  const { json, ...others } = new Command('npm run ack-day --')
    .description('A day of ack latencies through the real engine: fixed X, adaptive X, and ack-outage mode.')
    .option('--seed <n>', 'seed of everything that is left to chance', positive, 1)
    .option('--scale <n>', 'of the load', positive, 1)
    .option('--hours <n>', 'how long the day is', positive, 24)
    .option('--json <file>', 'write the figures to this file')
    .parse([...argv])
    .opts<DayOptions & { json?: string }>();
  return { ...others, json: json ?? null };
}

function positive(text: string): number {
  const number = Number(text);
  if (!(number > 0 && number <= 1e9)) throw new InvalidArgumentError('It must be a number above 0.');
  return number;
}

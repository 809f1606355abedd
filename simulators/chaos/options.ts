import { Command, InvalidArgumentError } from 'commander';

export interface ChaosOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly rooms: number;
  /** Messages a second. */
  readonly rate: number;
  readonly engines: number;
  /** Processes by roles; null for engines that do everything. */
  readonly fleet: FleetSize | null;
  /** Where the report goes as JSON; null for nowhere. */
  readonly json: string | null;
  /** Leave the folder there even if the run is clean. */
  readonly keep: boolean;
  /** Print the plan and end. */
  readonly plan: boolean;
}

export interface FleetSize {
  readonly workers: number;
  readonly webhooks: number;
  readonly intakes: number;
  /** A checkout of another version, one process of which runs beside the others; null for none. */
  readonly beside: string | null;
}

/** Prints help or what is wrong and ends the process where the arguments ask for it. */
export function parseOptions(argv: readonly string[]): ChaosOptions {
  const options = new Command('npm run chaos --')
    .description('Break everything around Roomline, by a seeded plan, under load, and judge what came of it.')
    .option('--minutes <n>', 'how long the load and the faults last', number(0.3, 600), 3)
    .option('--seed <n>', 'seed of the plan, the load and the platform', whole(0, 2_147_483_647), 1)
    .option('--rooms <n>', 'how many rooms', whole(20, 50_000), 3_000)
    .option('--rate <n>', 'messages a second', number(1, 10_000), 110)
    .option('--engines <n>', 'processes of Roomline on one database', whole(1, 16), 2)
    .option('--fleet', 'processes by roles instead, with a Redis between them', false)
    .option('--workers <n>', 'workers of a fleet', whole(2, 16), 3)
    .option('--webhooks <n>', 'webhook servers of a fleet, which take messages over HTTP, too', whole(1, 16), 2)
    .option('--intakes <n>', 'intakes of a fleet', whole(1, 16), 2)
    .option('--beside <folder>', 'a checkout of another version, of which one process is in the fleet, too')
    .option('--json <file>', 'write the report to this file')
    .option('--keep', 'leave logs and data even if the run is clean', false)
    .option('--plan', 'print the plan and end', false)
    .parse([...argv])
    .opts<Omit<ChaosOptions, 'json' | 'fleet'> & FleetSize & { json?: string; fleet: boolean; beside?: string }>();
  const { fleet, workers, webhooks, intakes, beside = null, json = null, ...others } = options;
  return { ...others, fleet: fleet ? { workers, webhooks, intakes, beside } : null, json };
}

function number(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+(\.\d+)?$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a number from ${least} to ${most}.`);
  };
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = number(least, most)(text);
    if (Number.isInteger(value)) return value;
    throw new InvalidArgumentError('It must be a whole number.');
  };
}

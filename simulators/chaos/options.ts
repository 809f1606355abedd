import { Command, InvalidArgumentError } from 'commander';

export interface ChaosOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly rooms: number;
  /** Messages a second. */
  readonly rate: number;
  readonly engines: number;
  /** Where the report goes as JSON; null for nowhere. */
  readonly json: string | null;
  /** Leave the folder there even if the run is clean. */
  readonly keep: boolean;
  /** Print the plan and end. */
  readonly plan: boolean;
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
    .option('--json <file>', 'write the report to this file')
    .option('--keep', 'leave logs and data even if the run is clean', false)
    .option('--plan', 'print the plan and end', false)
    .parse([...argv])
    .opts<Omit<ChaosOptions, 'json'> & { json?: string }>();
  return { ...options, json: options.json ?? null };
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

import { Command, InvalidArgumentError } from 'commander';

export interface ClusterOptions {
  readonly rooms: number;
  readonly messages: number;
  readonly workers: number;
  readonly leaseMs: number;
  readonly seed: number;
  /** Measure, at the size that the figures are stated for, instead of showing. */
  readonly figures: boolean;
  /** End after the run, with status 0 only if it was clean. */
  readonly exit: boolean;
  /** Where the report goes as JSON; null for nowhere. */
  readonly json: string | null;
}

/** The service's own default. */
export const LEASE_MS = 10_000;

const USUAL = { rooms: 240, messages: 40, workers: 3 };
const FIGURES = { rooms: 25_000, messages: 3, workers: 4 };

/** Prints help or what is wrong and ends the process where the arguments ask for it. */
export function parseOptions(argv: readonly string[]): ClusterOptions {
  const { json, rooms, messages, workers, ...options } = new Command('npm run cluster --')
    .description(
      'Watch a small fleet lose a worker, let one go and gain one, under load, and what that costs its rooms.',
    )
    .option(
      '--rooms <n>',
      `how many rooms (default: ${USUAL.rooms}; of the figures ${FIGURES.rooms})`,
      whole(3, 50_000),
    )
    .option(
      '--messages <n>',
      `how many messages each (default: ${USUAL.messages}; ${FIGURES.messages})`,
      whole(2, 1_000),
    )
    .option('--workers <n>', `how many workers (default: ${USUAL.workers}; ${FIGURES.workers})`, whole(2, 16))
    .option('--lease-ms <ms>', 'how long a lease lives', whole(1_500, 60_000), LEASE_MS)
    .option('--figures', 'measure instead of showing; takes some minutes', false)
    .option('--exit', 'end after the run, with status 0 only if it was clean', false)
    .option('--json <file>', 'write the report to this file')
    .option('--seed <n>', 'seed of the fake platform', whole(0, 2_147_483_647), 1)
    .parse([...argv])
    .opts<Omit<ClusterOptions, 'json' | keyof typeof USUAL> & Partial<typeof USUAL> & { json?: string }>();
  const usual = options.figures ? FIGURES : USUAL;
  return {
    ...options,
    rooms: rooms ?? usual.rooms,
    messages: messages ?? usual.messages,
    workers: workers ?? usual.workers,
    json: json ?? null,
  };
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

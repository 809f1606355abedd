import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';

export interface DemoOptions {
  readonly rooms: number;
  readonly messages: number;
  /** End after the run, with status 0 only if it was clean. */
  readonly exit: boolean;
  /** Where the verdict goes as JSON; null for nowhere. */
  readonly json: string | null;
  readonly port: number;
  readonly data: string;
  readonly seed: number;
}

const DATA = join(fileURLToPath(new URL('../..', import.meta.url)), '.roomline');

/** Prints help or what is wrong and ends the process where the arguments ask for it. */
export function parseOptions(argv: readonly string[]): DemoOptions {
  const options = new Command('npm start --')
    .description('Watch Roomline deliver a load in order, on real parts, beside two ways without it.')
    .option('--rooms <n>', 'how many rooms', whole(1, 50_000), 1_000)
    .option('--messages <n>', 'how many messages each', whole(1, 1_000), 10)
    .option('--exit', 'end after the run, with status 0 only if it was clean', false)
    .option('--json <file>', 'write the verdict to this file')
    .option('--port <port>', "port of Roomline's HTTP server; a free one where it is taken", whole(0, 65_535), 8_080)
    .option('--data <folder>', 'where data, secrets and logs are kept', DATA)
    .option('--seed <n>', 'seed of the fake platform', whole(0, 2_147_483_647), 1)
    .parse([...argv])
    .opts<Omit<DemoOptions, 'json'> & { json?: string }>();
  return { ...options, json: options.json ?? null };
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

import { Command, InvalidArgumentError, Option } from 'commander';

export const SCENARIO_NAMES = [
  'connections',
  'ramp',
  'spike',
  'humans',
  'paced',
  'bulk',
  'backlog',
  'buffered',
  'soak',
  'fuzz',
] as const;
export type ScenarioName = (typeof SCENARIO_NAMES)[number];

export interface LoadOptions {
  readonly scenario: ScenarioName;
  /** That the API runs in; each number is measured. */
  readonly processes: readonly number[];
  readonly connections: readonly number[];
  /** Messages a second, of all clients that keep a pace. */
  readonly rate: number;
  /** Of each step. */
  readonly seconds: number;
  readonly rounds: number;
  /** Human-like ones; null: the scenario's own number. */
  readonly users: number | null;
  /** Of a bulk load, or of the backlog; null: the scenario's own number. */
  readonly messages: number | null;
  readonly batch: readonly number[];
  readonly minutes: number;
  /** What the process may have in physical memory, in MB. */
  readonly memoryMb: number;
  /** Of the fuzzer. */
  readonly requests: number;
  /** Folder of the programs of a Postgres with pg_stat_statements; null for the embedded server. */
  readonly postgres: string | null;
  readonly settings: Readonly<Record<string, object>>;
  readonly profile: string | null;
  readonly json: string | null;
}

/** Prints help or what is wrong and ends the process where the arguments ask for it. */
export function parseOptions(argv: readonly string[]): LoadOptions {
  const options = new Command('npm run load --')
    .description(
      'Loads the API of a system of its own. Each run checks that what was answered 2xx is in the database exactly once and in order; one that is not clean gives no figure.',
    )
    .addOption(
      new Option('--scenario <name>', 'what is done; docs/performance.md tells of each')
        .choices(SCENARIO_NAMES)
        .default('connections'),
    )
    .option('--processes <numbers>', 'processes of the API, with commas between; each is measured', numbers(1, 16), [1])
    .option(
      '--connections <numbers>',
      'of the scenarios connections, paced and buffered',
      numbers(1, 5_000),
      [10, 50, 100, 200, 500],
    )
    .option('--rate <n>', 'messages a second of all clients that keep a pace', whole(1, 100_000), 1_100)
    .option('--seconds <n>', 'length of a step', whole(1, 3_600), 5)
    .option('--rounds <n>', 'how often publish and empty route take turns', whole(1, 20), 3)
    .option('--users <n>', 'human-like users', whole(1, 10_000))
    .option('--messages <n>', 'of a bulk load or of the backlog', whole(1, 10_000_000))
    .option('--batch <numbers>', 'sizes of batches, with commas between', numbers(1, 5_000), [1_000, 5_000])
    .option('--minutes <n>', 'length of the soak', whole(1, 1_440), 20)
    .option('--memory-mb <n>', 'what the process of the soak may have in physical memory', whole(128, 65_536), 1_024)
    .option('--requests <n>', 'of the fuzzer', whole(1, 1_000_000), 20_000)
    .option('--postgres <folder>', 'programs of a Postgres with pg_stat_statements: statements are counted then')
    .option('--settings <json>', 'laid over Roomline\'s settings, such as {"batching":{"lingerMs":0}}', object, {})
    .option('--profile <folder>', 'keep CPU profiles of the API there')
    .option('--json <file>', 'write the tables to this file')
    .parse([...argv])
    .opts<Omit<LoadOptions, 'users' | 'messages' | 'postgres' | 'profile' | 'json'> & Partial<LoadOptions>>();
  const { users = null, messages = null, postgres = null, profile = null, json = null } = options;
  return { ...options, users, messages, postgres, profile, json };
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

function numbers(least: number, most: number): (text: string) => number[] {
  return (text) => text.split(',').map(whole(least, most));
}

function object(text: string): Record<string, object> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, object>;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new InvalidArgumentError('It must be a JSON object.');
}

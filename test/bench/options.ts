import { Command, InvalidArgumentError, Option } from 'commander';
import type { Door } from './load.ts';

export const WORKLOAD_NAMES = [
  'throughput',
  'quiet',
  'steady',
  'chat',
  'isolation',
  'timeouts',
  'rooms',
  'million',
  'history',
  'soak',
  'media',
  'platforms',
  'costs',
] as const;
export type WorkloadName = (typeof WORKLOAD_NAMES)[number];

export interface BenchOptions {
  readonly workload: WorkloadName;
  readonly runs: number;
  /** Null: the workload's own number. */
  readonly rooms: number | null;
  readonly messages: number | null;
  /** What it is compared with; `all` for all that is installed. */
  readonly against: readonly string[];
  /** Through which door messages come to Roomline. */
  readonly intake: Door;
  readonly redis: boolean;
  /** Numbers of statuses in a webhook call; each is measured. */
  readonly batch: readonly number[];
  readonly minutes: number | null;
  readonly historyRows: number | null;
  /** Where the plot goes as SVG; null for nowhere. */
  readonly plot: string | null;
  /** Where the figures go as JSON; null for nowhere. */
  readonly json: string | null;
  /** Folder for CPU profiles of the engine; null for none. */
  readonly profile: string | null;
  /** Flags of Node's for the engine, beside those that it has anyway. */
  readonly nodeOptions: string;
  /** Laid over Roomline's settings, section by section. */
  readonly settings: Readonly<Record<string, object>>;
  /** Laid over the channel's policy. */
  readonly channel: Readonly<Record<string, unknown>>;
}

/** Prints help or what is wrong and ends the process where the arguments ask for it. */
export function parseOptions(argv: readonly string[]): BenchOptions {
  const options = new Command('npm run bench --')
    .description(
      'Measures Roomline on real parts. The oracle judges every run; one that breaks a rule gives no figure.',
    )
    .addOption(
      new Option('--workload <name>', 'what is measured; docs/performance.md tells of each')
        .choices(WORKLOAD_NAMES)
        .default('throughput'),
    )
    .option('--runs <n>', 'how often; least, median and greatest are printed', whole(1, 100), 1)
    .option('--rooms <n>', 'how many rooms instead of the usual number', whole(1, 1_000_000))
    .option('--messages <n>', 'how many messages each instead of the usual number', whole(1, 1_000_000))
    .option('--against <names...>', 'what it is compared with, by name; all, none', ['one-transaction'])
    .option('--minutes <n>', 'how long messages arrive, where they arrive steadily', minutes)
    .option('--history-rows <n>', 'rows of the long history', whole(1, 100_000_000))
    .addOption(
      new Option('--intake <door>', 'how messages come to Roomline').choices(['pubsub', 'http']).default('pubsub'),
    )
    .option('--redis', 'Roomline uses a Redis, of its own', false)
    .option('--batch <numbers>', 'statuses in a webhook call, with commas between; each is measured', sizes, [1, 10])
    .option('--json <file>', 'write the figures to this file')
    .option('--plot <file>', 'write CPU per message and gaps as bars to this SVG file')
    .option('--profile <folder>', 'keep CPU profiles of the engine there, and print where it spends its time')
    .option('--node-options <flags>', "flags for the engine's Node, such as --max-old-space-size=256", '')
    .option('--settings <json>', 'laid over Roomline\'s settings, such as {"postgres":{"lanes":1}}', object, {})
    .option('--channel <json>', 'laid over the channel\'s policy, such as {"maxConcurrentSends":64}', object, {})
    .parse([...argv])
    .opts<
      Partial<BenchOptions> &
        Pick<
          BenchOptions,
          'workload' | 'runs' | 'against' | 'intake' | 'redis' | 'batch' | 'nodeOptions' | 'settings' | 'channel'
        >
    >();
  const { rooms = null, messages = null, minutes: given = null, historyRows = null } = options;
  const { json = null, plot = null, profile = null } = options;
  const against = options.against.filter((name) => name !== 'none');
  return { ...options, against, rooms, messages, minutes: given, historyRows, json, plot, profile };
}

function minutes(text: string): number {
  const value = Number(text);
  if (value > 0 && value <= 1_440) return value;
  throw new InvalidArgumentError('It must be a number above 0 and at most 1,440.');
}

function sizes(text: string): number[] {
  return text.split(',').map(whole(1, 1_000));
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
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

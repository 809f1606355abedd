import { Command, InvalidArgumentError, Option } from 'commander';

export type WorkloadName = 'throughput' | 'quiet' | 'timeouts' | 'media';

export interface BenchOptions {
  readonly workload: WorkloadName;
  readonly runs: number;
  /** Null: the workload's own number. */
  readonly rooms: number | null;
  readonly messages: number | null;
  readonly baseline: boolean;
  /** Where the figures go as JSON; null for nowhere. */
  readonly json: string | null;
  /** Folder for CPU profiles of the engine; null for none. */
  readonly profile: string | null;
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
      new Option(
        '--workload <name>',
        'throughput: many rooms, quick acks; quiet: single messages; timeouts: no acks; media: pictures, uploaded ahead or not',
      )
        .choices(['throughput', 'quiet', 'timeouts', 'media'])
        .default('throughput'),
    )
    .option('--runs <n>', 'how often; least, median and greatest are printed', whole(1, 100), 1)
    .option('--rooms <n>', 'how many rooms instead of the usual number', whole(1, 100_000))
    .option('--messages <n>', 'how many messages each instead of the usual number', whole(1, 1_000))
    .option('--no-baseline', 'leave out the comparison with one transaction per step')
    .option('--json <file>', 'write the figures to this file')
    .option('--profile <folder>', 'keep CPU profiles of the engine there, and print where it spends its time')
    .option('--settings <json>', 'laid over Roomline\'s settings, such as {"postgres":{"lanes":1}}', object, {})
    .option('--channel <json>', 'laid over the channel\'s policy, such as {"maxConcurrentSends":64}', object, {})
    .parse([...argv])
    .opts<Partial<BenchOptions> & Pick<BenchOptions, 'workload' | 'runs' | 'baseline' | 'settings' | 'channel'>>();
  const { rooms = null, messages = null, json = null, profile = null } = options;
  return { ...options, rooms, messages, json, profile };
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

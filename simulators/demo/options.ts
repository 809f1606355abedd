import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { ProfileName } from '../platform/profiles.ts';
import { DEMO_CHANNELS } from './channels.ts';

export interface DemoOptions {
  readonly channel: ProfileName;
  readonly rooms: number;
  readonly messages: number;
  /** End after the run, with status 0 only if it was clean. */
  readonly exit: boolean;
  /** Where the verdict goes as JSON; null for nowhere. */
  readonly json: string | null;
  readonly port: number;
  /** Of this channel alone: messages of an interrupted run are in it. */
  readonly data: string;
  readonly seed: number;
}

const DATA = join(fileURLToPath(new URL('../..', import.meta.url)), '.roomline');

/** Prints help or what is wrong and ends the process where the arguments ask for it. */
export function parseOptions(argv: readonly string[]): DemoOptions {
  const { rooms, messages, json, data, ...options } = new Command('npm start --')
    .description('Watch Roomline deliver a load in order, on real parts, beside two ways without it.')
    .addOption(
      new Option('--channel <name>', 'whose wire format is spoken')
        .choices(Object.keys(DEMO_CHANNELS))
        .default('generic'),
    )
    .option('--rooms <n>', 'how many rooms (default: by channel)', whole(1, 50_000))
    .option('--messages <n>', 'how many messages each (default: 10)', whole(1, 1_000))
    .option('--exit', 'end after the run, with status 0 only if it was clean', false)
    .option('--json <file>', 'write the verdict to this file')
    .option('--port <port>', "port of Roomline's HTTP server; a free one where it is taken", whole(0, 65_535), 8_080)
    .option(
      '--data <folder>',
      'where data, secrets and logs are kept, each channel but generic in a folder below',
      DATA,
    )
    .option('--seed <n>', 'seed of the fake platform', whole(0, 2_147_483_647), 1)
    .parse([...argv])
    .opts<
      Omit<DemoOptions, 'json' | 'rooms' | 'messages'> &
        Partial<Pick<DemoOptions, 'rooms' | 'messages'>> & { json?: string }
    >();
  const { channel } = options;
  const usual = DEMO_CHANNELS[channel];
  return {
    ...options,
    rooms: rooms ?? usual.rooms,
    messages: messages ?? usual.messages,
    json: json ?? null,
    data: channel === 'generic' ? data : join(data, channel),
  };
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

/** `roomline channels`: the channels of the configuration, and whether they would work. Nothing is sent, no database asked. */
import { type Command, InvalidArgumentError } from 'commander';
import type { ChannelConfig, Config } from '../config.ts';
import { CommandError } from './api.ts';
import type { ChannelReport } from './channel-check.ts';
import { json, table } from './output.ts';

export interface ChannelsCommandContext {
  readonly print: (text: string) => void;
  readonly configOf: (options: { readonly config?: string }) => Config;
}

interface CheckOptions {
  readonly config?: string;
  readonly json?: true;
  readonly timeoutMs: number;
}

const CONFIG_OPTION = ['--config <file>', 'configuration file; ROOMLINE_CONFIG by default'] as const;
const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_TIMEOUT_MS = 600_000;

export function addChannelsCommands(program: Command, { print, configOf }: ChannelsCommandContext): void {
  const channels = program.command('channels').description('look at the channels of the configuration');

  channels
    .command('list')
    .description('list them')
    .option(...CONFIG_OPTION)
    .option('--json', 'for programs')
    .action((options: { config?: string; json?: true }) => {
      const listed = configOf(options).channels.map(({ tenant, name, platform, account, baseUrl }) => {
        return { tenant, channel: name, platform, account, baseUrl };
      });
      const rows = listed.map((each) => [nameOf(each), each.platform, each.account, each.baseUrl]);
      print(options.json === true ? json({ channels: listed }) : table(rows));
    });

  channels
    .command('check')
    .description('verify them as far as that goes without sending; ends with 1 where one has failed')
    .argument('[channel]', 'tenant/channel, or the name alone; all by default')
    .option(...CONFIG_OPTION)
    .option('--json', 'for programs')
    .option('--timeout-ms <ms>', 'for all questions to the platform of one channel', parseTimeout, DEFAULT_TIMEOUT_MS)
    .action(async (name: string | undefined, options: CheckOptions) => {
      const config = configOf(options);
      const chosen = choose(config.channels, name);
      const { checkChannels, worstOf } = await import('./channel-check.ts');
      const reports = await checkChannels(config, chosen, options.timeoutMs);
      print(options.json === true ? json({ outcome: worstOf(reports), channels: reports }) : describe(reports));
      const broken = reports.filter(({ outcome }) => outcome === 'failed').length;
      if (broken > 0) throw new CommandError(`${broken} of ${reports.length} channels failed.`);
    });
}

function choose(channels: readonly ChannelConfig[], name: string | undefined): readonly ChannelConfig[] {
  if (channels.length === 0) throw new CommandError('No channels are configured.');
  if (name === undefined) return channels;
  const chosen = channels.filter((each) => name === each.name || name === `${each.tenant}/${each.name}`);
  if (chosen.length > 0) return chosen;
  const names = channels.map((each) => `${each.tenant}/${each.name}`).join(', ');
  throw new CommandError(`There is no such channel. Configured: ${names}.`);
}

const WORDS = { ok: 'ok', warning: 'WARNING', failed: 'FAILED', not_checkable: 'by hand' } as const;

function describe(reports: readonly ChannelReport[]): string {
  const blocks = reports.map((report) => {
    const rows = report.findings.map(({ name, outcome, code, detail }) => {
      return ['', WORDS[outcome], name, outcome === 'ok' ? detail : `${detail} [${code}]`];
    });
    return `${nameOf(report)} (${report.platform}): ${WORDS[report.outcome]}\n${table(rows)}`;
  });
  return `${blocks.join('\n')}\nNothing was sent. "by hand": what cannot be verified from here.\n`;
}

function nameOf({ tenant, channel }: { readonly tenant: string; readonly channel: string }): string {
  return `${tenant}/${channel}`;
}

function parseTimeout(text: string): number {
  const ms = Number(text);
  if (/^\d+$/.test(text) && ms >= 1 && ms <= MAX_TIMEOUT_MS) return ms;
  throw new InvalidArgumentError(`1 to ${MAX_TIMEOUT_MS}.`);
}

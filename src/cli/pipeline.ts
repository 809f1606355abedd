/** `roomline pipeline`, `rooms list` and `rooms timeline`: where messages are, which rooms linger, what happened in one. */
import { type Command, Option } from 'commander';
import type { LingeringView, PipelineView, TimelineView } from '../client/client.ts';
import { type ApiAccess, clientOf } from './api.ts';
import { parseWhole } from './arguments.ts';
import { group } from './messages.ts';
import { json, table } from './output.ts';

export interface PipelineCommandContext {
  readonly access: ApiAccess;
  readonly print: (text: string) => void;
}

const PHASES = ['ready', 'waiting', 'sending', 'awaiting_ack', 'backing_off', 'unknown', 'held'] as const;
const ORDERS = ['newest', 'oldest'] as const;

interface ListOptions {
  readonly tenant?: string;
  readonly channel?: string;
  readonly phase?: (typeof PHASES)[number];
  readonly olderThan?: number;
  readonly recipient?: string;
  readonly limit?: number;
  readonly cursor?: string;
  readonly json?: true;
}

interface TimelineOptions {
  readonly tenant?: string;
  readonly order?: (typeof ORDERS)[number];
  readonly limit?: number;
  readonly cursor?: number;
  readonly json?: true;
}

export function addPipelineCommands(program: Command, { access, print }: PipelineCommandContext): void {
  program
    .command('pipeline')
    .description('show how many messages are where, by channel')
    .option('--json', 'for programs')
    .action(async (options: { json?: true }) => {
      const pipeline = await clientOf(access).pipeline();
      print(options.json === true ? json(pipeline) : describePipeline(pipeline));
    });

  const rooms = group(program, 'rooms', 'look at rooms, pause and resume them');
  rooms
    .command('list')
    .description('list rooms that have been in one phase for more than 2 s, by phase, the longest first')
    .option('--tenant <tenant>', 'of this tenant; "default" beside --channel or --recipient, otherwise all by default')
    .option('--channel <channel>', 'of one channel')
    .addOption(new Option('--phase <phase>', 'in this phase').choices(PHASES))
    .option('--older-than <seconds>', 'in their phase for longer than that', parseWhole)
    .option('--recipient <recipient>', 'instead, those that messages to it were in, and those that have its name')
    .option('--limit <number>', 'at most 200', parseWhole)
    .option('--cursor <cursor>', 'go on where a list ended')
    .option('--json', 'for programs')
    .action(async ({ json: asJson, ...query }: ListOptions) => {
      const found = await clientOf(access).rooms.lingering(query);
      print(asJson === true ? json(found) : describeRooms(found));
    });

  rooms
    .command('timeline')
    .description('show what happened in a room, message by message')
    .argument('<channel>')
    .argument('<room>')
    .option('--tenant <tenant>', '"default" by default')
    .addOption(new Option('--order <order>', 'which messages come first').choices(ORDERS))
    .option('--limit <number>', 'messages, at most 200', parseWhole)
    .option('--cursor <sequence>', 'go on where a page ended', parseWhole)
    .option('--json', 'for programs')
    .action(async (channel: string, room: string, { json: asJson, ...query }: TimelineOptions) => {
      const timeline = await clientOf(access).rooms.timeline(channel, room, query);
      print(asJson === true ? json(timeline) : describeTimeline(timeline));
    });
}

type Row = Pick<PipelineView, 'stages' | 'lastMinute'> & Readonly<Record<'accepting' | 'buffered', number | null>>;

function describePipeline({ asOf, complete, missing, shards, buffered, channels, ...whole }: PipelineView): string {
  const head = [
    'CHANNEL',
    'ACCEPTING',
    'BUFFERED',
    'WAITING',
    'SENDING',
    'AWAITING ACK',
    'BACKING OFF',
    'UNKNOWN',
    'HELD',
    'IN/MIN',
    'SETTLED/MIN',
  ];
  const row = (name: string, { accepting, buffered: waiting, stages, lastMinute }: Row): string[] => [
    name,
    String(accepting ?? '-'),
    String(waiting ?? '-'),
    ...[stages.waiting, stages.sending, stages.awaitingAck, stages.backingOff, stages.unknown, stages.held].map(
      ({ messages }) => String(messages),
    ),
    String(lastMinute.accepted),
    String(lastMinute.settled),
  ];
  const rows = channels.map((each) => row(`${each.tenant}/${each.channel}`, each));
  const gone = missing.map(({ name }) => name).join(', ');
  return [
    table([head, ...rows, row('all', { ...whole, buffered: buffered?.messages ?? null })]),
    `as of ${new Date(asOf).toISOString()}\n`,
    complete
      ? ''
      : `INCOMPLETE: ${shards.counted} of ${shards.total} shards counted${gone === '' ? '' : `; missing: ${gone}`}\n`,
  ].join('');
}

function describeRooms({ asOf, rooms, unlisted, cursor }: LingeringView): string {
  const rows = rooms.map(({ tenant, channel, room, phase, since, counts, explanation }) => [
    `${tenant}/${channel}`,
    room,
    phase,
    `${Math.round((asOf - since) / 1_000)} s`,
    `${counts.waiting} waiting`,
    explanation,
  ]);
  const more = unlisted === 0 ? '' : `${unlisted} more are not on the list yet.\n`;
  return `${rows.length === 0 ? 'None.\n' : table(rows)}${more}${cursor === null ? '' : `More: --cursor ${cursor}\n`}`;
}

function describeTimeline({ messages, cursor }: TimelineView): string {
  const blocks = messages.map(({ id, sequence, messageId, outcome, lateFailure, events }) => {
    const rows = events.map(({ at, event, attempt, result, code, level, late, outcome: became, reason }) => {
      const words = [
        event.replaceAll('_', ' '),
        attempt === undefined ? null : `attempt ${attempt}`,
        result ?? null,
        level ?? null,
        late === true ? 'late' : null,
        became ?? null,
        reason ?? null,
        code == null ? null : `code ${code}`,
      ];
      return ['', new Date(at).toISOString(), words.filter((word) => word !== null).join(', ')];
    });
    const failed = lateFailure === null ? '' : `, failed later with code ${lateFailure}`;
    return `#${sequence}  ${outcome ?? 'open'}${failed}  ${messageId}  ${id}\n${table(rows)}`;
  });
  return `${blocks.length === 0 ? 'None.\n' : blocks.join('')}${cursor === null ? '' : `More: --cursor ${cursor}\n`}`;
}

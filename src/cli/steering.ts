/** `roomline rooms pause …`, `messages skip …`, `dead-letters` and `failures`: what operators order, and what failed. */
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type {
  Discard,
  FailureList,
  GapSkipped,
  LetterList,
  LetterSelection,
  MessageRequest,
  Replay,
} from '../client/client.ts';
import { type ApiAccess, CommandError, clientOf } from './api.ts';
import { parseWhole } from './arguments.ts';
import { group } from './messages.ts';
import { json, jsonAnyway, table } from './output.ts';

export interface SteeringCommandContext {
  readonly access: ApiAccess;
  readonly print: (text: string) => void;
}

interface OrderOptions {
  readonly reason?: string;
  readonly dryRun?: true;
  readonly json?: true;
}

interface FilterOptions {
  readonly tenant?: string;
  readonly channel?: string;
  readonly room?: string;
  readonly kind?: (typeof KINDS)[number];
  readonly reasonCode?: string;
  readonly code?: string;
  readonly fingerprint?: string;
  readonly from?: number;
  readonly until?: number;
}

interface ListOptions extends FilterOptions {
  readonly state?: (typeof STATES)[number];
  readonly limit: number;
  readonly cursor?: string;
  readonly json?: true;
}

interface FailureOptions {
  readonly tenant?: string;
  readonly channel?: string;
  readonly since?: number;
  readonly limit?: number;
  readonly json?: true;
}

interface SelectionOptions extends FilterOptions, OrderOptions {
  readonly all?: true;
  readonly limit?: number;
  readonly message?: MessageRequest;
}

const KINDS = ['message', 'intake'] as const;
const STATES = ['open', 'replayed', 'discarded'] as const;
const DEFAULT_PAGE = 50;

export function addSteeringCommands(program: Command, { access, print }: SteeringCommandContext): void {
  const rooms = group(program, 'rooms', 'look at rooms, pause and resume them');
  for (const [order, description] of [
    ['pause', 'begin no further attempt in a room'],
    ['resume', 'let a paused room go on'],
  ] as const) {
    ordering(rooms.command(order).description(description).argument('<channel>').argument('<room>'))
      .option('--tenant <tenant>', '"default" by default')
      .action(async (channel: string, room: string, options: OrderOptions & { tenant?: string }) => {
        const { rooms: api } = clientOf(access);
        const answer = await api[order](channel, room, { ...orderOf(options), tenant: options.tenant });
        print(options.json === true ? json(answer) : describeOrdered(answer));
      });
  }

  ordering(
    rooms
      .command('skip-gap')
      .description("give up the numbers that a publisher's order lacks: what is parked behind them goes on")
      .argument('<channel>')
      .argument('<room>'),
  )
    .option('--tenant <tenant>', '"default" by default')
    .option('--waits-for <number>', 'only where the room waits for this one', parseWhole)
    .action(async (channel: string, room: string, options: OrderOptions & { tenant?: string; waitsFor?: number }) => {
      const { tenant, waitsFor } = options;
      const expected = waitsFor === undefined ? {} : { waitsFor };
      const answer = await clientOf(access).rooms.skipGap(channel, room, { ...orderOf(options), ...expected, tenant });
      print(options.json === true ? json(answer) : describeSkipped(answer));
    });

  const messages = group(program, 'messages', 'look at messages, skip, retry or cancel them');
  for (const [order, description] of [
    ['skip', 'settle the head of a room without sending it'],
    ['retry', 'send a head that is held, or backs off, at once'],
    ['cancel', 'cancel a message wherever it stands'],
  ] as const) {
    ordering(messages.command(order).description(description).argument('<id>')).action(
      async (id: string, options: OrderOptions) => {
        const answer = await clientOf(access).messages[order](id, orderOf(options));
        print(options.json === true ? json(answer) : describeOrdered(answer));
      },
    );
  }

  addLetterCommands(
    group(program, 'dead-letters', 'look at what failed for good, replay or discard it'),
    access,
    print,
  );

  program
    .command('failures')
    .description("show what fails, grouped by channel, kind, code and the platform's words")
    .option('--tenant <tenant>', 'of this tenant; "default" beside --channel, otherwise all by default')
    .option('--channel <channel>', 'of one channel')
    .option('--since <ms>', 'seen then or later, ms since 1970', parseWhole)
    .option('--limit <number>', 'at most 200', parseWhole)
    .option('--json', 'for programs')
    .action(async ({ json: asJson, ...query }: FailureOptions) => {
      const answer = await clientOf(access).failures(query);
      print(asJson === true ? json(answer) : describeFailures(answer));
    });
}

function addLetterCommands(letters: Command, access: ApiAccess, print: (text: string) => void): void {
  filtering(letters.command('list').description('list them, newest first'))
    .addOption(new Option('--state <state>', 'what operators did about it').choices(STATES))
    .option('--limit <number>', 'at most 200', parseWhole, DEFAULT_PAGE)
    .option('--cursor <cursor>', 'go on where a list ended')
    .option('--json', 'for programs')
    .action(async ({ json: asJson, reasonCode: reason, ...query }: ListOptions) => {
      const words = reason === undefined ? {} : { reason };
      const answer = await clientOf(access).deadLetters.list({ ...query, ...words });
      print(asJson === true ? json(answer) : describeLetters(answer));
    });

  jsonAnyway(letters.command('show'))
    .description('show one, with what became of its message and, for operators, what it says')
    .argument('<id>')
    .action(async (id: string) => print(json(await clientOf(access).deadLetters.get(idIn(id)))));

  selecting(letters.command('replay').description('append them anew at the tails of their rooms, in their order'))
    .option(
      '--message <file>',
      'with one id: a corrected message instead of a payload that intake refused',
      readMessage,
    )
    .action(async (ids: string[], options: SelectionOptions) => {
      const { message } = options;
      if (message !== undefined && ids.length !== 1) throw new CommandError('--message goes with one id.');
      const { deadLetters } = clientOf(access);
      const answer = await (message === undefined
        ? deadLetters.replayMany({ ...orderOf(options), ...selectionOf(ids, options) })
        : deadLetters.replay(idIn(ids[0] as string), { ...orderOf(options), message }));
      print(options.json === true ? json(answer) : describeReplay(answer));
      if (answer.refused > 0) throw new CommandError(`${answer.refused} of ${answer.letters.length} were refused.`);
    });

  selecting(letters.command('discard').description('close them without sending anything')).action(
    async (ids: string[], options: SelectionOptions) => {
      const { deadLetters } = clientOf(access);
      const answer = await deadLetters.discardMany({ ...orderOf(options), ...selectionOf(ids, options) });
      print(options.json === true ? json(answer) : describeDiscarded(answer));
      if (answer.refused.length > 0) throw new CommandError(`${answer.refused.length} were refused.`);
    },
  );
}

function ordering(command: Command): Command {
  return command
    .option('--reason <words>', 'your own words, for the audit')
    .option('--dry-run', 'say what would happen and do nothing')
    .option('--json', 'for programs');
}

function filtering(command: Command): Command {
  return command
    .option('--tenant <tenant>', 'of this tenant; "default" beside --channel, otherwise all by default')
    .option('--channel <channel>', 'of one channel')
    .option('--room <room>', 'with --channel')
    .addOption(new Option('--kind <kind>', 'messages of ours, or payloads that intake refused').choices(KINDS))
    .option('--reason-code <reason>', 'such as refused or attempts_exhausted')
    .option('--code <code>', "the platform's code")
    .option('--fingerprint <fingerprint>', 'of one group of failures')
    .option('--from <ms>', 'written then or later, ms since 1970', parseWhole)
    .option('--until <ms>', 'written before, ms since 1970', parseWhole);
}

function selecting(command: Command): Command {
  return ordering(filtering(command.argument('[ids...]')))
    .option('--all', 'every open one, the oldest first')
    .option('--limit <number>', 'with a filter: so many at once, at most 1000', parseWhole);
}

function orderOf({ reason, dryRun }: OrderOptions): { readonly reason?: string; readonly dryRun?: boolean } {
  return { ...(reason === undefined ? {} : { reason }), ...(dryRun === undefined ? {} : { dryRun }) };
}

/** @throws CommandError unless it is said which: nobody closes everything by leaving something out */
function selectionOf(
  ids: readonly string[],
  options: SelectionOptions,
): Pick<LetterSelection, 'ids' | 'filter' | 'limit'> {
  const { tenant, channel, room, kind, reasonCode: reason, code, fingerprint, from, until, all, limit } = options;
  const filter = Object.fromEntries(
    Object.entries({ tenant, channel, room, kind, reason, code, fingerprint, from, until }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  const filtered = Object.keys(filter).length > 0;
  if ([ids.length > 0, filtered, all === true].filter(Boolean).length !== 1) {
    throw new CommandError('Give either ids, or a filter such as --channel, or --all.');
  }
  if (ids.length === 0) return { filter, ...(limit === undefined ? {} : { limit }) };
  if (limit !== undefined) throw new CommandError('--limit goes with a filter.');
  return { ids: ids.map(idIn) };
}

interface Ordered {
  readonly order: string;
  readonly changed: boolean;
  readonly dryRun: boolean;
  readonly explanation: string;
}

function describeOrdered({ order, changed, dryRun, explanation }: Ordered): string {
  const done = dryRun ? `${order} would be:` : changed ? `${order}:` : `${order} changes nothing:`;
  return `${done} ${explanation}.\n`;
}

function describeSkipped({ waitsFor, skipped, room }: GapSkipped): string {
  if (skipped === null) return `skip-gap would give up order ${waitsFor} and all that is missing with it.\n`;
  const { first, last } = skipped;
  const numbers = first === last ? `order ${first}` : `orders ${first} to ${last}`;
  return `skip-gap: ${numbers} given up; ${room.explanation}.\n`;
}

function describeLetters({ letters, cursor }: LetterList): string {
  const rows = letters.map(({ id, at, state, reason, code, detail, tenant, channel, room, message }) => {
    const where = channel === null ? 'intake' : `${tenant}/${channel}`;
    const what = message === null ? (detail ?? '') : `${room} ${message.sequence}`;
    return [String(id), new Date(at).toISOString(), state, where, reason, code ?? '', what];
  });
  return `${rows.length === 0 ? 'None.\n' : table(rows)}${cursor === null ? '' : `More: --cursor ${cursor}\n`}`;
}

function describeReplay({ dryRun, letters, more }: Replay): string {
  const rows = letters.map(({ letter, result, room, from, to, error }) => {
    const link = to === null ? '' : `${from === null ? '' : `${from.sequence} `}-> ${to.sequence} ${to.id}`;
    return [String(letter), result, room ?? '', error === undefined ? link : `${error.code}: ${error.detail}`];
  });
  const said = dryRun ? 'Nothing was done.\n' : '';
  return `${rows.length === 0 ? 'None.\n' : table(rows)}${said}${more ? 'There are more: repeat it.\n' : ''}`;
}

function describeDiscarded({ dryRun, discarded, refused, more }: Discard): string {
  const rows = [
    ...discarded.map((id) => [String(id), dryRun ? 'would be discarded' : 'discarded']),
    ...refused.map(({ letter, error }) => [String(letter), `${error.code}: ${error.detail}`]),
  ];
  return `${rows.length === 0 ? 'None.\n' : table(rows)}${more ? 'There are more: repeat it.\n' : ''}`;
}

function describeFailures({ failures }: FailureList): string {
  const rows = failures.map(({ fingerprint, tenant, channel, kind, code, count, deadLetters, lastSeen, sample }) => [
    channel === null ? 'intake' : `${tenant}/${channel}`,
    kind,
    code,
    `${count} failed`,
    `${deadLetters} for good`,
    new Date(lastSeen).toISOString(),
    sample?.id ?? '',
    fingerprint,
  ]);
  return rows.length === 0 ? 'None.\n' : table(rows);
}

function idIn(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new CommandError(`"${text}" is no id of a dead letter.`);
}

function readMessage(file: string): MessageRequest {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof value === 'object' && value !== null) return value as MessageRequest;
  } catch (cause) {
    throw new InvalidArgumentError(`It cannot be read as JSON: ${(cause as Error).message}`);
  }
  throw new InvalidArgumentError('It is not a JSON object.');
}

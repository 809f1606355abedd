/** `roomline rooms pause …`, `messages skip …`, `dead-letters` and `failures`: what operators order, and what failed. */
import { readFileSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import type { Static } from 'typebox';
import { path } from '../client/client.ts';
import type {
  discardSchema,
  failureListSchema,
  letterListSchema,
  messageOrderedSchema,
  replaySchema,
  roomOrderedSchema,
} from '../http/steering-schemas.ts';
import { type ApiAccess, CommandError, callApi } from './api.ts';
import { table } from './channels.ts';
import { group } from './messages.ts';

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
  readonly kind?: string;
  readonly reasonCode?: string;
  readonly code?: string;
  readonly from?: number;
  readonly until?: number;
}

interface ListOptions extends FilterOptions {
  readonly state?: string;
  readonly limit: number;
  readonly cursor?: string;
  readonly json?: true;
}

interface SelectionOptions extends FilterOptions, OrderOptions {
  readonly all?: true;
  readonly limit?: number;
  readonly message?: object;
}

const LETTERS = '/v1/dead-letters';
const DEFAULT_PAGE = 50;

export function addSteeringCommands(program: Command, { access, print }: SteeringCommandContext): void {
  const rooms = group(program, 'rooms', 'look at rooms');
  for (const [order, description] of [
    ['pause', 'begin no further attempt in a room'],
    ['resume', 'let a paused room go on'],
  ] as const) {
    ordering(rooms.command(order).description(description).argument('<channel>').argument('<room>'))
      .option('--tenant <tenant>')
      .action(async (channel: string, room: string, options: OrderOptions & { tenant?: string }) => {
        const query = options.tenant === undefined ? '' : `?tenant=${encodeURIComponent(options.tenant)}`;
        const target = `${path`/v1/rooms/${channel}/${room}`}/${order}${query}`;
        const answer = (await callApi(access, 'POST', target, orderOf(options))) as Static<typeof roomOrderedSchema>;
        print(options.json === true ? json(answer) : describeOrdered(answer));
      });
  }

  const messages = group(program, 'messages', 'look at messages');
  for (const [order, description] of [
    ['skip', 'settle the head of a room without sending it'],
    ['retry', 'send a head that is held, or backs off, at once'],
    ['cancel', 'cancel a message wherever it stands'],
  ] as const) {
    ordering(messages.command(order).description(description).argument('<id>')).action(
      async (id: string, options: OrderOptions) => {
        const target = `${path`/v1/messages/${id}`}/${order}`;
        const answer = (await callApi(access, 'POST', target, orderOf(options))) as Static<typeof messageOrderedSchema>;
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
    .description('show what fails, grouped by channel, kind and code')
    .option('--tenant <tenant>')
    .option('--channel <channel>')
    .option('--since <ms>', 'seen then or later, ms since 1970', parseWhole)
    .option('--limit <number>', 'at most 200', parseWhole)
    .option('--json', 'for programs')
    .action(async ({ json: asJson, ...query }: { json?: true; [name: string]: unknown }) => {
      const answer = (await callApi(access, 'GET', withQuery('/v1/failures', query))) as Static<
        typeof failureListSchema
      >;
      print(asJson === true ? json(answer) : describeFailures(answer));
    });
}

function addLetterCommands(letters: Command, access: ApiAccess, print: (text: string) => void): void {
  filtering(letters.command('list').description('list them, newest first'))
    .option('--state <state>', 'open, replayed or discarded')
    .option('--limit <number>', 'at most 200', parseWhole, DEFAULT_PAGE)
    .option('--cursor <cursor>', 'go on where a list ended')
    .option('--json', 'for programs')
    .action(async ({ json: asJson, reasonCode: reason, ...query }: ListOptions) => {
      const answer = (await callApi(access, 'GET', withQuery(LETTERS, { ...query, reason }))) as Static<
        typeof letterListSchema
      >;
      print(asJson === true ? json(answer) : describeLetters(answer));
    });

  letters
    .command('show')
    .description('show one, with what became of its message and, for operators, what it says')
    .argument('<id>')
    .action(async (id: string) => print(json(await callApi(access, 'GET', path`/v1/dead-letters/${id}`))));

  selecting(letters.command('replay').description('append them anew at the tails of their rooms, in their order'))
    .option('--message <file>', 'with one id: a corrected message instead of a payload that intake refused', readObject)
    .action(async (ids: string[], options: SelectionOptions) => {
      const { message } = options;
      if (message !== undefined && ids.length !== 1) throw new CommandError('--message goes with one id.');
      const [target, body] =
        message === undefined
          ? [`${LETTERS}:replay`, { ...orderOf(options), ...selectionOf(ids, options) }]
          : [path`/v1/dead-letters/${ids[0] as string}/replay`, { ...orderOf(options), message }];
      const answer = (await callApi(access, 'POST', target, body)) as Static<typeof replaySchema>;
      print(options.json === true ? json(answer) : describeReplay(answer));
      if (answer.refused > 0) throw new CommandError(`${answer.refused} of ${answer.letters.length} were refused.`);
    });

  selecting(letters.command('discard').description('close them without sending anything')).action(
    async (ids: string[], options: SelectionOptions) => {
      const body = { ...orderOf(options), ...selectionOf(ids, options) };
      const answer = (await callApi(access, 'POST', `${LETTERS}:discard`, body)) as Static<typeof discardSchema>;
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
    .option('--tenant <tenant>')
    .option('--channel <channel>')
    .option('--room <room>', 'with --channel')
    .option('--kind <kind>', 'message or intake')
    .option('--reason-code <reason>', 'such as refused or attempts_exhausted')
    .option('--code <code>', "the platform's code")
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
function selectionOf(ids: readonly string[], options: SelectionOptions): object {
  const { tenant, channel, room, kind, reasonCode: reason, code, from, until, all, limit } = options;
  const filter = Object.fromEntries(
    Object.entries({ tenant, channel, room, kind, reason, code, from, until }).filter(
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

function withQuery(target: string, query: Readonly<Record<string, unknown>>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  return parameters.size === 0 ? target : `${target}?${parameters}`;
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

function describeLetters({ letters, cursor }: Static<typeof letterListSchema>): string {
  const rows = letters.map(({ id, at, state, reason, code, detail, tenant, channel, room, message }) => {
    const where = channel === null ? 'intake' : `${tenant}/${channel}`;
    const what = message === null ? (detail ?? '') : `${room} ${message.sequence}`;
    return [String(id), new Date(at).toISOString(), state, where, reason, code ?? '', what];
  });
  return `${rows.length === 0 ? 'None.\n' : table(rows)}${cursor === null ? '' : `More: --cursor ${cursor}\n`}`;
}

function describeReplay({ dryRun, letters, more }: Static<typeof replaySchema>): string {
  const rows = letters.map(({ letter, result, room, from, to, error }) => {
    const link = to === null ? '' : `${from === null ? '' : `${from.sequence} `}-> ${to.sequence} ${to.id}`;
    return [String(letter), result, room ?? '', error === undefined ? link : `${error.code}: ${error.detail}`];
  });
  const said = dryRun ? 'Nothing was done.\n' : '';
  return `${rows.length === 0 ? 'None.\n' : table(rows)}${said}${more ? 'There are more: repeat it.\n' : ''}`;
}

function describeDiscarded({ dryRun, discarded, refused, more }: Static<typeof discardSchema>): string {
  const rows = [
    ...discarded.map((id) => [String(id), dryRun ? 'would be discarded' : 'discarded']),
    ...refused.map(({ letter, error }) => [String(letter), `${error.code}: ${error.detail}`]),
  ];
  return `${rows.length === 0 ? 'None.\n' : table(rows)}${more ? 'There are more: repeat it.\n' : ''}`;
}

function describeFailures({ failures }: Static<typeof failureListSchema>): string {
  const rows = failures.map(({ tenant, channel, kind, code, count, deadLetters, lastSeen, sample }) => [
    channel === null ? 'intake' : `${tenant}/${channel}`,
    kind,
    code,
    `${count} failed`,
    `${deadLetters} for good`,
    new Date(lastSeen).toISOString(),
    sample?.id ?? '',
  ]);
  return rows.length === 0 ? 'None.\n' : table(rows);
}

function idIn(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new CommandError(`"${text}" is no id of a dead letter.`);
}

function parseWhole(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A whole number.');
}

function readObject(file: string): object {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (typeof value === 'object' && value !== null) return value;
  } catch (cause) {
    throw new InvalidArgumentError(`It cannot be read as JSON: ${(cause as Error).message}`);
  }
  throw new InvalidArgumentError('It is not a JSON object.');
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

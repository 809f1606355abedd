/** `roomline database`: what is known of the database's past, and what an operator decides where it has another one. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Config } from '../config.ts';
import { explainHistory } from '../engine/another-history.ts';
import { CommandError } from './api.ts';
import type { DatabaseStatus, DatabaseTool } from './database-tool.ts';
import { json } from './output.ts';

export interface DatabaseCommandContext {
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
  readonly configOf: (options: { readonly config?: string }) => Config;
  readonly open: (config: Config) => Promise<DatabaseTool>;
  /** Who decides, where it is not said. */
  readonly user: string;
}

interface DecisionOptions {
  readonly config?: string;
  readonly reason: string;
  readonly by: string;
  readonly yes?: true;
}

interface AdoptOptions extends DecisionOptions {
  readonly rooms: 'hold' | 'resend';
  readonly evenIfSame?: true;
}

interface ReleaseOptions extends DecisionOptions {
  readonly as: 'retry' | 'skip' | 'cancel';
}

const CONFIG_OPTION = ['--config <file>', 'configuration file; ROOMLINE_CONFIG by default'] as const;
const MAX_REASON_LENGTH = 500;
const NOTHING_CHANGED = 'Nothing was changed. Add --yes to do it.\n';

export function addDatabaseCommands(program: Command, context: DatabaseCommandContext): void {
  const database = program.command('database').description('look at the database, decide about its past');

  database
    .command('status')
    .description('show which cluster and timeline is known and seen, and what the rooms wait for')
    .option(...CONFIG_OPTION)
    .action((options: { config?: string }) =>
      withTool(context, options, async (tool) => context.print(json(describe(await tool.status())))),
    );

  decision(database.command('adopt'), context)
    .description('go on with the database as it is, although it may have lost what had been committed')
    .addOption(
      new Option(
        '--rooms <what>',
        'hold: every room that waits for something waits for an operator; resend: they go on',
      )
        .choices(['hold', 'resend'])
        .makeOptionMandatory(),
    )
    .option('--even-if-same', 'hold the rooms although cluster and timeline are the known ones')
    .action((options: AdoptOptions) => withTool(context, options, (tool) => adopt(tool, options, context)));

  decision(database.command('release'), context)
    .description('end the hold of all rooms that "adopt --rooms hold" has left held')
    .addOption(
      new Option('--as <what>', 'what becomes of the first message of each: sent (again), or settled without')
        .choices(['retry', 'skip', 'cancel'])
        .makeOptionMandatory(),
    )
    .action((options: ReleaseOptions) => withTool(context, options, (tool) => release(tool, options, context)));
}

function decision(command: Command, { user }: DatabaseCommandContext): Command {
  return command
    .option(...CONFIG_OPTION)
    .requiredOption('--reason <text>', 'kept with the decision', parseReason)
    .option('--by <name>', 'who decides', user)
    .option('--yes', 'do it; without, only what would be done is shown');
}

async function adopt(tool: DatabaseTool, options: AdoptOptions, context: DatabaseCommandContext): Promise<void> {
  const { rooms, reason, by, evenIfSame = false, yes = false } = options;
  const status = await tool.status();
  const isKnown = status.seen === null || (status.stored !== null && status.anotherHistory === null);
  if (isKnown && !evenIfSame) throw new CommandError(refusal(status));
  refuseWithoutRight(status);
  // Where another history is seen the workers have given their leases up; here nothing stops them.
  if (isKnown && status.liveWorkers > 0) throw new CommandError(stillRunning(status.liveWorkers));
  if (evenIfSame && rooms !== 'hold') throw new CommandError('--even-if-same orders a hold: add --rooms hold.');
  if (!yes) {
    context.print(json({ ...describe(status), wouldAdopt: status.seen ?? status.stored, roomsWouldBe: rooms }));
    context.printError(`Make sure that nothing writes to the former database any more. ${NOTHING_CHANGED}`);
    return;
  }
  const { open, changed, recorded } = await tool.adopt(rooms, { reason, decidedBy: by });
  if (!recorded) throw new CommandError('Somebody else has decided meanwhile: see "roomline database status".');
  context.print(json({ adopted: status.seen ?? status.stored, roomsOpen: open, roomsHeld: changed }));
}

async function release(tool: DatabaseTool, options: ReleaseOptions, context: DatabaseCommandContext): Promise<void> {
  const { as, reason, by, yes = false } = options;
  refuseWithoutRight(await tool.status());
  if (!yes) {
    const { rooms } = await tool.status();
    const held = rooms.find((one) => one.phase === 'held' && one.reason === 'history_changed')?.rooms ?? 0;
    context.print(json({ roomsHeld: held, wouldBe: as }));
    context.printError(NOTHING_CHANGED);
    return;
  }
  const { changed, recorded } = await tool.release(as, { reason, decidedBy: by });
  if (!recorded) throw new CommandError('The rooms are released, but the decision was not recorded: repeat it.');
  context.print(json({ roomsReleased: changed, as }));
}

/** Before anything is done to the rooms: half a decision is worse than none. */
function refuseWithoutRight({ mayDecide }: DatabaseStatus): void {
  if (mayDecide) return;
  throw new CommandError(
    'The role of postgres.url may not record decisions. As the owner of the schema: roomline migrate --service-role ROLE.',
  );
}

function stillRunning(workers: number): string {
  const who = workers === 1 ? 'A worker is' : `${workers} workers are`;
  return `${who} at work on this database. Stop every engine, wait until its lease has ended, and try again.`;
}

function refusal({ seen }: DatabaseStatus): string {
  const again = 'To have the rooms held all the same, add --even-if-same.';
  return seen === null
    ? `Which cluster and timeline this is cannot be seen: the role may not ask. ${again}`
    : `Cluster and timeline are the known ones. ${again}`;
}

function describe(status: DatabaseStatus): object {
  const { stored, seen, anotherHistory, unsafeSettings, rooms, decisions } = status;
  const open = rooms.reduce((sum, one) => sum + one.rooms, 0);
  const messages = rooms.reduce((sum, one) => sum + one.messages, 0);
  return {
    history: anotherHistory === null ? historyOf(status) : explainHistory(anotherHistory),
    stored,
    seen,
    unsafeSettings,
    liveWorkers: status.liveWorkers,
    rooms: { open, messages, byPhase: rooms },
    decisions,
  };
}

function historyOf({ stored, seen }: DatabaseStatus): string {
  if (seen === null) return 'cannot be compared: the role may not ask which cluster and timeline this is';
  return stored === null ? 'cannot be compared: no cluster and timeline are stored' : 'the known one';
}

async function withTool(
  context: DatabaseCommandContext,
  options: { readonly config?: string },
  run: (tool: DatabaseTool) => Promise<void>,
): Promise<void> {
  const tool = await context.open(context.configOf(options));
  try {
    await run(tool);
  } finally {
    await tool.close();
  }
}

function parseReason(text: string): string {
  const reason = text.trim();
  if (reason === '' || reason.length > MAX_REASON_LENGTH) {
    throw new InvalidArgumentError(`1 to ${MAX_REASON_LENGTH} characters.`);
  }
  return reason;
}

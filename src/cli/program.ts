/** The `roomline` command: what can be typed, and which part of Roomline does it. */
import { Command, InvalidArgumentError } from 'commander';
import { type Config, ConfigError, loadConfig } from '../config.ts';
import { ERRORS, RoomlineError } from '../errors.ts';
import { createKey, type Scope } from '../http/keys.ts';
import { type ApiAccess, CommandError, describeFailure } from './api.ts';
import { addBufferCommands } from './buffer.ts';
import { addChannelsCommands } from './channels.ts';
import { addCompletionCommand } from './completion.ts';
import { addDatabaseCommands } from './database.ts';
import type { DatabaseTool } from './database-tool.ts';
import { addDevelopmentCommands } from './development.ts';
import { addFleetCommands } from './fleet.ts';
import { addMessageCommands } from './messages.ts';
import { json } from './output.ts';
import { addPipelineCommands } from './pipeline.ts';
import { addSteeringCommands } from './steering.ts';
import { addTailCommand } from './tail.ts';

export interface CommandContext {
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
  readonly fetch: typeof fetch;
  /** Nothing by default. */
  readonly stdin?: AsyncIterable<Uint8Array | string>;
  readonly serve: (options: { configFile?: string; roles?: string }) => Promise<void>;
  readonly migrate: (databaseUrl: string, shards: number, serviceRole: string | undefined) => Promise<void>;
  readonly openDatabase: (config: Config) => Promise<DatabaseTool>;
}

const DEFAULT_URL = 'http://127.0.0.1:8080';
const HELP = `
What goes by the API asks ROOMLINE_URL (${DEFAULT_URL} by default) with the key in ROOMLINE_KEY; make one with "keys create".
"roomline help COMMAND" tells of one. The exit status is 0 where all was done, 1 where anything was refused or failed.`;
const SCOPES = ['publish', 'read', 'operate'] as const satisfies readonly Scope[];

/** Runs one command line, such as `['room', 'support', 'r1']`; resolves with the exit status. */
export async function runCommand(args: readonly string[], context: CommandContext): Promise<number> {
  const program = createProgram(context);
  try {
    await program.parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    const said =
      error instanceof CommandError || error instanceof RoomlineError ? describe(error) : describeFailure(error);
    if (said !== null) {
      context.printError(`${said}\n`);
      return 1;
    }
    // Commander has said what is wrong with the line itself.
    if (isUsage(error)) return error.exitCode;
    throw error;
  }
}

function describe(error: CommandError | RoomlineError): string {
  if (error instanceof CommandError) return error.message;
  // Every issue brings its own advice.
  if (error instanceof ConfigError) return error.detail;
  const rule = error.rule === undefined ? '' : ` (${error.rule})`;
  return `${error.message}${rule}\n${ERRORS[error.code].action}`;
}

function isUsage(error: unknown): error is { exitCode: number } {
  return error instanceof Error && error.name === 'CommanderError' && 'exitCode' in error;
}

function createProgram(context: CommandContext): Command {
  const program = new Command('roomline')
    .description('Per-room ordered delivery of messages')
    .version(context.version)
    .exitOverride()
    .configureOutput({ writeOut: context.print, writeErr: context.printError })
    .addHelpText('after', HELP);
  program.commandsGroup('The service:');
  addServerCommands(program, context);
  addDatabaseCommands(program, {
    print: context.print,
    printError: context.printError,
    configOf: (options) => configOf(context, options),
    open: context.openDatabase,
    user: context.env.USER ?? context.env.LOGNAME ?? 'unknown',
  });
  addChannelsCommands(program, { print: context.print, configOf: (options) => configOfChannels(context, options) });
  addKeyCommands(program, context);
  const { print, printError, stdin = nothing() } = context;
  const access = accessOf(context);
  program.commandsGroup('Messages and rooms, by the API:');
  addMessageCommands(program, { access, print, printError, stdin });
  addPipelineCommands(program, { access, print });
  addSteeringCommands(program, { access, print });
  addTailCommand(program, { access, print, printError });
  program.commandsGroup('The fleet, by the API:');
  addFleetCommands(program, { access, print, printError });
  addBufferCommands(program, { access, print });
  addDevelopmentCommands(program, { access, print });
  program.commandsGroup('Help:').helpCommand('help [command]', 'tell of a command');
  addCompletionCommand(program, print);
  return program;
}

interface WithConfig {
  readonly config?: string;
}

function configOf(context: CommandContext, { config }: WithConfig): Config {
  return loadConfig({ file: config, env: context.env });
}

/** What only the service needs: channels can be looked at where it is not known, such as before the first start. */
const STAND_INS = {
  postgres: { url: 'postgres://nobody@127.0.0.1/nothing' },
  reference: { secret: 'stands in where no message is named' },
};
const STOOD_IN: readonly string[] = ['postgres.url', 'reference', 'reference.secret'];

function configOfChannels(context: CommandContext, options: WithConfig): Config {
  try {
    return configOf(context, options);
  } catch (error) {
    if (!(error instanceof ConfigError) || !error.issues.some(({ path }) => STOOD_IN.includes(path))) throw error;
    return loadConfig({ file: options.config, env: context.env, overrides: STAND_INS });
  }
}

const CONFIG_OPTION = ['--config <file>', 'configuration file; ROOMLINE_CONFIG by default'] as const;

function addServerCommands(program: Command, context: CommandContext): void {
  program
    .command('serve')
    .description('run the service until it is told to stop')
    .option(...CONFIG_OPTION)
    .option('--roles <list>', 'what this process does: intake,api,webhook,worker or some of them')
    .action(({ config, roles }: WithConfig & { roles?: string }) =>
      context.serve({
        ...(config === undefined ? {} : { configFile: config }),
        ...(roles === undefined ? {} : { roles }),
      }),
    );

  program
    .command('migrate')
    .description('bring the database schema to this version')
    .option(...CONFIG_OPTION)
    .option('--service-role <role>', 'grant this role what the service needs, and no more')
    .action(async (options: WithConfig & { serviceRole?: string }) => {
      const { postgres } = configOf(context, options);
      await context.migrate(postgres.url.reveal(), postgres.shards, options.serviceRole);
      context.print('The schema is up to date.\n');
    });

  program
    .command('config')
    .description('look at the configuration')
    .command('check')
    .description('check the configuration and report everything that is wrong')
    .option(...CONFIG_OPTION)
    .action((options: WithConfig) => {
      const { channels } = configOf(context, options);
      const names = channels.map((channel) => channel.name).join(', ');
      context.print(`The configuration is valid. Channels: ${names === '' ? 'none' : names}.\n`);
    });
}

interface KeyOptions {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly tenants?: readonly string[];
  readonly expiresAt?: string;
}

function addKeyCommands(program: Command, context: CommandContext): void {
  program
    .command('keys')
    .alias('key')
    .description('make API keys')
    .command('create')
    .description('make a key; it is shown once')
    .requiredOption('--name <name>', 'name of the key in logs')
    .requiredOption('--scopes <scopes>', `what it may do, separated by commas: ${SCOPES.join(', ')}`, parseScopes)
    .option('--tenants <tenants>', 'the only tenants that there are for it, separated by commas', parseList)
    .option('--expires-at <time>', 'when it ends, ISO 8601', parseTime)
    .action(({ name, scopes, tenants, expiresAt }: KeyOptions) => {
      const { key, hash } = createKey();
      const bounds = {
        ...(tenants === undefined ? {} : { tenants }),
        ...(expiresAt === undefined ? {} : { expiresAt }),
      };
      context.print(`${json({ key, entry: { name, hash, scopes, ...bounds } })}`);
      context.printError('Give the key to the client. Add the entry to auth.keys of the configuration.\n');
    });
}

function accessOf({ env, fetch }: CommandContext): ApiAccess {
  return { url: env.ROOMLINE_URL ?? DEFAULT_URL, key: env.ROOMLINE_KEY, fetch };
}

function parseScopes(text: string): readonly Scope[] {
  const scopes = [...new Set(text.split(',').map((scope) => scope.trim()))];
  if (!scopes.every(isScope)) throw new InvalidArgumentError(`Allowed: ${SCOPES.join(', ')}.`);
  return scopes;
}

function parseList(text: string): readonly string[] {
  const names = [...new Set(text.split(',').map((name) => name.trim()))];
  if (!names.includes('')) return names;
  throw new InvalidArgumentError('Names, separated by commas.');
}

function parseTime(text: string): string {
  const at = Date.parse(text);
  if (Number.isFinite(at)) return new Date(at).toISOString();
  throw new InvalidArgumentError('Such as 2027-01-01T00:00:00Z.');
}

function isScope(text: string): text is Scope {
  return (SCOPES as readonly string[]).includes(text);
}

async function* nothing(): AsyncGenerator<string> {}

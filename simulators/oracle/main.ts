/** The oracle as a command, for anybody's logs: see README.md. */
import { writeFile } from 'node:fs/promises';
import { Command, InvalidArgumentError } from 'commander';
import { CHECK_NAMES, type CheckName } from './checks.ts';
import {
  InputError,
  logFiles,
  readCanaries,
  readFences,
  readFinal,
  readInbox,
  readJson,
  readOptions,
  readPlatform,
  readPublished,
} from './inputs.ts';
import { scanForLeaks } from './leaks.ts';
import { judge, type Logs } from './oracle.ts';
import { tableOf } from './table.ts';
import type { OracleOptions, Verdict } from './types.ts';

interface Arguments {
  readonly published: string;
  readonly platform: string[];
  readonly final?: string;
  readonly inbox?: string;
  readonly fences?: string;
  readonly logs?: string[];
  readonly canaries?: string;
  readonly options?: string;
  readonly baseline?: string;
  readonly untouched?: string;
  readonly require?: CheckName[];
  readonly json?: string;
}

const given = new Command('node simulators/oracle/main.ts')
  .description('Judges a run by the logs of its two ends. Ends with 0 if it was clean, 1 if not, 2 if it cannot tell.')
  .requiredOption('--published <file>', "the publisher's log")
  .requiredOption('--platform <files...>', "the platform's log, in order where it has several parts")
  .option('--final <file>', 'what the database says of each message in the end')
  .option('--inbox <file>', 'acks that the database keeps without a message')
  .option('--fences <file>', 'workers, and whether they have been fenced')
  .option('--logs <paths...>', 'log files and folders that must not hold a canary')
  .option('--canaries <file>', 'what must not be in them')
  .option('--options <file>', 'options, as JSON')
  .option('--baseline <file>', 'the verdict on a quiet run, as --json wrote it')
  .option('--untouched <prefix>', 'how the names of rooms begin that no fault was aimed at')
  .option('--require <checks>', 'checks that must have something to look at, with commas', checkNames)
  .option('--json <file>', 'write the verdict to this file')
  .configureOutput({ outputError: (text, write) => write(text) })
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse()
  .opts<Arguments>();

try {
  const verdict = await judge(await logsOf(given), await optionsOf(given));
  if (given.json !== undefined) await writeFile(given.json, `${JSON.stringify(verdict, null, 2)}\n`);
  process.stdout.write(`${tableOf(verdict).join('\n')}\n`);
  process.exitCode = verdict.clean ? 0 : 1;
} catch (error) {
  const known = error instanceof InputError || error instanceof SyntaxError || error instanceof RangeError;
  const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
  if (!(known || absent)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}

async function logsOf(paths: Arguments): Promise<Logs> {
  const { published, platform, final, inbox, fences, logs, canaries } = paths;
  if ((logs === undefined) !== (canaries === undefined)) throw new InputError('--logs and --canaries need each other');
  return {
    published: readPublished(published),
    records: readPlatform(platform),
    ...(final === undefined ? {} : { final: readFinal(final) }),
    ...(inbox === undefined ? {} : { inbox: await all(readInbox(inbox)) }),
    ...(fences === undefined ? {} : { fences: readFences(fences) }),
    ...(logs === undefined || canaries === undefined
      ? {}
      : { leaks: await scanForLeaks(await logFiles(logs), await all(readCanaries(canaries))) }),
  };
}

async function optionsOf({ options, baseline, untouched, require }: Arguments): Promise<OracleOptions> {
  const isolation = {
    ...(untouched === undefined ? {} : { untouched: (room: string) => room.startsWith(untouched) }),
    ...(baseline === undefined ? {} : { baseline: (await readJson<Verdict>(baseline)).latency }),
  };
  return {
    ...(options === undefined ? {} : await readOptions(options)),
    ...(require === undefined ? {} : { required: require }),
    isolation,
  };
}

async function all<T>(entries: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const entry of entries) found.push(entry);
  return found;
}

function checkNames(text: string): CheckName[] {
  const names = text.split(',') as CheckName[];
  if (names.every((name) => CHECK_NAMES.includes(name))) return names;
  throw new InvalidArgumentError(`Checks are ${CHECK_NAMES.join(', ')}.`);
}

/** `roomline buffer`: what waits to be inserted, and the entries that were put aside, by the API of any process. */
import { type Command, InvalidArgumentError } from 'commander';
import { type BufferView, type BuriedList, RoomlineApiError, type RoomlineClient } from '../client/client.ts';
import { type ApiAccess, CommandError, clientOf } from './api.ts';
import { json, table } from './output.ts';

export interface BufferCommandContext {
  readonly access: ApiAccess;
  readonly print: (text: string) => void;
}

interface Letter {
  readonly partition: number;
  readonly letter: BuriedList['letters'][number];
}

const PAGE = 1_000;

export function addBufferCommands(program: Command, { access, print }: BufferCommandContext): void {
  const buffer = program
    .command('buffer')
    .description('show what waits in the buffer, by partition')
    .option('--json', 'for programs')
    .action(async (options: { json?: true }) => {
      const view = await whereItIs(clientOf(access).operations.buffer());
      print(options.json === true ? json(view) : describe(view));
    });

  buffer
    .command('dead-letters')
    .description('list the entries that were refused too often, and were put aside')
    .option('--partition <number>', 'only of this one', partition)
    // `--json` before the subcommand is the outer one's.
    .action(async (options: { partition?: number }) => {
      const letters = await readLetters(clientOf(access), options.partition);
      print(buffer.opts<{ json?: true }>().json === true ? json({ letters }) : describeLetters(letters));
    });

  buffer
    .command('replay')
    .description('put such entries back, behind all that waits in their partition; all of them where no id is given')
    .argument('[ids...]', 'of dead letters of one partition')
    .option('--partition <number>', 'only of this one', partition)
    .action(async (ids: string[], options: { partition?: number }) => {
      const client = clientOf(access);
      const named = ids.length === 0 ? await readLetters(client, options.partition) : nameThem(ids, options.partition);
      print(`${await end(client, 'replay', named)} put back.\n`);
    });

  buffer
    .command('discard')
    .description('remove such entries for good')
    .argument('<ids...>', 'of dead letters of one partition')
    .requiredOption('--partition <number>', 'theirs', partition)
    .action(async (ids: string[], options: { partition: number }) => {
      print(`${await end(clientOf(access), 'discard', nameThem(ids, options.partition))} removed.\n`);
    });
}

/** @throws CommandError where there is no such address */
async function whereItIs<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((error: unknown) => {
    if (!(error instanceof RoomlineApiError) || error.code !== 'not_found') throw error;
    throw new CommandError(
      'There is no buffer for this key: messages are taken directly (intake.mode), or the key is bound to tenants.',
    );
  });
}

async function readLetters(client: RoomlineClient, only: number | undefined): Promise<Letter[]> {
  const { partitions } = await whereItIs(client.operations.buffer());
  const letters: Letter[] = [];
  for (const { partition: number, buried } of partitions) {
    if (buried === 0 || (only !== undefined && only !== number)) continue;
    let after: string | undefined;
    do {
      const page = await client.operations.buried(number, { after, limit: PAGE });
      letters.push(...page.letters.map((letter) => ({ partition: number, letter })));
      after = page.after ?? undefined;
    } while (after !== undefined);
  }
  return letters;
}

type Named = { readonly partition: number; readonly letter: { readonly id: string } };

function nameThem(ids: readonly string[], number: number | undefined): Named[] {
  if (number === undefined) throw new CommandError('Ids need --partition: those of two partitions may be the same.');
  return ids.map((id) => ({ partition: number, letter: { id } }));
}

async function end(client: RoomlineClient, action: 'replay' | 'discard', named: readonly Named[]): Promise<number> {
  let count = 0;
  for (const [number, letters] of Map.groupBy(named, (one) => one.partition)) {
    for (let begin = 0; begin < letters.length; begin += PAGE) {
      const ids = letters.slice(begin, begin + PAGE).map(({ letter }) => letter.id);
      count += (await whereItIs(client.operations.endBuried(action, number, ids))).count;
    }
  }
  return count;
}

function describe({ partitions, messages, buried }: BufferView): string {
  const rows = partitions.map((one) => [one.partition, one.messages, timeOf(one.oldestAt), one.buried].map(String));
  return `${table([['PARTITION', 'MESSAGES', 'OLDEST', 'PUT ASIDE'], ...rows])}${messages} messages wait, ${buried} entries are put aside\n`;
}

function describeLetters(letters: readonly Letter[]): string {
  const rows = letters.map(({ partition: number, letter: { id, reason, bytes, at } }) => {
    return [String(number), id, timeOf(at), reason, String(bytes)];
  });
  return rows.length === 0 ? 'nothing is put aside\n' : table([['PARTITION', 'ID', 'AT', 'REASON', 'BYTES'], ...rows]);
}

function timeOf(ms: number | null): string {
  return ms === null ? '-' : new Date(ms).toISOString();
}

function partition(text: string): number {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A whole number.');
}

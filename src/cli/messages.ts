/** `roomline publish`, `messages` and `rooms`: handing in messages, and asking what became of them. */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { type Command, InvalidArgumentError } from 'commander';
import type { MessageRequest } from '../client/client.ts';
import { type ApiAccess, CommandError, clientOf, describeFailure } from './api.ts';
import { json, jsonAnyway } from './output.ts';

export interface MessageCommandContext {
  readonly access: ApiAccess;
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
  /** What `--from -` reads. */
  readonly stdin: AsyncIterable<Uint8Array | string>;
}

interface PublishOptions extends Omit<Partial<MessageRequest>, 'content' | 'channel' | 'room' | 'failurePolicy'> {
  readonly text?: string;
  readonly content?: MessageRequest['content'];
  readonly failurePolicy?: 'move_on' | 'hold';
  readonly from?: string;
  readonly run?: string;
  readonly startLine?: number;
  readonly json?: true;
}

/** While many are published, an outage of this order is waited out: nobody sits there. */
const RETRIES = 8;

export function addMessageCommands(program: Command, context: MessageCommandContext): void {
  const { access, print } = context;
  jsonAnyway(program.command('publish'))
    .description('hand in one message, or many: JSON objects, one a line, from a file or standard input')
    .argument('[channel]')
    .argument('[room]')
    .option('--text <text>', 'short for --content \'{"text":"…"}\'')
    .option('--content <json>', 'what the platform gets', parseJson)
    .option('--tenant <tenant>', '"default" by default')
    .option('--to <recipient>', 'address on the platform; the room by default')
    .option('--message-id <id>', 'makes repeating the command harmless')
    .option('--not-before <time>', 'not sent before that, ISO 8601')
    .option('--expires-at <time>', 'not sent from then on, ISO 8601')
    .option('--ack-timeout-ms <ms>', 'in place of the one of the channel', Number)
    .option('--failure-policy <policy>', 'move_on or hold')
    .option('--order <number>', 'your own number of the message within its room', Number)
    .option('--supersedes <id>', 'messageId of an earlier message of the room, which is cancelled if it still waits')
    .option('--from <file>', 'many: a file of messages, - for standard input')
    .option('--run <name>', 'with --from: names this run; repeated under the same name, nothing is doubled')
    .option('--start-line <line>', 'with --from: leave out what stands before it', parseLine)
    .action(async (channel: string | undefined, room: string | undefined, options: PublishOptions) => {
      const { text, content, from, run, startLine, json: _, ...wishes } = options;
      if (from !== undefined) {
        if (channel !== undefined)
          throw new CommandError('--from goes without channel and room: each line names its own.');
        return publishLines(context, from, { run: run ?? randomUUID(), startLine: startLine ?? 1 });
      }
      if (channel === undefined || room === undefined) {
        throw new CommandError('missing required argument: give channel and room, or --from.');
      }
      if ((text === undefined) === (content === undefined)) {
        throw new CommandError('Give either --text or --content.');
      }
      const message = { channel, room, content: content ?? { text }, ...wishes };
      print(json(await clientOf(access).publish(message)));
    });

  const showMessage = async (id: string) => print(json(await clientOf(access).messages.get(id)));
  jsonAnyway(program.command('message')).description('short for "messages show"').argument('<id>').action(showMessage);
  const messages = group(program, 'messages', 'look at messages, skip, retry or cancel them');
  jsonAnyway(messages.command('show'))
    .description('show what became of a message')
    .argument('<id>')
    .action(showMessage);

  const showRoom = async (channel: string, room: string, options: RoomOptions) => {
    const { rooms } = clientOf(access);
    const { messages: listed = false, tenant, limit, before } = options;
    const answer = listed
      ? rooms.messages(channel, room, { tenant, limit, before })
      : rooms.get(channel, room, { tenant });
    print(json(await answer));
  };
  roomCommand(program, 'room', 'show what a room does and why')
    .option('--messages', 'list its newest messages instead')
    .action(showRoom);
  const rooms = group(program, 'rooms', 'look at rooms, pause and resume them');
  roomCommand(rooms, 'show', 'show what a room does and why').action(showRoom);
  jsonAnyway(rooms.command('message'))
    .description("show a message by its publisher's id, also while it is parked or in the buffer")
    .argument('<channel>')
    .argument('<room>')
    .argument('<message-id>')
    .option('--tenant <tenant>')
    .option('--entry <entry>', 'as the status link of a buffered message has it')
    .action(async (channel: string, room: string, messageId: string, { tenant, entry }: MessageOptions) =>
      print(json(await clientOf(access).rooms.message(channel, room, messageId, { tenant, entry }))),
    );
  roomCommand(rooms, 'messages', 'list the messages of a room, newest first')
    .option('--limit <number>', 'at most 200', Number)
    .option('--before <sequence>', 'the next page', Number)
    .action((channel: string, room: string, options: RoomOptions) =>
      showRoom(channel, room, { ...options, messages: true }),
    );
}

interface MessageOptions {
  readonly tenant?: string;
  readonly entry?: string;
}

interface RoomOptions {
  readonly tenant?: string;
  readonly messages?: boolean;
  readonly limit?: number;
  readonly before?: number;
}

function roomCommand(parent: Command, name: string, description: string): Command {
  return jsonAnyway(parent.command(name))
    .description(description)
    .argument('<channel>')
    .argument('<room>')
    .option('--tenant <tenant>', '"default" by default');
}

/** A command that only holds others, made by whoever needs it first. */
export function group(program: Command, name: string, description: string): Command {
  return program.commands.find((each) => each.name() === name) ?? program.command(name).description(description);
}

/**
 * Publishes the lines of a file in their order. What is refused is printed with its line; the rest goes on.
 * @throws CommandError at the end, where something was refused, or where the API answers no more
 */
async function publishLines(
  { access, print, printError, stdin }: MessageCommandContext,
  from: string,
  { run, startLine }: { readonly run: string; readonly startLine: number },
): Promise<void> {
  const client = clientOf(access, RETRIES);
  const count = { run, lines: 0, accepted: 0, duplicates: 0, refused: 0 };
  const refuse = (line: number, why: string): void => {
    count.refused++;
    printError(`line ${line}: ${why}\n`);
  };
  /** Lines of the messages that the client has been given, by their index. */
  const lineOf: number[] = [];
  let done = startLine - 1;

  async function* readMessages(): AsyncGenerator<MessageRequest> {
    const input = from === '-' ? Readable.from(stdin) : createReadStream(from);
    let line = 0;
    for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      line++;
      if (line < startLine || text.trim() === '') continue;
      count.lines++;
      const message = objectIn(text);
      if (message === null) refuse(line, 'body_malformed_json: it is not a JSON object');
      else {
        lineOf.push(line);
        yield { messageId: `${run}:${line}`, ...message };
      }
    }
  }

  try {
    for await (const result of client.publishAll(readMessages())) {
      const line = lineOf[result.index] as number;
      done = line;
      if ('accepted' in result) {
        count.accepted++;
        if (result.accepted.duplicate) count.duplicates++;
      } else refuse(line, describeFailure(result.error)?.split('\n')[0] ?? result.error.message);
    }
  } catch (error) {
    const why = describeFailure(error) ?? (error instanceof Error ? error.message : String(error));
    throw new CommandError(`${why}\nGo on with --run ${run} --start-line ${done + 1}.`, { cause: error });
  }
  print(json(count));
  if (count.refused > 0) throw new CommandError(`${count.refused} of ${count.lines} messages were refused.`);
}

function objectIn(text: string): MessageRequest | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as MessageRequest) : null;
  } catch {
    return null;
  }
}

function parseJson(text: string): object {
  try {
    return JSON.parse(text);
  } catch {
    throw new InvalidArgumentError('It is not JSON.');
  }
}

function parseLine(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A line, from 1.');
}

/** `roomline tail`: what happens now, a line for each event, until it is interrupted. */
import { type Command, InvalidArgumentError } from 'commander';
import type { LiveEvent, LiveSettlement, LiveState, LiveTotals } from '../client/client.ts';
import { type ApiAccess, CommandError, clientOf, describeFailure } from './api.ts';

export interface TailCommandContext {
  readonly access: ApiAccess;
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
}

interface TailOptions {
  readonly tenant?: string;
  readonly channel?: string;
  readonly room?: string;
  readonly events: string;
  readonly count?: number;
  readonly json?: true;
}

const EVENTS = ['totals', 'settled', 'failed'];
const DEFAULT_EVENTS = 'settled,failed';

export function addTailCommand(program: Command, { access, print, printError }: TailCommandContext): void {
  program
    .command('tail')
    .description('show messages of all processes as they settle and fail, until it is interrupted')
    .option('--tenant <tenant>', 'of one tenant')
    .option('--channel <channel>', 'of one channel')
    .option('--room <room>', 'of one room; with --channel')
    .option('--events <list>', `separated by commas: ${EVENTS.join(', ')}`, parseEvents, DEFAULT_EVENTS)
    .option('--count <number>', 'end after so many events', parseCount)
    .option('--json', 'one JSON object a line, events of the feed itself included')
    .addHelpText(
      'after',
      '\nWhat it says of the connection goes to standard error. It shows what happens while it runs: what happened\n' +
        'before is told by "rooms messages", "dead-letters list" and "failures".',
    )
    .action(async ({ json, count = Number.POSITIVE_INFINITY, room, ...place }: TailOptions) => {
      if (room !== undefined && place.channel === undefined) throw new CommandError('--room goes with --channel.');
      const filter = { ...place, ...(room === undefined ? {} : { room }) };
      const onState = (state: LiveState): void => printError(describeState(state));
      let left = count;
      for await (const event of clientOf(access).live(filter, { onState })) {
        if (json === true) print(`${JSON.stringify(event)}\n`);
        else tell(event, print, printError);
        if (EVENTS.includes(event.event) && --left <= 0) return;
      }
    });
}

function tell(event: LiveEvent, print: (text: string) => void, printError: (text: string) => void): void {
  switch (event.event) {
    case 'settled':
    case 'failed':
      print(describeSettlement(event.data));
      break;
    case 'totals':
      print(describeTotals(event.data));
      break;
    case 'dropped': {
      const { count, reason } = event.data;
      printError(`${count === null ? 'Some' : `Up to ${count}`} events are missing here: ${reason}.\n`);
      break;
    }
    case 'ready': {
      const { reach, missed } = event.data;
      if (reach === 'process') printError('Only this process can be heard: there is no Redis, or it is away.\n');
      if (missed !== null) printError(`Not shown: what happened since ${timeOf(missed.since)}.\n`);
      break;
    }
    case 'heartbeat':
    case 'closing':
      break;
    default:
      // A later server has other events.
      event satisfies never;
  }
}

function describeSettlement(settled: LiveSettlement): string {
  const { at, tenant, channel, room, sequence, outcome, order, level, code, late, id } = settled;
  const words = [
    timeOf(at),
    `${tenant}/${channel}`,
    room,
    `#${sequence}`,
    late ? `${outcome}, failed later` : outcome,
    order === null ? '' : `order ${order}`,
    level === 'none' ? '' : level,
    code === null ? '' : `code ${code}`,
    id,
  ];
  return `${words.filter((word) => word !== '').join('  ')}\n`;
}

function describeTotals(totals: LiveTotals): string {
  const { asOf, complete, stages, acceptedPerSecond, sentPerSecond, settledPerSecond, ackRate, gapMs, counts } = totals;
  const words = [
    timeOf(asOf),
    `in ${acceptedPerSecond}/s  sent ${sentPerSecond}/s  settled ${settledPerSecond}/s`,
    `waiting ${stages.waiting.messages}  sending ${stages.sending.rooms}  awaiting ack ${stages.awaitingAck.rooms}`,
    `held ${stages.held.rooms}  failed ${counts.failed}`,
    ackRate === null ? 'acks -' : `acks ${Math.round(ackRate * 1_000) / 10} %`,
    gapMs.p99 === null ? 'gap -' : `gap p50 ${round(gapMs.p50)} p99 ${round(gapMs.p99)} ms`,
    ...(complete ? [] : ['INCOMPLETE']),
  ];
  return `${words.join('  ')}\n`;
}

function describeState(state: LiveState): string {
  if (state.kind === 'connecting') return 'connecting\n';
  if (state.kind === 'open') return 'connected\n';
  const why = state.error === null ? 'the server has ended the feed' : describeFailure(state.error)?.split('\n')[0];
  return `lost: ${why}; again in ${Math.ceil(state.ms / 1_000)} s\n`;
}

function round(ms: number | null): string {
  return ms === null ? '-' : String(Math.round(ms * 10) / 10);
}

function timeOf(at: number): string {
  return new Date(at).toISOString().slice(11, -1);
}

function parseEvents(text: string): string {
  const events = text.split(',').map((event) => event.trim());
  if (events.every((event) => EVENTS.includes(event))) return [...new Set(events)].join(',');
  throw new InvalidArgumentError(`Allowed: ${EVENTS.join(', ')}.`);
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('A whole number from 1.');
}

/** What is printed at the end of a run. */
import { DEMO_CHANNELS, type DemoChannel } from './channels.ts';
import { BASELINES } from './scenario.ts';
import type { Paint } from './terminal.ts';
import { type Cell, count, counted, percent, seconds, table } from './text.ts';
import type { DemoVerdict, WayResult } from './verdict.ts';

const NOTHING: Cell = { text: '–', colour: 'dim' };

export function resultTable(verdict: DemoVerdict, paint: Paint): string[] {
  const { roomline, everythingAtOnce, fixedPause } = verdict;
  const heading = (...texts: string[]): Cell[] => texts.map((text) => ({ text, colour: 'dim' as const }));
  return table(
    [
      heading('', 'time', 'swaps on', 'after an', 'after an', 'lost', 'duplicates', 'order'),
      heading('', '', 'phones', 'acked one', 'assumed one', '', '', 'proven'),
      [
        { text: 'Roomline', colour: 'bold' },
        { text: seconds(roomline.durationMs) },
        graded(roomline.swaps, 'yellow'),
        graded(roomline.swapsAfterAcked, 'red'),
        graded(roomline.swapsAfterAssumed, 'yellow'),
        graded(roomline.lost, 'red'),
        graded(roomline.duplicates, roomline.duplicates > roomline.unknownOutcomes ? 'red' : 'yellow'),
        { text: percent(roomline.orderProven) },
      ],
      baselineRow(BASELINES.atOnce.name, everythingAtOnce),
      baselineRow(BASELINES.pause.name, fixedPause),
    ],
    paint,
  ).map((line) => `  ${line}`);
}

function baselineRow(name: string, result: WayResult): Cell[] {
  return [
    { text: name },
    { text: seconds(result.durationMs) },
    graded(result.swaps, 'red'),
    NOTHING,
    NOTHING,
    graded(result.lost, 'red'),
    graded(result.duplicates, 'red'),
    NOTHING,
  ];
}

function graded(value: number, bad: 'red' | 'yellow'): Cell {
  return { text: count(value), colour: value === 0 ? 'green' : bad };
}

/** What the figures say, and whether all is well. */
export function summary(
  verdict: DemoVerdict,
  paint: Paint,
  { words, ack, ackTimeoutMs }: DemoChannel = DEMO_CHANNELS.generic,
): string[] {
  const { roomline, everythingAtOnce, fixedPause, clean, problems } = verdict;
  const { acked = 0, assumed = 0, ...others } = roomline.outcomes;
  const other = Object.entries(others).map(([outcome, times]) => `, ${count(times)} ${outcome}`);
  const wait = `${count(assumed)} assumed after ${ackTimeoutMs / 1_000} s without an ack`;
  const how = ack === null && assumed === 0 ? `acked by ${words.platform}'s answer` : `acked, ${wait}`;
  const lines = [
    `Roomline: ${count(acked)} ${how}${other.join('')}.`,
    words.proof,
    `Swapped in ${counted(everythingAtOnce.roomsWithSwaps, 'room')} with everything at once, ` +
      `in ${counted(fixedPause.roomsWithSwaps, 'room')} with a fixed pause, ` +
      `in ${counted(roomline.roomsWithSwaps, 'room')} with Roomline.`,
  ].map((line) => `  ${line}`);
  if (clean) {
    const duplicates = `${counted(roomline.duplicates, 'duplicate')} for ${counted(roomline.unknownOutcomes, 'unknown outcome')}`;
    const text = `0 lost, 0 violations of R2 and R3, 0 swaps after an acked message, ${duplicates}`;
    return [...lines, '', `  ${paint('green', 'Clean:')} ${text}.`];
  }
  const examples = roomline.violations.map(({ rule, room, message, detail }) => {
    const where = room === undefined ? '' : ` room ${room}, message ${message}:`;
    return `    ${rule}:${where} ${detail}`;
  });
  return [...lines, '', `  ${paint('red', 'Not clean:')} ${problems.join('; ')}.`, ...examples];
}

/** How to try it out: lines to copy. */
export function waysToGoOn(url: string, apiKey: string, paint: Paint, room = 'alice'): string[] {
  const auth = `-H "authorization: Bearer $KEY"`;
  const body = `'{"channel":"demo","room":"${room}","content":{"text":"Hello"}}'`;
  return [
    `Roomline keeps running at ${paint('bold', url)}: open it in a browser, and sign in with the key. In a terminal:`,
    '',
    `  KEY=${apiKey}`,
    '',
    paint('dim', '  # publish a message'),
    `  curl -s ${auth} -H 'content-type: application/json' \\`,
    `    -d ${body} ${url}/v1/messages`,
    paint('dim', '  # what became of it: with the id of that answer'),
    `  curl -s ${auth} ${url}/v1/messages/ID`,
    paint('dim', '  # what its room does, and why'),
    `  curl -s ${auth} ${url}/v1/rooms/demo/${encodeURIComponent(room)}`,
    paint('dim', '  # health and metrics'),
    `  curl -s ${url}/readyz`,
    `  curl -s ${auth} ${url}/metrics`,
    '',
    'Ctrl-C stops everything. The next start goes on from there.',
  ];
}

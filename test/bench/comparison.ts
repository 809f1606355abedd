/** Roomline beside what it is compared with, in one run: as a table, Roomline first. */
import { type Shown, totalUs } from './passage.ts';

export type Row = { readonly shown: Shown } | { readonly name: string; readonly failure: string };

interface Column {
  readonly heads: readonly [string, string];
  cell(shown: Shown, roomline: Shown): string;
}

const COLUMNS: readonly Column[] = [
  { heads: ['messages', 'per s'], cell: ({ perSecond }) => whole(perSecond) },
  { heads: ['', '×'], cell: ({ perSecond }, roomline) => ratio(roomline.perSecond / perSecond) },
  { heads: ['CPU', 'process'], cell: ({ engineUs }) => whole(engineUs) },
  { heads: ['µs per', 'Postgres'], cell: ({ postgresUs }) => whole(postgresUs) },
  { heads: ['message', 'Redis'], cell: ({ redisUs }) => whole(redisUs) },
  { heads: ['', 'all'], cell: (shown) => whole(totalUs(shown)) },
  { heads: ['', '×'], cell: (shown, roomline) => ratio(totalUs(shown) / totalUs(roomline)) },
  { heads: ['gap, ms', 'p50'], cell: ({ gapP50Ms }) => gap(gapP50Ms) },
  { heads: ['', 'p99'], cell: ({ gapP50Ms, gapP99Ms }) => (gapP50Ms < 0 ? '–' : gap(gapP99Ms)) },
  { heads: ['first', 'p50'], cell: ({ firstSendP50Ms }) => gap(firstSendP50Ms) },
  { heads: ['send, ms', 'p99'], cell: ({ firstSendP99Ms }) => gap(firstSendP99Ms) },
  { heads: ['per message', 'transactions'], cell: ({ transactions }) => ratio(transactions) },
  { heads: ['', 'WAL bytes'], cell: ({ walBytes }) => whole(walBytes) },
  { heads: ['', 'swaps'], cell: ({ swaps }) => whole(swaps.total) },
];

/**
 * One line for each, and what kept the others from giving figures. Ratios are above 1 where Roomline is the better: its
 * messages/s by theirs, their CPU time by its own. Without any where Roomline has no figures.
 */
export function comparison(rows: readonly Row[]): string[] {
  const all = rows.flatMap((row) => ('shown' in row ? row.shown : []));
  const failures = rows.flatMap((row) => ('failure' in row ? `  ${row.name}: no figure: ${row.failure}` : []));
  const [first] = rows;
  if (first === undefined || !('shown' in first)) return failures;
  const cells = [
    COLUMNS.map(({ heads: [above] }) => above),
    COLUMNS.map(({ heads: [, below] }) => below),
    ...all.map((shown) => COLUMNS.map(({ cell }) => cell(shown, first.shown))),
  ];
  const names = ['', '', ...all.map(({ name }) => name)];
  const nameWidth = Math.max(...names.map(({ length }) => length));
  const widths = COLUMNS.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  return [
    ...cells.map((line, row) => {
      const padded = line.map((cell, column) => cell.padStart(widths[column] ?? 0));
      return `  ${(names[row] ?? '').padEnd(nameWidth)}  ${padded.join('  ')}`.trimEnd();
    }),
    ...failures,
  ];
}

function whole(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : '–';
}

function ratio(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : '–';
}

/** Where a room's messages do not wait for acks, the next one leaves before the ack. */
function gap(ms: number): string {
  return Number.isFinite(ms) && ms >= 0 ? ms.toFixed(1) : '–';
}

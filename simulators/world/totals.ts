/** What a range of worlds comes to, in plain data so that workers can hand theirs over. */
import type { WorldReport } from './world.ts';

type Counts = Record<string, number>;

export interface Totals {
  seeds: number;
  violated: number;
  events: number;
  messages: number;
  readonly modes: Counts;
  readonly faults: Counts;
  readonly failpoints: Counts;
  readonly cells: Counts;
  readonly counts: Counts;
}

export function newTotals(): Totals {
  return {
    seeds: 0,
    violated: 0,
    events: 0,
    messages: 0,
    modes: {},
    faults: {},
    failpoints: {},
    cells: {},
    counts: {},
  };
}

export function addReport(totals: Totals, report: WorldReport): void {
  totals.seeds++;
  if (report.violations.length > 0) totals.violated++;
  totals.events += report.events;
  totals.messages += report.messages;
  addTo(totals.modes, [[report.mode, 1]]);
  for (const part of COUNTED) addTo(totals[part], report[part]);
}

export function addTotals(totals: Totals, more: Totals): void {
  totals.seeds += more.seeds;
  totals.violated += more.violated;
  totals.events += more.events;
  totals.messages += more.messages;
  addTo(totals.modes, Object.entries(more.modes));
  for (const part of COUNTED) addTo(totals[part], Object.entries(more[part]));
}

/** One line of everything. */
export function lineOf(totals: Totals): string {
  const faults = Object.values(totals.faults).reduce((sum, count) => sum + count, 0);
  return [
    `${totals.seeds} seeds (${list(totals.modes)}), ${totals.violated} with violations`,
    `${totals.events} events`,
    `${totals.messages} messages settled`,
    `seen: ${list(totals.counts)}`,
    `${faults} faults: ${list(totals.faults)}`,
    `failpoints: ${list(totals.failpoints)}`,
    `${Object.keys(totals.cells).length} phase × event cells: ${list(totals.cells)}`,
  ].join(', ');
}

const COUNTED = ['faults', 'failpoints', 'cells', 'counts'] as const;

function addTo(counts: Counts, more: Iterable<readonly [string, number]>): void {
  for (const [key, count] of more) counts[key] = (counts[key] ?? 0) + count;
}

function list(counts: Counts): string {
  return Object.entries(counts)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, count]) => `${key} ${count}`)
    .join(' ');
}

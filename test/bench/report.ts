/** Figures as text: ratios first. */
import { comparison } from './comparison.ts';
import { type Figure, type RunFigures, type Summary, summarise, type Unit } from './figures.ts';
import { describeMachine } from './machine.ts';
import type { BenchOptions } from './options.ts';

export function report(runs: readonly RunFigures[]): string[] {
  const ratios = summarise(runs.map((run) => run.ratios));
  const figures = summarise(runs.map((run) => run.figures));
  return [
    ...(ratios.length === 0 ? [] : ['Ratios, within one run', ...table(ratios), '']),
    ...runs.flatMap(sideBySide),
    ...table(figures),
  ];
}

const LEGEND = "×: the first line's messages/s by theirs; their CPU per message by the first line's";

function sideBySide({ rows = [] }: RunFigures): string[] {
  return rows.length < 2 ? [] : [LEGEND, ...comparison(rows), ''];
}

/** For `--json`. */
export function asJson(workload: string, options: BenchOptions, runs: readonly RunFigures[]): object {
  const { rooms, messages, minutes, batch, intake, redis, nodeOptions, settings, channel } = options;
  const plain = (figures: readonly Figure[]) => figures.map(({ name, unit, value }) => ({ name, unit, value }));
  return {
    workload,
    machine: describeMachine(),
    options: { rooms, messages, minutes, batch, intake, redis, nodeOptions, settings, channel },
    ratios: summarise(runs.map((run) => run.ratios)),
    figures: summarise(runs.map((run) => run.figures)),
    runs: runs.map((run) => ({ ratios: plain(run.ratios), figures: plain(run.figures) })),
  };
}

function table(rows: readonly Summary[]): string[] {
  const single = rows.every(({ min, max }) => min === max);
  const columns = rows.map(({ min, median, max, unit }) =>
    (single ? [median] : [min, median, max]).map((value) => format(value, unit)),
  );
  const widths = [0, 1, 2].map((column) => Math.max(8, ...columns.map((row) => row[column]?.length ?? 0)));
  const nameWidth = Math.max(...rows.map(({ name }) => name.length));
  const line = (name: string, cells: readonly string[], unit: string) =>
    `  ${name.padEnd(nameWidth)}  ${cells.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  ')}  ${unit}`.trimEnd();
  return [
    ...(single ? [] : [line('', ['least', 'median', 'greatest'], '')]),
    ...rows.map(({ name, unit }, index) => line(name, columns[index] ?? [], unit)),
  ];
}

const DIGITS: Partial<Record<Unit, number>> = { 'messages/s': 0, messages: 0, bytes: 0, MB: 0 };

function format(value: number, unit: Unit): string {
  if (!Number.isFinite(value)) return '–';
  const digits = DIGITS[unit] ?? (Math.abs(value) < 10 ? 2 : 1);
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

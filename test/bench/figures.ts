/** Measured values and what several runs say of them. */
import type { Row } from './comparison.ts';

export type Unit = '×' | 'messages/s' | 'messages' | 'ms' | 'µs' | 'bytes' | 'MB' | '%' | '';

export interface Figure {
  readonly name: string;
  readonly unit: Unit;
  readonly value: number;
}

/** What one run showed: ratios say most on a machine that is not ours alone, so they come first. */
export interface RunFigures {
  readonly ratios: readonly Figure[];
  readonly figures: readonly Figure[];
  /** Loads side by side, Roomline's first. */
  readonly rows?: readonly Row[];
}

export interface Summary {
  readonly name: string;
  readonly unit: Unit;
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export function figure(name: string, unit: Unit, value: number): Figure {
  return { name, unit, value };
}

/** One line for each figure of the first run, over the runs that have it. */
export function summarise(runs: readonly (readonly Figure[])[]): Summary[] {
  return (runs[0] ?? []).map(({ name, unit }) => {
    const values = runs.flatMap((run) => run.filter((each) => each.name === name).map(({ value }) => value));
    const sorted = values.sort((a, b) => a - b);
    return { name, unit, min: quantile(sorted, 0), median: quantile(sorted, 0.5), max: quantile(sorted, 1) };
  });
}

/** Of values that ascend, between two of them by proportion. NaN where there are none. */
export function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

export function ascending(values: Iterable<number>): number[] {
  return [...values].sort((a, b) => a - b);
}

/** Per second over the time from the first to the last tenth, without the start and the end of a run. */
export function steadyRate(timesMs: readonly number[]): number {
  const tenth = Math.floor(timesMs.length / 10);
  const first = timesMs[tenth] ?? Number.NaN;
  const last = timesMs[timesMs.length - 1 - tenth] ?? Number.NaN;
  return ((timesMs.length - 1 - 2 * tenth) / (last - first)) * 1_000;
}

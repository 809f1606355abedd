/** What a load generator measured of its requests, and what that comes to. */
import { ascending, quantile } from '../bench/figures.ts';

/** A request that was answered, or failed. */
export interface Sample {
  /** When the answer was there, ms since the load began. */
  readonly atMs: number;
  readonly tookMs: number;
  /** 0: no answer came. */
  readonly status: number;
}

export interface Latencies {
  readonly answered: number;
  /** No answer, or another status than 2xx. */
  readonly errors: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** Of the samples between two moments, in ms since the load began. */
export function latencies(samples: readonly Sample[], fromMs: number, untilMs: number): Latencies {
  const within = samples.filter(({ atMs }) => atMs >= fromMs && atMs < untilMs);
  const took = ascending(within.filter(isAccepted).map(({ tookMs }) => tookMs));
  return {
    answered: took.length,
    errors: within.length - took.length,
    perSecond: (took.length / (untilMs - fromMs)) * 1_000,
    p50: quantile(took, 0.5),
    p95: quantile(took, 0.95),
    p99: quantile(took, 0.99),
    max: took.at(-1) ?? Number.NaN,
  };
}

export function isAccepted({ status }: Pick<Sample, 'status'>): boolean {
  return status >= 200 && status < 300;
}

export type Cell = string | number;

/** Columns of texts to the left, of numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const cells = [head, ...rows.map((row) => row.map(shown))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const isText = head.map((_, column) => rows.every((row) => typeof row[column] === 'string'));
  return cells.map((row) =>
    `  ${row
      .map((cell, column) => (isText[column] ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')}`.trimEnd(),
  );
}

function shown(cell: Cell): string {
  if (typeof cell === 'string') return cell;
  if (!Number.isFinite(cell)) return '–';
  const digits = Number.isInteger(cell) || Math.abs(cell) >= 100 ? 0 : Math.abs(cell) < 10 ? 2 : 1;
  return cell.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export const LATENCY_HEAD = ['requests/s', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms', 'errors'] as const;

export function latencyCells({ perSecond, p50, p95, p99, max, errors }: Latencies): Cell[] {
  return [Math.round(perSecond), p50, p95, p99, max, errors];
}

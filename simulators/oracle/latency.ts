/** C10: how long rooms waited, as a histogram that is filled in one step per value and needs no sorting. */

/** Each bucket ends 1 % above the one before: quantiles are exact to that. */
const GROWTH = Math.log(1.01);
/** Logs round to this, so that shorter times cannot be told apart. */
const LEAST_MS = 1;
/** Fewer values than this have no 95th percentile to speak of. */
export const LEAST_VALUES = 100;

/** Values in ms by bucket, as JSON can hold them. */
export type Histogram = Record<string, number>;

export interface Latency {
  /** From the first webhook call that told of the ack to the first receipt of the next message. */
  ackToNext: Histogram;
  /** From acceptance to settling, by the database. */
  acceptToSettle: Histogram;
}

export const noLatency = (): Latency => ({ ackToNext: {}, acceptToSettle: {} });

export function count(histogram: Histogram): number {
  return Object.values(histogram).reduce((sum, values) => sum + values, 0);
}

export function addTo(histogram: Histogram, ms: number): void {
  const bucket = Math.ceil(Math.log(Math.max(ms, LEAST_MS)) / GROWTH);
  histogram[bucket] = (histogram[bucket] ?? 0) + 1;
}

/** In ms, at most 1 % too high; NaN of nothing. */
export function quantileOf(histogram: Histogram, share: number): number {
  const wanted = share * count(histogram);
  let seen = 0;
  // Whole numbers as names come in ascending order.
  for (const [bucket, values] of Object.entries(histogram)) {
    seen += values;
    if (seen >= wanted) return Math.exp(Number(bucket) * GROWTH);
  }
  return Number.NaN;
}

export interface Comparison {
  what: keyof Latency;
  quantile: number;
  baselineMs: number;
  observedMs: number;
  /** Observed by baseline. */
  ratio: number;
}

/** The quantiles of two runs side by side, where both have enough values. */
export function compareLatency(observed: Latency, baseline: Latency, quantiles = [0.5, 0.95]): Comparison[] {
  const both = (['ackToNext', 'acceptToSettle'] as const).filter(
    (what) => Math.min(count(observed[what]), count(baseline[what])) >= LEAST_VALUES,
  );
  return both.flatMap((what) =>
    quantiles.map((quantile) => {
      const baselineMs = quantileOf(baseline[what], quantile);
      const observedMs = quantileOf(observed[what], quantile);
      return { what, quantile, baselineMs, observedMs, ratio: observedMs / baselineMs };
    }),
  );
}

import type { Metrics } from '../../simulators/rig/metrics.ts';

interface Bucket {
  /** Upper bound. */
  readonly upTo: number;
  /** Values at most that, cumulative. */
  readonly count: number;
}

/**
 * A quantile of what a Prometheus histogram counted between two readings, between two bounds by proportion. NaN where
 * it counted nothing, the greatest bound where the value lies beyond all of them.
 */
export function histogramQuantile(before: Metrics, after: Metrics, name: string, share: number): number {
  const earlier = new Map(buckets(before, name).map(({ upTo, count }) => [upTo, count]));
  const counted = buckets(after, name).map(({ upTo, count }) => ({ upTo, count: count - (earlier.get(upTo) ?? 0) }));
  const total = counted.at(-1)?.count ?? 0;
  if (total === 0) return Number.NaN;
  const wanted = share * total;
  let below: Bucket = { upTo: 0, count: 0 };
  for (const bucket of counted) {
    if (bucket.count >= wanted) {
      if (!Number.isFinite(bucket.upTo)) return below.upTo;
      const within = (wanted - below.count) / (bucket.count - below.count);
      return below.upTo + (bucket.upTo - below.upTo) * within;
    }
    below = bucket;
  }
  return below.upTo;
}

function buckets(metrics: Metrics, name: string): Bucket[] {
  return metrics.samples
    .filter((sample) => sample.name === `${name}_bucket`)
    .map(({ labels, value }) => ({
      upTo: labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le),
      count: value,
    }))
    .sort((a, b) => a.upTo - b.upTo);
}

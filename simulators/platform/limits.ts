import type { Limit } from './settings.ts';

interface Bucket {
  tokens: number;
  filledAt: number;
  open: number;
}

/** Token buckets and concurrency caps by name (a channel, an account, a pair of channel and recipient). */
export class Limits {
  readonly #buckets = new Map<string, Bucket>();

  /** Takes a token and a slot; otherwise returns how long the sender should wait, in milliseconds. Pair with `release`. */
  take(name: string, limit: Limit, nowMs: number): number | undefined {
    const bucket = this.#bucket(name, limit, nowMs);
    if (limit) {
      if (limit.concurrency !== undefined && bucket.open >= limit.concurrency) return 1_000;
      if (limit.ratePerSecond !== undefined) {
        const burst = limit.burst ?? 1;
        const refill = ((nowMs - bucket.filledAt) / 1_000) * limit.ratePerSecond;
        bucket.tokens = Math.min(burst, bucket.tokens + refill);
        bucket.filledAt = nowMs;
        if (bucket.tokens < 1) return ((1 - bucket.tokens) / limit.ratePerSecond) * 1_000;
        bucket.tokens--;
      }
    }
    bucket.open++;
    return undefined;
  }

  release(name: string): void {
    const bucket = this.#buckets.get(name);
    if (bucket) bucket.open--;
  }

  #bucket(name: string, limit: Limit, nowMs: number): Bucket {
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      bucket = { tokens: limit?.burst ?? 1, filledAt: nowMs, open: 0 };
      this.#buckets.set(name, bucket);
    }
    return bucket;
  }
}

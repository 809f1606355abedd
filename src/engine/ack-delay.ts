/**
 * How long the acks of a channel take, and the ack timeout that follows from that. Delays count from the platform's
 * answer, as X does. They are kept as a histogram with logarithmic buckets whose weights halve with time and with every
 * `HALF_LIFE_ACKS` further acks: fixed memory, constant work for each ack.
 *
 * Only delays up to X count, whether their message was still waiting or had been given up: the estimate is the time that
 * `quantile` of those acks keep to for which X would have waited. What comes later than X no timeout could have waited
 * for, and an ack that never comes has no delay.
 */

export interface AdaptiveAckTimeout {
  /** X is never below this, in ms. */
  readonly floorMs: number;
  /** Share of the acks within X that the estimate covers, between 0 and 1. */
  readonly quantile: number;
  /** X is the estimate times this. */
  readonly factor: number;
  /** What an ack weighs halves in this time, in ms. */
  readonly halfLifeMs: number;
  /** While the acks in memory weigh less than so many fresh ones, X is the fixed one. */
  readonly minAcks: number;
}

/** Each power of two is cut into so many buckets: an estimate is at most 2^(1/8), 9.1 %, above the true quantile. */
const BUCKETS_PER_OCTAVE = 8;
/** What an ack weighs halves with so many further ones, so that a busy channel forgets an incident sooner. */
const HALF_LIFE_ACKS = 1_000;
/** Weights grow with time instead of shrinking; beyond this many doublings all are scaled down. */
const MAX_DOUBLINGS = 512;
/** How long an estimate is used before it is made anew, in ms. */
const REFRESH_MS = 250;
/** Fast acks are seen first: an estimate needs acks from at least so many times X. */
const WARM_UP = 2;

export class AckDelays {
  readonly #settings: AdaptiveAckTimeout;
  readonly #mostMs: number;
  readonly #weights: Float64Array;
  #total = 0;
  /** Doublings of a fresh ack's weight since the weights were last scaled. */
  #doublings = 0;
  #updatedAt = Number.NEGATIVE_INFINITY;
  /** When the acks that count began to come. */
  #since = Number.NEGATIVE_INFINITY;
  #estimate: { readonly at: number; readonly ms: number } | null = null;

  /** @param mostMs X, in ms: the estimate is never above it */
  constructor(settings: AdaptiveAckTimeout, mostMs: number) {
    this.#settings = settings;
    this.#mostMs = mostMs;
    this.#weights = new Float64Array(bucketOf(mostMs) + 1);
  }

  /** An ack arrived at `now`, `delayMs` after the platform's answer; 0 or less where it came before the answer. */
  record(delayMs: number, now: number): void {
    if (delayMs > this.#mostMs) return;
    this.#moveTo(now);
    if (this.count < 1) this.#since = now;
    this.#doublings += 1 / HALF_LIFE_ACKS;
    const weight = 2 ** this.#doublings;
    const bucket = bucketOf(delayMs);
    this.#weights[bucket] = (this.#weights[bucket] as number) + weight;
    this.#total += weight;
  }

  /** What the acks in memory weigh, in fresh ones, as of the last call that named a time. */
  get count(): number {
    return this.#total / 2 ** this.#doublings;
  }

  /** X as the channel's own acks have it, in whole ms; the fixed X while too little is known. */
  timeoutMs(now: number): number {
    const known = this.#estimate;
    if (known !== null && now >= known.at && now - known.at < REFRESH_MS) return known.ms;
    this.#moveTo(now);
    const ms = this.#compute(now);
    this.#estimate = { at: now, ms };
    return ms;
  }

  #compute(now: number): number {
    const { floorMs, quantile, factor, minAcks } = this.#settings;
    if (this.count < minAcks || now - this.#since < WARM_UP * this.#mostMs) return this.#mostMs;
    const wanted = quantile * this.#total;
    let below = 0;
    let bucket = -1;
    while (below < wanted && bucket < this.#weights.length - 1) below += this.#weights[++bucket] as number;
    const ms = Math.ceil(upperEdgeMs(bucket) * factor);
    return Math.min(this.#mostMs, Math.max(floorMs, ms));
  }

  #moveTo(now: number): void {
    if (now > this.#updatedAt && this.#total > 0) {
      this.#doublings += (now - this.#updatedAt) / this.#settings.halfLifeMs;
      if (this.#doublings > MAX_DOUBLINGS) this.#scaleDown();
    }
    this.#updatedAt = Math.max(this.#updatedAt, now);
  }

  #scaleDown(): void {
    const by = 2 ** -this.#doublings;
    for (let bucket = 0; bucket < this.#weights.length; bucket++) {
      this.#weights[bucket] = (this.#weights[bucket] as number) * by;
    }
    this.#total *= by;
    this.#doublings = 0;
  }
}

function bucketOf(delayMs: number): number {
  return delayMs < 1 ? 0 : 1 + Math.floor(BUCKETS_PER_OCTAVE * Math.log2(delayMs));
}

/** All delays of the bucket are below this. */
function upperEdgeMs(bucket: number): number {
  return 2 ** (bucket / BUCKETS_PER_OCTAVE);
}

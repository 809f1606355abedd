/**
 * Seeded chance. A draw is a hash of (seed, name of the thing, purpose), not the next number of a sequence: so neither the
 * order in which requests arrive, nor a knob that is switched on elsewhere, changes what a message draws.
 */

/** What a draw decides. A number is never reused for another purpose: old seeds keep their meaning. */
export const Purpose = {
  responseDelay: 1,
  phoneDelay: 2,
  mediaDelay: 3,
  flapPhase: 4,
  sentHappens: 5,
  deliveredHappens: 6,
  readHappens: 7,
  sentLost: 8,
  deliveredLost: 9,
  readLost: 10,
  sentDelay: 11,
  deliveredDelay: 12,
  readDelay: 13,
  loseAll: 14,
  early: 15,
  late: 16,
  lateDelay: 17,
  duplicate: 18,
  duplicateGap: 19,
  outOfOrder: 20,
  regress: 21,
  contradiction: 22,
  failure: 23,
  failureDelay: 24,
  batchSize: 25,
  signature: 26,
  junk: 27,
  closeConnection: 28,
  holdRequest: 29,
  failedLost: 30,
  handshake: 31,
  inbound: 32,
  challenge: 33,
  uploadDelay: 34,
  linkDelay: 35,
  retrySpread: 36,
  /** Base for faults and rules, to which their position or the hash of their name is added. */
  rule: 1_000,
  fault: 100_000,
} as const;

const avalanche = (value: number): number => {
  let x = value;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
};

/** A 32-bit hash of a text, for purposes that are named at run time. */
export const hashText = (text: string, start = 0x2545f491): number => {
  let hash = start | 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return avalanche(hash);
};

export class Draws {
  readonly #a: number;
  readonly #b: number;

  private constructor(a: number, b: number) {
    this.#a = a;
    this.#b = b;
  }

  /** The draws that belong to one named thing (a message's reference, a webhook call) under one seed. */
  static of(seed: number | string, name: string, variant = 0): Draws {
    const start = hashText(String(seed));
    return new Draws(hashText(name, start), avalanche(hashText(name, ~start) + Math.imul(variant + 1, 0x9e3779b1)));
  }

  /** Uniform in [0, 1); `lane` gives further independent numbers for the same purpose. */
  uniform(purpose: number, lane = 0): number {
    const mixed = avalanche(this.#a + Math.imul(purpose + 1, 0x9e3779b1));
    return avalanche(mixed ^ (this.#b + Math.imul(lane + 1, 0x7feb352d))) / 0x1_0000_0000;
  }

  chance(purpose: number, probability: number, lane = 0): boolean {
    return probability > 0 && (probability >= 1 || this.uniform(purpose, lane) < probability);
  }

  /** Standard normal (Box–Muller). */
  normal(purpose: number): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform(purpose, 0)));
    return radius * Math.cos(2 * Math.PI * this.uniform(purpose, 1));
  }

  /** An integer in [min, max]. */
  integer(purpose: number, min: number, max: number): number {
    return min + Math.floor(this.uniform(purpose) * (max - min + 1));
  }
}

/** A seeded source of chance (mulberry32), with the few shapes that a world draws from it. */
export class WorldChance {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed * 2_654_435_761 + 1) >>> 0;
  }

  readonly uniform = (): number => {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };

  hit(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** A whole number in [min, max]. */
  between(min: number, max: number): number {
    return min + Math.floor(this.uniform() * (max - min + 1));
  }

  /** Exponential, in ms. */
  around(meanMs: number): number {
    return -Math.log(1 - this.uniform()) * meanMs;
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.uniform() * from.length)] as T;
  }
}

/**
 * A stream of its own for each part of a world, so that taking one part out of a plan leaves the draws of all others
 * as they were.
 */
export function chanceFor(seed: number, ...part: readonly (string | number)[]): WorldChance {
  let hash = Math.imul(seed ^ 0x811c9dc5, 0x01000193) >>> 0;
  for (const one of part) {
    const text = String(one);
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
    hash = Math.imul(hash ^ 0xff, 0x01000193) >>> 0;
  }
  return new WorldChance(hash);
}

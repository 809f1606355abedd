import type { WorldChance } from '../world/chance.ts';

/** How many standard deviations lie below the 99th percentile. */
const P99_DEVIATIONS = 2.326;

/** Log-normal, given by its median and its 99th percentile. */
export function logNormal(chance: WorldChance, median: number, p99: number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - chance.uniform())) * Math.cos(2 * Math.PI * chance.uniform());
  return median * Math.exp((Math.log(p99 / median) / P99_DEVIATIONS) * normal);
}

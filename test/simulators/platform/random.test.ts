import { describe, expect, test } from 'vitest';
import { type Delay, drawDelayMs } from '../../../simulators/platform/delay.ts';
import { Draws, Purpose } from '../../../simulators/platform/random.ts';

const many = Array.from({ length: 20_000 }, (_, index) => Draws.of(1, `reference-${index}`));

const quantiles = (delay: Delay) => {
  const sorted = many.map((draws) => drawDelayMs(delay, draws, Purpose.phoneDelay)).sort((a, b) => a - b);
  return { median: sorted[10_000] ?? 0, p99: sorted[19_800] ?? 0, max: sorted.at(-1) ?? 0, min: sorted[0] ?? 0 };
};

describe('draws', () => {
  test('are the same for the same seed and name, and differ for others', () => {
    const draw = (seed: number | string, name: string, variant = 0) =>
      Draws.of(seed, name, variant).uniform(Purpose.early);
    expect(draw(1, 'a')).toBe(draw(1, 'a'));
    expect(draw('1', 'a')).toBe(draw(1, 'a'));
    expect(new Set([draw(1, 'a'), draw(2, 'a'), draw(1, 'b'), draw(1, 'a', 1)]).size).toBe(4);
  });

  test('are uniform, and independent between purposes and between variants', () => {
    const bins = new Array(16).fill(0);
    for (const draws of many) bins[Math.floor(draws.uniform(Purpose.late) * 16)]++;
    for (const bin of bins) expect(Math.abs(bin - 1_250)).toBeLessThan(160);
    const both = many.filter((draws) => draws.chance(Purpose.late, 0.3) && draws.chance(Purpose.early, 0.3)).length;
    expect(Math.abs(both / many.length - 0.09)).toBeLessThan(0.01);
    const variants = many.filter(
      (draws, index) =>
        draws.chance(Purpose.late, 0.3) && Draws.of(1, `reference-${index}`, 1).chance(Purpose.late, 0.3),
    ).length;
    expect(Math.abs(variants / many.length - 0.09)).toBeLessThan(0.01);
  });
});

describe('delays', () => {
  test('lognormal has the given median and 99th percentile', () => {
    const { median, p99 } = quantiles({ kind: 'lognormal', medianMs: 600, p99Ms: 4_000 });
    expect(Math.abs(median - 600)).toBeLessThan(20);
    expect(Math.abs(p99 - 4_000)).toBeLessThan(400);
  });

  test('the others keep to their bounds', () => {
    expect(quantiles(25)).toEqual({ median: 25, p99: 25, max: 25, min: 25 });
    const uniform = quantiles({ kind: 'uniform', minMs: 10, maxMs: 20 });
    expect(uniform.min).toBeGreaterThanOrEqual(10);
    expect(uniform.max).toBeLessThan(20);
    expect(Math.abs(uniform.median - 15)).toBeLessThan(0.3);
    const pareto = quantiles({ kind: 'pareto', minMs: 10, shape: 1, maxMs: 500 });
    expect(pareto.min).toBeGreaterThanOrEqual(10);
    expect(pareto.max).toBe(500);
    expect(Math.abs(pareto.median - 20)).toBeLessThan(1);
    const bimodal = many.filter(
      (draws) =>
        drawDelayMs({ kind: 'bimodal', fast: 1, slow: 100, slowShare: 0.2 }, draws, Purpose.responseDelay) === 100,
    ).length;
    expect(Math.abs(bimodal / many.length - 0.2)).toBeLessThan(0.02);
  });
});

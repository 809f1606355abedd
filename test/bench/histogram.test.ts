import { expect, it } from 'vitest';
import { parseMetrics } from '../../simulators/rig/metrics.ts';
import { histogramQuantile } from './histogram.ts';

function reading(counts: readonly number[]) {
  return parseMetrics(['0.1', '0.2', '+Inf'].map((le, index) => `gap_bucket{le="${le}"} ${counts[index]}`).join('\n'));
}

const before = reading([100, 100, 100]);

it('counts only what came between the two readings, by proportion between two bounds', () => {
  // Ten values up to 0.1 and thirty between 0.1 and 0.2.
  expect(histogramQuantile(before, reading([110, 140, 140]), 'gap', 0.25)).toBeCloseTo(0.1);
  expect(histogramQuantile(before, reading([110, 140, 140]), 'gap', 0.5)).toBeCloseTo(0.1 + 0.1 / 3);
});

it('gives the greatest bound for what lies beyond', () => {
  expect(histogramQuantile(before, reading([100, 101, 110]), 'gap', 0.99)).toBe(0.2);
});

it('is not a number where nothing was counted', () => {
  expect(histogramQuantile(before, before, 'gap', 0.5)).toBeNaN();
});

import { describe, expect, it } from 'vitest';
import { figure, quantile, steadyRate, summarise } from './figures.ts';
import { report } from './report.ts';

describe('quantile', () => {
  it('lies between two values by proportion', () => {
    expect([0, 0.25, 0.5, 1].map((share) => quantile([10, 20, 30], share))).toEqual([10, 15, 20, 30]);
  });

  it('of nothing is not a number', () => {
    expect(quantile([], 0.5)).toBeNaN();
  });
});

describe('the steady rate', () => {
  it('leaves out the first and the last tenth', () => {
    const slowEnds = [-50_000, ...Array.from({ length: 9 }, (_, index) => index * 100), 90_000];
    expect(steadyRate(slowEnds)).toBeCloseTo(10);
  });
});

describe('several runs', () => {
  const runs = [3, 1, 2].map((value) => ({
    ratios: [figure('speed', '×', value / 2)],
    figures: [figure('rate', 'messages/s', value * 1_000), figure('gap', 'ms', value)],
  }));

  it('are summed up by least, median and greatest', () => {
    expect(summarise(runs.map((run) => run.figures))).toEqual([
      { name: 'rate', unit: 'messages/s', min: 1_000, median: 2_000, max: 3_000 },
      { name: 'gap', unit: 'ms', min: 1, median: 2, max: 3 },
    ]);
  });

  it('are printed with the ratios first', () => {
    const [, , speed, , , rate] = report(runs);
    expect(speed).toMatch(/^ {2}speed +0\.50 +1\.00 +1\.50 {2}×$/);
    expect(rate).toMatch(/^ {2}rate +1,000 +2,000 +3,000 {2}messages\/s$/);
  });

  it('have one column where there is one run', () => {
    expect(report(runs.slice(0, 1)).at(-1)).toMatch(/^ {2}gap +3\.00 {2}ms$/);
  });
});

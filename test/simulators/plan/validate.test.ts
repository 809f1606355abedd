import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { comparisonText } from '../../../simulators/plan/report.ts';
import { type Comparison, errorOf, validate } from '../../../simulators/plan/validate.ts';
import { COSTS } from './costs.ts';

/** Figures as the bench writes them of its workload `quiet`. */
const QUIET: Readonly<Record<string, number>> = {
  'CPU per message, engine': 500,
  'CPU per message, Postgres': 600,
  'rows per compare-and-set': 1.1,
  'gap from ack to next send, p50': 2,
  'gap from ack to next send, p99': 6,
  'from publish to first send, p50': 5,
  'from publish to first send, p99': 9,
  'share of the machine that others used': 1,
};

describe('the model against what was measured', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'roomline-plan-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function measured(figures: Readonly<Record<string, number>>, options: object = { rooms: null }): void {
    const content = {
      workload: 'quiet: …',
      machine: '2 × X',
      options,
      ratios: [],
      figures: Object.entries(figures).map(([name, median]) => ({ name: `Roomline: ${name}`, median })),
    };
    writeFileSync(join(folder, 'quiet.json'), JSON.stringify(content));
  }

  const of = (comparisons: readonly Comparison[], figure: string): Comparison =>
    comparisons.find((one) => one.figure === figure) as Comparison;

  it('stands figure by figure, each with its error', () => {
    measured(QUIET);
    const comparisons = validate(folder, COSTS);
    expect(comparisons.map(({ figure }) => figure)).toEqual(Object.keys(QUIET).slice(0, -1));
    expect(comparisons.map((one) => one.measured)).toEqual(Object.values(QUIET).slice(0, -1));
    // Some statements of one row for each message, at COSTS: none of it is far from that.
    const engine = of(comparisons, 'CPU per message, engine');
    expect(engine.predicted).toBeGreaterThan(200);
    expect(engine.predicted).toBeLessThan(500);
    expect(errorOf(engine)).toBeCloseTo(engine.predicted / 500 - 1);
    expect(of(comparisons, 'rows per compare-and-set').predicted).toBeLessThan(2);
    expect(of(comparisons, 'gap from ack to next send, p50').predicted).toBeLessThan(10);
  });

  it('is a table with a summary of each kind of figure', () => {
    measured(QUIET);
    const comparisons = validate(folder, COSTS);
    const lines = comparisonText(comparisons.map((one) => ({ ...one, predicted: one.measured * 1.1 })));
    expect(lines[0]).toMatch(/^workload +figure +measured +model +error$/);
    expect(lines.filter((line) => line.startsWith('quiet'))).toHaveLength(comparisons.length);
    expect(lines).toContain('CPU per message: error of 10 % (median), 10 % (greatest) of 2 figures');
    expect(lines.find((line) => line.includes('CPU per message, engine'))).toMatch(/500 µs +550 µs +\+10 %$/);
  });

  it('leaves what was measured as nothing out of the errors, and shows it all the same', () => {
    const one = { workload: 'timeouts', figure: 'late', unit: 'ms', kind: 'p50' } as const;
    const lines = comparisonText([
      { ...one, measured: 0, predicted: 0.2 },
      { ...one, measured: 1, predicted: 1.5 },
    ]);
    expect(lines[1]).toMatch(/^timeouts +late +0 ms +0.2 ms +–$/);
    expect(lines.at(-1)).toBe('p50 of latencies: error of 50 % (median), 50 % (greatest) of 1 figures');
  });

  it.each<[string, () => void, string]>([
    ['nothing was measured', () => undefined, 'nothing was measured'],
    ['it was measured at another size', () => measured(QUIET, { rooms: 5 }), 'measured with its own rooms'],
    ['a figure is missing', () => measured({ ...QUIET, 'rows per compare-and-set': Number.NaN }), 'has no figure'],
  ])('is refused where %s', (_, prepare, why) => {
    prepare();
    expect(() => validate(folder, COSTS)).toThrow(expect.objectContaining({ code: 'config_invalid' }));
    expect(() => validate(folder, COSTS)).toThrow(why);
  });
});

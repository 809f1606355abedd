import { describe, expect, it } from 'vitest';
import { type Progress, progressBlock, progressLine } from '../../../simulators/demo/progress.ts';
import { plain } from '../../../simulators/demo/terminal.ts';

const PROGRESS: Progress = {
  elapsedMs: 12_700,
  total: 10_000,
  ways: [
    { name: 'Roomline', sent: 6_700, shown: 5_130, settled: { acked: 4_700, assumed: 512 } },
    { name: 'everything at once', sent: 10_000, shown: 9_999 },
    { name: 'fixed 500 ms pause', sent: 0, shown: 0 },
  ],
};

describe('progress', () => {
  it('is a block of bars on a terminal', () => {
    expect(progressBlock(PROGRESS, plain).join('\n')).toMatchInlineSnapshot(`
      "
        12 s                                            sent  on phones
        Roomline            ████████████░░░░░░░░░░░░   6,700      5,130   4,700 acked, 512 assumed
        everything at once  ███████████████████████░  10,000      9,999
        fixed 500 ms pause  ░░░░░░░░░░░░░░░░░░░░░░░░       0          0
      "
    `);
  });

  it('is one line elsewhere, and full only when it is', () => {
    expect(progressLine(PROGRESS)).toMatchInlineSnapshot(
      `"  12 s  on phones: Roomline 5,130 (51.3 %) · everything at once 9,999 (99.9 %) · fixed 500 ms pause 0 (0.0 %)"`,
    );
  });
});

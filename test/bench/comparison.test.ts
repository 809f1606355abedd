import { describe, expect, it } from 'vitest';
import { comparison } from './comparison.ts';
import type { Shown } from './passage.ts';

const roomline: Shown = {
  name: 'Roomline',
  count: 10,
  perSecond: 10_000,
  steadyPerSecond: 11_000,
  gapP50Ms: 1,
  gapP99Ms: 5,
  firstSendP50Ms: 2,
  firstSendP99Ms: 8,
  timeoutLateP50Ms: Number.NaN,
  timeoutLateP99Ms: Number.NaN,
  engineUs: 60,
  postgresUs: 40,
  redisUs: 0,
  walBytes: 1_234.5,
  transactions: 0.02,
  swaps: { total: 0, rooms: 0 },
  figures: [],
};
const queue: Shown = { ...roomline, name: 'a queue', perSecond: 4_000, engineUs: 150, postgresUs: 0, redisUs: 100 };
const hasty: Shown = { ...roomline, name: 'at once', gapP50Ms: -3, gapP99Ms: 2, swaps: { total: 1_234, rooms: 9 } };

/** Words of the line that begins so. */
function line(lines: readonly string[], name: string): string[] {
  const found = lines.find((each) => each.trimStart().startsWith(name)) ?? '';
  return found.replace(name, '').trim().split(/\s+/);
}

describe('the comparison', () => {
  const lines = comparison([{ shown: roomline }, { shown: queue }, { shown: hasty }]);

  it('shows how much faster and cheaper Roomline is', () => {
    expect(line(lines, 'Roomline')).toEqual([
      '10,000',
      '1.00',
      '60',
      '40',
      '0',
      '100',
      '1.00',
      '1.0',
      '5.0',
      '2.0',
      '8.0',
      '0.02',
      '1,235',
      '0',
    ]);
    expect(line(lines, 'a queue')).toEqual([
      '4,000',
      '2.50',
      '150',
      '0',
      '100',
      '250',
      '2.50',
      '1.0',
      '5.0',
      '2.0',
      '8.0',
      '0.02',
      '1,235',
      '0',
    ]);
  });

  it('has no gap for what does not wait for acks, but its swaps', () => {
    const cells = line(lines, 'at once');
    expect(cells.slice(7, 9)).toEqual(['–', '–']);
    expect(cells.at(-1)).toBe('1,234');
  });

  it('stands in columns', () => {
    expect(new Set(lines.slice(1).map(({ length }) => length)).size).toBe(1);
  });

  it('gives no figure of what broke a rule', () => {
    const broken = comparison([{ shown: roomline }, { name: 'a queue', failure: 'R2_order: 3' }]);
    expect(broken.at(-1)).toBe('  a queue: no figure: R2_order: 3');
    expect(broken.filter((each) => each.includes('a queue'))).toHaveLength(1);
  });

  it('compares nothing with a Roomline that broke a rule', () => {
    expect(comparison([{ name: 'Roomline', failure: 'R1_lost: 1' }, { shown: queue }])).toEqual([
      '  Roomline: no figure: R1_lost: 1',
    ]);
  });
});

import { describe, expect, it } from 'vitest';
import { counted, duration, percent, rate, short, words } from '../../src/dashboard/format.ts';

describe('a length of time', () => {
  it.each([
    [null, '–'],
    [0, '0 ms'],
    [0.4, '< 1 ms'],
    [9.96, '10 ms'],
    [2.5, '2.5 ms'],
    [840, '840 ms'],
    [1_000, '1 s'],
    [1_234, '1.23 s'],
    [12_340, '12.3 s'],
    [60_000, '1 min'],
    [125_000, '2 min 5 s'],
    [3_600_000, '1 h'],
    [12_000_000, '3 h 20 min'],
    [90_000_000, '1 d 1 h'],
    [-1_500, '−1.5 s'],
  ])('of %s ms is %s', (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
});

describe('a number', () => {
  it('has no more digits than there is room for', () => {
    expect([short(1_234), short(99_999), short(1_250_000), short(null)]).toEqual(['1,234', '99,999', '1.3M', '–']);
  });
  it('has its noun in the right number', () => {
    expect([counted(1, 'room'), counted(0, 'room'), counted(2, 'process', 'processes')]).toEqual([
      '1 room',
      '0 rooms',
      '2 processes',
    ]);
  });
  it('of a second has a decimal where it is small', () => {
    expect([rate(0), rate(0.25), rate(9.94), rate(10.4), rate(2_500)]).toEqual(['0', '0.3', '9.9', '10', '2,500']);
  });
  it('is never rounded up to a hundred per cent', () => {
    expect([percent(0.99999), percent(1), percent(0), percent(null)]).toEqual(['99.9 %', '100 %', '0 %', '–']);
  });
});

it('a code is read as words', () => {
  expect(words('awaiting_ack')).toBe('awaiting ack');
});

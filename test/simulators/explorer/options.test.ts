import { describe, expect, test } from 'vitest';
import { PROFILES } from '../../../simulators/explorer/bounds.ts';
import { readOptions } from '../../../simulators/explorer/options.ts';

describe('the options of the explorer', () => {
  test('set bounds, and leave the others as they are', () => {
    const { bounds, profiles } = readOptions(['--messages', '4', '--nacks', '2', '--wrong-clocks']);
    expect(bounds).toEqual({ ...readOptions([]).bounds, messages: 4, nacks: 2, clocks: 'wrong' });
    expect(profiles).toEqual(PROFILES);
  });

  test('choose one profile', () => {
    expect(readOptions(['--profile', 'hold']).profiles.map(({ name }) => name)).toEqual(['hold']);
  });

  test.each([
    [['--messages', '8'], '--messages must be a whole number, 1 to 7'],
    [['--crashes', '-1'], "Option '--crashes' argument is ambiguous"],
    [['--crashes', '1.5'], '--crashes must be a whole number, 0 to 15'],
    [['--profile', 'other'], '--profile: there is no other'],
    [['--speed', '3'], "Unknown option '--speed'"],
  ])('refuse %j with the rule', (args, rule) => {
    expect(() => readOptions(args)).toThrow(rule);
  });
});

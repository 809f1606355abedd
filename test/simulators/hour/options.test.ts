import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseOptions } from '../../../simulators/hour/options.ts';

const MAIN = fileURLToPath(new URL('../../../simulators/hour/main.ts', import.meta.url));

const parsed = (...args: string[]) => parseOptions(['node', 'main.ts', ...args]);
const run = (...args: string[]) => spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' });

describe('the options of an hour', () => {
  it('are a whole hour of two processes by default', () => {
    expect(parsed()).toEqual({
      seed: 1,
      minutes: 60,
      scale: 1,
      processes: 2,
      killAtMinute: null,
      sweepEveryMs: null,
      outages: true,
      bursts: 'in_one_room',
      isolation: true,
      json: null,
    });
  });

  it('give way to what is asked for', () => {
    const given = ['--seed', '9', '--minutes', '6', '--scale', '0.1', '--processes', '4', '--kill-at', '2.5'];
    expect(parsed(...given, '--sweep', '250', '--no-isolation', '--json', 'f.json')).toMatchObject({
      seed: 9,
      minutes: 6,
      scale: 0.1,
      processes: 4,
      killAtMinute: 2.5,
      sweepEveryMs: 250,
      isolation: false,
      json: 'f.json',
    });
  });

  it('are told by --help', () => {
    const { status, stdout, stderr } = run('--help');
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^Usage: npm run hour -- \[options\]/);
    for (const option of ['seed', 'minutes', 'scale', 'processes', 'kill-at', 'sweep', 'no-isolation', 'json']) {
      expect(stdout).toMatch(new RegExp(`--${option}\\b`));
    }
  });

  it.each([
    ['--minutes', '0'],
    ['--scale', 'half'],
    ['--processes', '1.5'],
    ['--speed', '3'],
  ])('refuse %s %s without a stack trace', (...args) => {
    const { status, stdout, stderr } = run(...args);
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(new RegExp(`^error: .*${args[0]}`));
    expect(stderr).not.toContain('    at ');
  });
});

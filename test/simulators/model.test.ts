import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  CLEAN,
  type Configuration,
  isAsExpected,
  OWNER_PROVED,
  PLANTED,
} from '../../simulators/model/configurations.ts';
import { brokenBy, missingTools, verify } from '../../simulators/model/spin.ts';
import { leaveOut } from '../support/optional.ts';

const MAIN = fileURLToPath(new URL('../../simulators/model/main.ts', import.meta.url));
const QUICK_LIMIT_MS = 600_000;
const ALL: readonly Configuration[] = [...CLEAN, ...PLANTED, ...OWNER_PROVED];

/** Its status and what it printed. */
async function main(args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
  const ended = promisify(execFile)(process.execPath, [MAIN, ...args], { env, encoding: 'utf8' });
  return ended.then(
    ({ stdout, stderr }) => ({ status: 0, stdout, stderr }),
    ({ code, stdout, stderr }: { code: unknown; stdout: string; stderr: string }) => ({ status: code, stdout, stderr }),
  );
}

function called(name: string): Configuration {
  const found = ALL.find((one) => one.name === name);
  if (found === undefined) throw new Error(`nothing is called ${name}`);
  return found;
}

const missing = await missingTools();
if (missing !== null) leaveOut('model', missing, 'the model of ownership is not checked');

describe.each(missing === null ? ['Spin'] : [])('the model of ownership, by %s', () => {
  it('keeps its promises within the small bounds, and every planted bug is found', {
    timeout: QUICK_LIMIT_MS,
  }, async () => {
    const { status, stdout, stderr } = await main(['--quick']);
    expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: '' });
    expect(stdout.match(/ (clean|covered|\w\w broken)$/gm)).toHaveLength(ALL.filter(({ quick }) => quick).length);
  });

  it('shows the way to what is broken', { timeout: QUICK_LIMIT_MS }, async () => {
    const { broken, path } = await verify(called('takes over while it hands over'), new AbortController().signal);
    expect(broken).toBe('R4');
    const comments = path.map((step) => step.replace(/.*\/\* (.*) \*\//, '$1'));
    const handedOver = comments.indexOf('Postgres hands over.');
    const takenOver = comments.indexOf('Sending, without a send of its own: taken over.');
    expect(handedOver).toBeGreaterThan(0);
    expect(takenOver).toBeGreaterThan(handedOver);
  });
});

describe('npm run model', () => {
  it('says what to install where Spin or gcc is missing, and ends with 1', async () => {
    const { status, stderr } = await main(['--quick'], { ...process.env, PATH: '' });
    expect(status).toBe(1);
    expect(stderr).toBe('No spin and no gcc on this machine (on Debian: apt-get install spin gcc)\n');
  });

  it.each([
    ['not searched to its end', 'error: max search depth too small\nState-vector 8 byte, depth reached 9, errors: 0\n'],
    ['out of memory', 'pan: out of memory\nState-vector 8 byte, depth reached 9, errors: 0\n'],
    ['a mistake in the model', 'pan:1: assertion violated (x==1) (at depth 3)\n… errors: 1\n'],
    ['nothing at all', ''],
  ])('takes for no verdict: %s', (_, output) => {
    expect(() => brokenBy(output)).toThrow('the search');
  });

  it('refuses a name that it does not know', async () => {
    const { status, stderr } = await main(['--only', 'no such thing']);
    expect(status).toBe(1);
    expect(stderr).toContain('no configuration is called no such thing');
  });

  it('has a name of its own for each configuration, and both fences among the small ones', () => {
    expect(new Set(ALL.map(({ name }) => name)).size).toBe(ALL.length);
    const small = PLANTED.filter(({ quick }) => quick).flatMap((one) => one.with);
    expect(small).toEqual(expect.arrayContaining(['NO_FENCE', 'NO_VERSION', 'SNAPSHOT_FENCE']));
  });

  it('is not content with a planted bug that is not found, or found by another promise, or with a broken one', () => {
    expect(isAsExpected(called('no fence'), null)).toBe(false);
    expect(isAsExpected(called('no fence'), 'R1')).toBe(false);
    expect(isAsExpected(called('no fence'), 'OB')).toBe(true);
    expect(isAsExpected(called('lost lease'), 'OB')).toBe(false);
    expect(isAsExpected(called('lost lease'), null)).toBe(true);
  });
});

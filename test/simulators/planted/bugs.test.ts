import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { BLINDED, BUGS } from '../../../simulators/planted/bugs.ts';
import { applyEdit } from '../../../simulators/planted/copy.ts';
import { LANES } from '../../../simulators/planted/lanes.ts';
import { runLane } from '../../../simulators/planted/run-lane.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

describe('planted bugs', () => {
  it('are at least fourteen, each with a name of its own and a lane', () => {
    const names = [...BUGS, ...BLINDED].map(({ name }) => name);
    expect(BUGS.length).toBeGreaterThanOrEqual(14);
    expect(new Set(names).size).toBe(names.length);
    for (const { lane } of [...BUGS, ...BLINDED]) expect(LANES[lane].budgetSeconds).toBeLessThanOrEqual(300);
  });

  it.each([...BUGS, ...BLINDED].map(({ name, edits }) => [name, edits] as const))('%s still applies', (_, edits) => {
    for (const edit of edits) {
      const text = readFileSync(`${ROOT}${edit.file}`, 'utf8');
      expect(applyEdit(text, edit)).not.toBe(text);
    }
  });

  it('are missed by a blinded judge that names one of them', () => {
    expect(BLINDED.length).toBeGreaterThan(0);
    for (const { misses } of BLINDED) expect(BUGS.map(({ name }) => name)).toContain(misses);
  });

  it('cannot be planted where the text is gone, or stands twice', () => {
    expect(() => applyEdit('a b', { file: 'x.ts', find: 'c', replace: 'd' })).toThrow('x.ts no longer reads "c"');
    expect(() => applyEdit('a a', { file: 'x.ts', find: 'a', replace: 'd' })).toThrow('more than once');
  });
});

describe('a lane', () => {
  const lane = (code: string, budgetSeconds = 20) =>
    runLane({ command: ['--eval', code], budgetSeconds, found: /^seed \d+: / }, ROOT);

  it('that names a broken rule has found the bug, and is ended there', async () => {
    const run = await lane(`console.log('seed 7: R1: lost'); setInterval(() => undefined, 1000)`);
    expect(run).toMatchObject({ verdict: 'found', line: 'seed 7: R1: lost' });
  });

  it('that ends badly without naming a rule has found nothing', async () => {
    expect(await lane(`console.error('a syntax error'); process.exitCode = 1`)).toMatchObject({
      verdict: 'failed',
      line: 'a syntax error',
    });
  });

  it('that ends well has found nothing', async () => {
    expect((await lane(`console.log('clean')`)).verdict).toBe('clean');
  });

  it('that takes longer than its budget has found nothing', async () => {
    expect((await lane('setInterval(() => undefined, 1000)', 0.5)).verdict).toBe('out_of_time');
  });
});

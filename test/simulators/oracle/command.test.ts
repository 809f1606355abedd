import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Verdict } from '../../../simulators/oracle/types.ts';
import { latencyOf, type WholeRun, wholeRun } from './whole-run.ts';

const MAIN = fileURLToPath(new URL('../../../simulators/oracle/main.ts', import.meta.url));

/** The run as files in a folder, with a log that may hold a canary. */
const written = async (run: WholeRun, log = 'all is well\n') => {
  const folder = await mkdtemp(join(tmpdir(), 'oracle-command-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = (name: string) => join(folder, name);
  const ndjson = (name: string, lines: readonly object[]) =>
    writeFile(path(name), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const half = Math.floor(run.records.length / 2);
  const { isolation: _, ...options } = run.options;
  await mkdir(path('logs/deep'), { recursive: true });
  await Promise.all([
    ndjson('published', run.published),
    ndjson('platform-1', run.records.slice(0, half)),
    ndjson('platform-2', run.records.slice(half)),
    ndjson('final', run.final),
    ndjson('inbox', run.inbox),
    ndjson('fences', run.fences),
    ndjson('canaries', [{ name: 'a recipient', text: 'recipient-c4nary' }]),
    writeFile(path('logs/deep/engine.log'), log),
    writeFile(path('options'), JSON.stringify(options)),
    writeFile(path('baseline'), JSON.stringify({ latency: latencyOf(20) })),
  ]);
  return path;
};

const judged = (path: (name: string) => string, more: readonly string[] = []) => {
  const named = ['published', 'final', 'inbox', 'fences', 'canaries', 'options', 'baseline'];
  const parameters = [
    ...named.flatMap((name) => [`--${name}`, path(name)]),
    ...['--platform', path('platform-1'), path('platform-2'), '--logs', path('logs'), '--untouched', 'quiet'],
    ...more,
  ];
  return new Promise<{ status: unknown; out: string; err: string }>((resolve) => {
    execFile(process.execPath, [MAIN, ...parameters], (error, out, err) =>
      resolve({ status: error === null ? 0 : error.code, out, err }),
    );
  });
};

describe('the command', () => {
  test('finds a clean run clean in all twelve checks, and writes the verdict', async () => {
    const path = await written(wholeRun());
    const all = Array.from({ length: 12 }, (_, index) => `C${index + 1}`).join(',');
    const { status, out, err } = await judged(path, ['--require', all, '--json', path('verdict')]);
    expect(err).toBe('');
    expect(out).toMatch(/\nCLEAN\n$/);
    expect(status).toBe(0);
    const verdict = JSON.parse(await readFile(path('verdict'), 'utf8')) as Verdict;
    expect(verdict.checks.map(({ ok }) => ok)).toEqual(Array(12).fill(true));
  });

  test('tells what is broken, and that of nobody by name', async () => {
    const run = wholeRun();
    run.final.pop();
    const path = await written(run, '{"to":"recipient-c4nary"}\n');
    const { status, out } = await judged(path);
    expect(status).toBe(1);
    expect(out).toMatch(/^C1 +BROKEN 1 /m);
    expect(out).toMatch(/^ +R1_lost room \d+, message 0: no trace of it$/m);
    expect(out).toMatch(/^ +leaked: a recipient is in .*engine\.log, at byte 7, as plain$/m);
    expect(out).toMatch(/\nNOT CLEAN\n$/);
    expect(out).not.toContain('c4nary');
  });

  test('takes what a log of confirmations does not name for not accepted', async () => {
    const run = wholeRun();
    const confirmed = run.published.map(({ key }) => key).filter((key) => key !== 'last/1');
    run.final.pop();
    run.records = run.records.filter((record) => !('key' in record && record.key === 'last/1'));
    const path = await written({ ...run, published: [...run.published, { confirmed } as never] });
    expect(await judged(path)).toMatchObject({ status: 0, err: '' });
  });

  test.each([
    ['a line without its fields', 'final', '{"key":"a"}\n', /final, record 1: room must be a string/],
    ['a record of no known kind', 'platform-2', '{"t":"tea","at":1}\n', /platform-2, record 1: of no known kind/],
    ['a line that is no JSON', 'inbox', '{"secret\n{}\n', /inbox, line 1: not JSON/],
    ['an option that there is not', 'options', '{"without":["C7"]}', /there is no option without/],
    [
      'an unknown level',
      'options',
      '{"unlockedBy":["accepted","seen"]}',
      /unlockedBy must hold accepted, sent, delivered/,
    ],
    ['no level', 'options', '{"unlockedBy":[]}', /unlockedBy must hold .* at least one/],
    ['an option of another type', 'options', '{"maxAttempts":"5"}', /maxAttempts must be of type number/],
  ])('does not judge %s', async (_name, file, content, message) => {
    const path = await written(wholeRun());
    await writeFile(path(file), content);
    const { status, out, err } = await judged(path);
    expect(err).toMatch(message);
    expect(err).not.toContain('secret');
    expect(out).toBe('');
    expect(status).toBe(2);
  });

  test.each([
    ['a file that is not there', ['--final', '/nowhere/final'], /nowhere/],
    ['a check that there is not', ['--require', 'C13'], /Checks are C1, C2/],
  ])('ends with 2 for %s', async (_name, parameters, message) => {
    const { status, err } = await judged(await written(wholeRun()), parameters);
    expect(err).toMatch(message);
    expect(status).toBe(2);
  });
});

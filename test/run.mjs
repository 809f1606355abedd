/**
 * `npm test`: types, lint and every test. With arguments: these are handed to vitest, and only it runs.
 * The last line is `<n> passed, <m> failed`.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { whenSupported } from '../src/node-version.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

whenSupported(main);

async function main() {
  const given = process.argv.slice(2);
  if (given.length === 0) {
    await must('types', ['typescript/bin/tsc', '--noEmit']);
    await must('lint', ['@biomejs/biome/bin/biome', 'check', '.']);
  }
  const folder = mkdtempSync(join(tmpdir(), 'roomline-results-'));
  try {
    const results = join(folder, 'results.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`];
    const status = await run(['vitest/vitest.mjs', 'run', '--configLoader=native', ...reporters, ...given]);
    const { passed, failed } = readCounts(results, status);
    process.stdout.write(`${passed} passed, ${failed} failed\n`);
    process.exitCode = status;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A failed suite without a failed test, or an error outside of all tests, counts as one failure. */
function readCounts(file, status) {
  let report;
  try {
    report = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { passed: 0, failed: 1 };
  }
  const brokenSuites = report.testResults.filter(
    (suite) => suite.status === 'failed' && !suite.assertionResults.some((each) => each.status === 'failed'),
  ).length;
  const failed = report.numFailedTests + brokenSuites;
  return { passed: report.numPassedTests, failed: failed === 0 && status !== 0 ? 1 : failed };
}

async function must(what, command) {
  process.stdout.write(`${what} ...\n`);
  const status = await run(command);
  if (status === 0) return;
  process.stdout.write(`${what} failed; no test was run\n0 passed, 1 failed\n`);
  process.exit(status);
}

/** Runs a package's command under this Node.js, which its children find first in PATH as well. */
function run([script, ...args]) {
  const modules = join(ROOT, 'node_modules');
  const child = spawn(process.execPath, [join(modules, script), ...args], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, PATH: `${join(modules, '.bin')}${delimiter}${process.env.PATH}` },
  });
  // The child gets Ctrl-C from the terminal and cleans up; a plain kill has to be passed on.
  const ignore = () => {};
  const passOn = () => child.kill('SIGTERM');
  process.on('SIGINT', ignore);
  process.on('SIGTERM', passOn);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => {
      process.removeListener('SIGINT', ignore);
      process.removeListener('SIGTERM', passOn);
      resolve(code === null ? 1 : code);
    });
  });
}

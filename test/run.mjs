/**
 * `npm test`: types, lint and every test. With arguments: these are handed to vitest, and only it runs.
 * The last line is `<n> passed, <m> failed`.
 */
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { whenSupported } from '../src/node-version.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const MEMORY_FOLDER = '/dev/shm';
const ROOM_NEEDED_BYTES = 8 * 2 ** 30;

whenSupported(main);

async function main() {
  const given = process.argv.slice(2);
  if (given.length === 0) {
    await checks();
  }
  const folder = mkdtempSync(join(scratch(), 'roomline-tests-'));
  // As root, Postgres runs under another account, which must be able to enter.
  chmodSync(folder, 0o755);
  try {
    const results = join(folder, 'results.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${results}`];
    const status = await run(['vitest/vitest.mjs', 'run', '--configLoader=native', ...reporters, ...given], {
      TMPDIR: folder,
      // The tests start the same programs again and again.
      NODE_COMPILE_CACHE: join(folder, 'compiled'),
    });
    const { passed, failed } = readCounts(results, status);
    process.stdout.write(`${passed} passed, ${failed} failed\n`);
    process.exitCode = status;
  } finally {
    // What tests were told to keep lies in it, too.
    if (process.env.ROOMLINE_SYSTEM_KEEP !== '1') rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Where the tests keep their files: in memory where there is room for them. What is tested is that Roomline and its
 * databases ask for things to be on disk, and not the disk; waiting for it is a good part of a run.
 */
function scratch() {
  if (process.env.TMPDIR !== undefined) return tmpdir();
  try {
    const { bavail, bsize } = statfsSync(MEMORY_FOLDER);
    return Math.min(bavail * bsize, freemem()) >= ROOM_NEEDED_BYTES ? MEMORY_FOLDER : tmpdir();
  } catch {
    return tmpdir();
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

/** What can be said without running anything, all at once; ends the process where something is wrong. */
async function checks() {
  const tsc = ['typescript/bin/tsc', '--noEmit'];
  const commands = {
    types: tsc,
    'types of the dashboard': [...tsc, '-p', 'src/dashboard'],
    lint: ['@biomejs/biome/bin/biome', 'check', '.'],
  };
  const names = Object.keys(commands);
  process.stdout.write(`${names.join(', ')} ...\n`);
  const statuses = await Promise.all(Object.values(commands).map((command) => run(command)));
  const wrong = names.filter((_, index) => statuses[index] !== 0);
  if (wrong.length === 0) return;
  process.stdout.write(`${wrong.join(', ')} failed; no test was run\n0 passed, 1 failed\n`);
  process.exit(statuses.find((status) => status !== 0));
}

/** Runs a package's command under this Node.js, which its children find first in PATH as well. */
function run([script, ...args], environment = {}) {
  const modules = join(ROOT, 'node_modules');
  const child = spawn(process.execPath, [join(modules, script), ...args], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...environment, PATH: `${join(modules, '.bin')}${delimiter}${process.env.PATH}` },
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

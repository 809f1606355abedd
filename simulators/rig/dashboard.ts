/** Builds the dashboard where its build is missing or older than what it is made from. */
import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BUILT = join(ROOT, 'dist', 'dashboard');
const SOURCES = ['src/dashboard', 'src/client', 'package-lock.json'];

/** Resolves with whether anything had to be built. Several processes may do this at once: the first one's build stays. */
export async function buildDashboard(): Promise<boolean> {
  const newest = Math.max(...SOURCES.map((source) => newestIn(join(ROOT, source))));
  if (isBuiltSince(newest)) return false;
  const { build } = await import('vite');
  const outDir = `${BUILT}.${process.pid}`;
  const former = `${outDir}.former`;
  try {
    await build({ configFile: join(ROOT, 'src/dashboard/vite.config.ts'), logLevel: 'error', build: { outDir } });
    while (!isBuiltSince(newest)) {
      moveUnless('ENOENT', BUILT, former);
      rmSync(former, { recursive: true, force: true });
      moveUnless('ENOTEMPTY', outDir, BUILT);
    }
  } finally {
    for (const folder of [outDir, former]) rmSync(folder, { recursive: true, force: true });
  }
  return true;
}

function isBuiltSince(time: number): boolean {
  const stat = statSync(join(BUILT, 'index.html'), { throwIfNoEntry: false });
  return stat !== undefined && stat.mtimeMs >= time;
}

/** @param code of the error that another process makes, which is as far as we are or further */
function moveUnless(code: string, from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== code) throw error;
  }
}

function newestIn(path: string): number {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newestIn(join(path, name))));
}

/** One server per folder: a lock file that a dead process does not hold. */
import { spawnSync } from 'node:child_process';
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

/**
 * Takes the lock and returns how to release it.
 * @throws Error where a living process holds it.
 */
export function takeLock(file: string, what: string): () => void {
  // Written under another name and linked, so that nobody reads a lock file without its content.
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${process.pid} ${beginning(process.pid)}\n`);
  try {
    while (!tryLink(draft, file)) {
      const [pid = '', ...began] = (readOrNull(file) ?? '').trim().split(' ');
      if (began.length > 0 && beginning(Number(pid)) === began.join(' ')) {
        throw new Error(`${what} is in use by process ${pid}; stop that one first`);
      }
      rmSync(file, { force: true });
    }
  } finally {
    rmSync(draft, { force: true });
  }
  return () => rmSync(file, { force: true });
}

function tryLink(existing: string, path: string): boolean {
  try {
    linkSync(existing, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** When a process began, as text; empty where there is none. Tells a process from a later one of the same number. */
function beginning(pid: number): string {
  if (process.platform === 'linux') {
    const stat = readOrNull(`/proc/${pid}/stat`);
    // Fields after the command, which is in parentheses and may hold spaces; the 22nd of all is the start time.
    return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  }
  if (process.platform === 'win32') return isAlive(pid) ? 'alive' : '';
  return spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' })
    .stdout.trim()
    .replace(/\s+/g, ' ');
}

/** The command line of a process; null where there is none or it has ended. */
export function commandLine(pid: number): string | null {
  if (process.platform === 'linux') return readOrNull(`/proc/${pid}/cmdline`)?.replaceAll('\0', ' ') || null;
  if (process.platform === 'win32') return isAlive(pid) ? 'unknown' : null;
  return spawnSync('ps', ['-ww', '-o', 'args=', '-p', String(pid)], { encoding: 'utf8' }).stdout.trim() || null;
}

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

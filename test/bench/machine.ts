/** What processes and the whole machine have used so far, from /proc. */
import { readFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';

/** @throws Error in one line where the system does not tell */
export function requireProc(): void {
  if (process.platform !== 'linux') throw new Error('the benchmark reads CPU times from /proc, so it needs Linux');
}

/** The kernel counts in hundredths of a second, whatever its own clock does. */
const TICK_MS = 10;

/** CPU time of the process, user and system. */
export function cpuMs(pid: number): number {
  const { own } = times(pid);
  return own;
}

/** CPU time of the process, its children, and all those of its children that have ended. */
export function cpuMsWithChildren(pid: number): number {
  const { own, reaped } = times(pid);
  return own + reaped + children(pid).reduce((sum, child) => sum + childCpuMs(child), 0);
}

/** One that has ended meanwhile is among its parent's reaped ones at the next reading. */
function childCpuMs(pid: number): number {
  try {
    const { own, reaped } = times(pid);
    return own + reaped;
  } catch (error) {
    if (isGone(error)) return 0;
    throw error;
  }
}

function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ESRCH';
}

function times(pid: number): { own: number; reaped: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The command's name stands in parentheses and may hold anything; the fields after it begin with the third.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number) as [number, number, number, number];
  return { own: (utime + stime) * TICK_MS, reaped: (cutime + cstime) * TICK_MS };
}

function children(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}

export const MIB = 1_048_576;

/** What the process has in physical memory now, in MB (of 2^20 bytes). */
export function memoryMb(pid: number): number {
  const found = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return (Number(found?.[1] ?? Number.NaN) * 1_024) / MIB;
}

/** CPU time of the whole machine: what its processes used, what other machines took from it, and all there was. */
export function machineMs(): { busy: number; stolen: number; all: number } {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = line
    .split(/\s+/)
    .slice(1)
    .map((ticks) => Number(ticks) * TICK_MS);
  const busy = user + nice + system + irq + softirq;
  return { busy, stolen: steal, all: busy + idle + iowait + steal };
}

/** Such as `2 × AMD EPYC, 24 GB, Node v24.21.0`. */
export function describeMachine(): string {
  const all = cpus();
  return `${all.length} × ${all[0]?.model.trim() ?? 'unknown'}, ${Math.round(totalmem() / MIB / 1_024)} GB, Node ${process.version}`;
}

export function loadAverage(): string {
  return loadavg()
    .map((load) => load.toFixed(2))
    .join(' ');
}

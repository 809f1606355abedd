/** Where a process spent its time: CPU profiles as Node writes them, summed up by function and by package. */
import { readFileSync } from 'node:fs';

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

export interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[];
  readonly samples: readonly number[];
  /** µs since the sample before. */
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  readonly name: string;
  /** Of the time in which the process was not idle. */
  readonly share: number;
  readonly ms: number;
}

export interface ProfileSummary {
  readonly busyMs: number;
  readonly functions: readonly SelfTime[];
  readonly packages: readonly SelfTime[];
}

export function readProfile(file: string): CpuProfile {
  return JSON.parse(readFileSync(file, 'utf8')) as CpuProfile;
}

/** Self times, the greatest first. Waiting does not count. */
export function summariseProfile({ nodes, samples, timeDeltas }: CpuProfile): ProfileSummary {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const functions = new Map<string, number>();
  const packages = new Map<string, number>();
  let busyUs = 0;
  for (const [index, sample] of samples.entries()) {
    const frame = frames.get(sample);
    if (frame === undefined || frame.functionName === '(idle)') continue;
    const us = timeDeltas[index] ?? 0;
    busyUs += us;
    const place = packageOf(frame);
    packages.set(place, (packages.get(place) ?? 0) + us);
    const name = `${frame.functionName || '(anonymous)'} ${fileOf(frame)}`.trim();
    functions.set(name, (functions.get(name) ?? 0) + us);
  }
  const ranked = (times: Map<string, number>): SelfTime[] =>
    [...times].map(([name, us]) => ({ name, share: us / busyUs, ms: us / 1_000 })).sort((a, b) => b.ms - a.ms);
  return { busyMs: busyUs / 1_000, functions: ranked(functions), packages: ranked(packages) };
}

/** A package's name, a folder of our own sources, `node` for what Node brings along, or what the engine itself does. */
function packageOf({ functionName, url }: CallFrame): string {
  if (url === '') return functionName.startsWith('(') ? functionName : 'node (native)';
  if (url.startsWith('node:')) return 'node';
  const package_ = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1];
  return package_ ?? /\/(src\/[^/]+)(?:\/|$)/.exec(url)?.[1] ?? url;
}

function fileOf({ url, lineNumber }: CallFrame): string {
  if (url === '') return '';
  const file = /.*\/node_modules\/(.+)$/.exec(url)?.[1] ?? /\/(src\/.+)$/.exec(url)?.[1] ?? url;
  return `${file}:${lineNumber + 1}`;
}

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LeakScan, scanForLeaks } from '../oracle/leaks.ts';
import type { Rig } from './rig.ts';

/** What must not be in a log, and what it is called. */
export type Canaries = readonly { readonly name: string; readonly text: string }[];

/** Looks through everything that engines have logged for these texts and every secret of the rig, plain or encoded. */
export function scanEngineLogs({ directory, postgres }: Rig, canaries: Canaries): Promise<LeakScan> {
  const logs = readdirSync(join(directory, 'logs')).filter((name) => name.startsWith('engine'));
  const secrets = readdirSync(join(directory, 'secrets')).map((name) => ({
    name,
    text: readFileSync(join(directory, 'secrets', name), 'utf8').trim(),
  }));
  return scanForLeaks(
    logs.map((name) => join(directory, 'logs', name)),
    [...canaries, { name: 'the password of Postgres', text: postgres.password }, ...secrets],
  );
}

/** Reading what others have logged: each line is checked for what the oracle cannot do without. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Canary } from './leaks.ts';
import { readNdjson } from './ndjson.ts';
import {
  type FenceRow,
  type FinalRow,
  type GroundTruthRecord,
  type InboxRow,
  LEVELS,
  type OracleOptions,
  type Published,
} from './types.ts';

/** What is wrong with an input, in one line that quotes none of it. */
export class InputError extends Error {
  override name = 'InputError';
}

type Kind = 'string' | 'number' | 'boolean' | 'array';
type Fields = Readonly<Record<string, Kind>>;

const PUBLISHED: Fields = { key: 'string', room: 'string' };
const FINAL: Fields = { key: 'string', room: 'string', sequence: 'number' };
const INBOX: Fields = { platformId: 'string', level: 'string' };
const FENCE: Fields = { worker: 'string', fenced: 'boolean' };
const CANARY: Fields = { name: 'string', text: 'string' };
/** Of each record of the platform's log. */
const RECORDS: Readonly<Record<string, Fields>> = {
  start: { wall: 'number' },
  receipt: { r: 'number', decision: 'string' },
  answer: { r: 'number', unknownOutcome: 'boolean' },
  doubt: { r: 'number' },
  shown: { m: 'number' },
  dropped: {},
  status: { m: 'number', status: 'string' },
  call: { call: 'number', signature: 'string', m: 'array', s: 'string' },
  called: { call: 'number', status: 'number' },
  lookup: {},
  event: { event: 'string' },
};

async function* read<T extends object>(file: string, fieldsOf: (line: T) => Fields | undefined): AsyncGenerator<T> {
  let number = 0;
  for await (const line of readNdjson<T>(file)) {
    number++;
    const fields = typeof line === 'object' && line !== null ? fieldsOf(line) : undefined;
    if (fields === undefined) throw new InputError(`${file}, record ${number}: of no known kind`);
    for (const [name, kind] of Object.entries(fields)) {
      const value = (line as Record<string, unknown>)[name];
      const is = Array.isArray(value) ? 'array' : typeof value;
      if (is !== kind) throw new InputError(`${file}, record ${number}: ${name} must be a ${kind}`);
    }
    yield line;
  }
}

interface Confirmation {
  confirmed?: string[];
}

/** Messages in publish order. Where the log has lines of confirmations, what none of them names was not accepted. */
export async function* readPublished(file: string): AsyncGenerator<Published> {
  const fieldsOf = (line: Confirmation) => (line.confirmed === undefined ? PUBLISHED : { confirmed: 'array' as const });
  let confirms = false;
  const confirmed = new Set<string>();
  for await (const line of read<Confirmation>(file, fieldsOf)) {
    if (line.confirmed === undefined) continue;
    confirms = true;
    for (const key of line.confirmed) confirmed.add(key);
  }
  for await (const line of read<Published & Confirmation>(file, fieldsOf)) {
    if (line.confirmed !== undefined) continue;
    yield confirms ? { ...line, accepted: confirmed.has(line.key) } : line;
  }
}

/** Several files are one log, in this order. */
export async function* readPlatform(files: readonly string[]): AsyncGenerator<GroundTruthRecord> {
  for (const file of files) {
    yield* read<GroundTruthRecord>(file, ({ t, at }) => (typeof at === 'number' ? RECORDS[t] : undefined));
  }
}

export const readFinal = (file: string): AsyncGenerator<FinalRow> => read(file, () => FINAL);
export const readInbox = (file: string): AsyncGenerator<InboxRow> => read(file, () => INBOX);
export const readFences = (file: string): AsyncGenerator<FenceRow> => read(file, () => FENCE);
export const readCanaries = (file: string): AsyncGenerator<Canary> => read(file, () => CANARY);

/** What may stand in a file of options; functions, and what only tests may ask for, cannot. */
const OPTIONS: Readonly<Record<string, Kind | 'object'>> = {
  discipline: 'string',
  unlockedBy: 'array',
  ackTimeoutMs: 'number',
  toleranceMs: 'number',
  maxAttempts: 'number',
  partialRooms: 'boolean',
  copiesAllowed: 'number',
  answersGetLost: 'boolean',
  crashes: 'array',
  raceMs: 'number',
  drained: 'boolean',
  stuckAfterMs: 'number',
  tail: 'object',
  expectedFaults: 'object',
  firedFaults: 'object',
  expectedMessages: 'number',
  plannedMessages: 'number',
  killedHolders: 'number',
  required: 'array',
  examples: 'number',
};

/** All levels but `none`. */
const UNLOCKING: ReadonlySet<unknown> = new Set(LEVELS.slice(1));

export async function readOptions(file: string): Promise<OracleOptions> {
  const options = await readJson<Record<string, unknown>>(file);
  for (const [name, value] of Object.entries(options)) {
    const kind = OPTIONS[name];
    if (kind === undefined) throw new InputError(`${file}: there is no option ${name}`);
    if ((Array.isArray(value) ? 'array' : typeof value) !== kind) {
      throw new InputError(`${file}: ${name} must be of type ${kind}`);
    }
  }
  const { unlockedBy } = options as { unlockedBy?: unknown[] };
  if (unlockedBy !== undefined && (unlockedBy.length === 0 || !unlockedBy.every((level) => UNLOCKING.has(level)))) {
    throw new InputError(`${file}: unlockedBy must hold ${[...UNLOCKING].join(', ')}, at least one of them`);
  }
  return options as OracleOptions;
}

export async function readJson<T>(file: string): Promise<T> {
  const text = await readFile(file, 'utf8');
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new InputError(`${file}: not JSON`);
  }
}

/** The files themselves, and all files of the folders. */
export async function logFiles(paths: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    if (!(await stat(path)).isDirectory()) found.push(path);
    else {
      const entries = await readdir(path, { recursive: true, withFileTypes: true });
      found.push(...entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)));
    }
  }
  return found;
}

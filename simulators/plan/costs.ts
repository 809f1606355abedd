/** What one of each thing costs, as measured: the numbers that everything else is computed from. */
import { readFileSync } from 'node:fs';
import { RoomlineError } from '../../src/errors.ts';

/** CPU in µs where nothing else is said. */
export interface UnitCosts {
  readonly engine: {
    /** Share of a core that a process uses with nothing to do. */
    readonly idleShare: number;
    /** One message taken in, append row included. */
    readonly intakeUs: { readonly pubsub: number; readonly http: number };
    /** One statement, however many rows it has: the turn of the event loop that carries it. */
    readonly statementUs: number;
    /** One message from its claim to its settling: request, answer, status, decisions and rows. */
    readonly messageUs: number;
    /** One webhook call, however many statuses it has. */
    readonly callUs: number;
    /** Collected later than the work that made it. */
    readonly garbageShare: number;
    readonly garbagePauseUs: number;
  };
  readonly postgres: {
    readonly idleShare: number;
    readonly appendStatementUs: number;
    readonly appendRowUs: number;
    readonly writeStatementUs: number;
    /** A row of a compare-and-set; of a message all of them, settling and history included. */
    readonly writeRowUs: number;
  };
  /** The other parts of the measured system, for what shares a machine with it. */
  readonly beside: { readonly platformUs: number; readonly sourceUs: number; readonly publisherUs: number };
  readonly bytes: {
    /** Of a message in the measured load. */
    readonly body: number;
    readonly walPerMessage: number;
    /** Of a settled message: its row, and its part of the indexes. */
    readonly history: number;
    readonly historyIndexes: number;
    /** Of a known room, indexes included. */
    readonly room: number;
  };
  readonly memory: { readonly processMb: number; readonly busyRoomBytes: number };
}

export interface Costs {
  /** How the file is made again. */
  readonly command: string;
  readonly machine: string;
  /** Share of the machine, in %, that processes outside of the run took while it was measured. */
  readonly othersPercent: number;
  readonly units: UnitCosts;
}

/** @throws RoomlineError `config_invalid` where the file is not there or not one of these */
export function readCosts(file: string): Costs {
  const costs = readJson(file) as Partial<Costs> | null;
  if (typeof costs?.units !== 'object') throw unfit(file, 'it has no unit costs');
  const wrong = wrongNumbers(costs.units, 'units');
  if (wrong.length > 0) throw unfit(file, `${wrong.join(', ')}: not a number of 0 or more`);
  return costs as Costs;
}

/** @throws RoomlineError `config_invalid` */
export function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw unfit(file, error instanceof SyntaxError ? 'it is not JSON' : 'it cannot be read', error);
  }
}

export function unfit(file: string, why: string, cause?: unknown): RoomlineError {
  return new RoomlineError('config_invalid', { detail: `${file}: ${why}`, cause });
}

const EXPECTED: { readonly [Group in keyof UnitCosts]: readonly string[] } = {
  engine: ['idleShare', 'intakeUs', 'statementUs', 'messageUs', 'callUs', 'garbageShare', 'garbagePauseUs'],
  postgres: ['idleShare', 'appendStatementUs', 'appendRowUs', 'writeStatementUs', 'writeRowUs'],
  beside: ['platformUs', 'sourceUs', 'publisherUs'],
  bytes: ['body', 'walPerMessage', 'history', 'historyIndexes', 'room'],
  memory: ['processMb', 'busyRoomBytes'],
};

function wrongNumbers(units: object, at: string): string[] {
  return Object.entries(EXPECTED).flatMap(([group, names]) => {
    const values = (units as Record<string, Record<string, unknown> | undefined>)[group] ?? {};
    return names.flatMap((name) => {
      const found = values[name];
      const numbers = name === 'intakeUs' ? ['pubsub', 'http'].map((door) => (found as never)?.[door]) : [found];
      return numbers.every(isCost) ? [] : [`${at}.${group}.${name}`];
    });
  });
}

function isCost(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

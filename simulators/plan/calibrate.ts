/** Unit costs from the figures of `npm run bench -- --workload costs`: loads that differ in one thing each. */
import { type Costs, readJson, type UnitCosts, unfit } from './costs.ts';

/** What `npm run bench -- --json` writes, as far as it is read here. */
export interface Measured {
  readonly file: string;
  readonly workload: string;
  readonly machine: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Of several runs the median. @throws RoomlineError `config_invalid` where it was not measured */
  readonly value: (name: string) => number;
}

/** @throws RoomlineError `config_invalid` */
export function readMeasured(file: string): Measured {
  const found = readJson(file) as Partial<Omit<Measured, 'value'>> & { figures?: unknown; ratios?: unknown };
  const { workload, machine, options, figures, ratios = [] } = found ?? {};
  if (
    typeof workload !== 'string' ||
    typeof machine !== 'string' ||
    !Array.isArray(figures) ||
    !Array.isArray(ratios)
  ) {
    throw unfit(file, 'it is not what `npm run bench -- --json` writes');
  }
  const values = new Map([...figures, ...ratios].map(({ name, median }) => [name, median] as [string, unknown]));
  const value = (name: string): number => {
    const median = values.get(name);
    if (typeof median === 'number') return median;
    throw unfit(file, `it has no figure "${name}"`);
  };
  return { file, workload, machine, options: options ?? {}, value };
}

const COMMAND = 'npm run bench -- --workload costs --json FILE && npm run plan -- --calibrate FILE';
/** Others beside it take so much of the machine that CPU times grow and pauses last longer than they take. */
export const MUCH_PERCENT = 10;

const INTAKE = ['intake by pubsub', 'intake by http', 'intake at leisure'] as const;
const BUSY = ['statuses by 1', 'statuses by 10', 'permits for all'] as const;
const THROUGH = [...BUSY, 'steady', 'one by one'] as const;
type Phase = (typeof INTAKE)[number] | (typeof THROUGH)[number];

/** What a load did for each message, and what that cost. */
interface Seen {
  readonly engineUs: number;
  readonly postgresUs: number;
  readonly appends: number;
  readonly writes: number;
  readonly writeRows: number;
  readonly calls: number;
}

/** @throws RoomlineError `config_invalid` where the file is not of that workload */
export function calibrate(measured: Measured): Costs {
  const { value } = measured;
  if (!measured.workload.startsWith('costs:')) throw unfit(measured.file, 'it is not of the workload "costs"');
  const idle = { engine: value('at rest: CPU of the engine') / 100, postgres: value('at rest: CPU of Postgres') / 100 };
  const seen = (phase: Phase): Seen => seenOf(measured, phase, idle);
  const postgres = postgresCosts(INTAKE.map(seen), THROUGH.map(seen));
  const engine = engineCosts(seen);
  const mean = (name: string): number => BUSY.reduce((sum, phase) => sum + value(`${phase}: ${name}`), 0) / BUSY.length;
  const othersPercent = mean('share of the machine that others used');
  // Pauses are measured by the clock: where the engine waits for a core, it waits in them, too.
  const ran = othersPercent > MUCH_PERCENT ? (mean('end to end') * mean('CPU per message, engine')) / 1e6 : 1;
  const units: UnitCosts = {
    engine: {
      idleShare: idle.engine,
      ...engine,
      garbageShare: (mean('garbage collection, share of the engine') / 100) * ran,
      garbagePauseUs: mean('garbage collection, mean pause') * 1_000 * ran,
    },
    postgres: { idleShare: idle.postgres, ...postgres },
    beside: {
      platformUs: mean('CPU per message, platform'),
      sourceUs: mean('CPU per message, Pub/Sub'),
      publisherUs: mean('CPU per message, publisher'),
    },
    bytes: {
      body: value('sizes: body'),
      walPerMessage: value('statuses by 1: WAL per message'),
      history: value('sizes: settled message'),
      historyIndexes: value('sizes: its part of the indexes'),
      room: value('sizes: known room'),
    },
    memory: { processMb: value('intake by pubsub: memory before the load'), busyRoomBytes: BUSY_ROOM_BYTES },
  };
  return { command: COMMAND, machine: measured.machine, othersPercent, units: rounded(units) };
}

/** Of the JavaScript heap; by the workload `timeouts`, from the heap with and without 25,000 open rooms. */
const BUSY_ROOM_BYTES = 2_048;

/** What the process uses at rest is not the messages'; the rate tells how much of that falls to each. */
function seenOf(measured: Measured, phase: Phase, idle: { engine: number; postgres: number }): Seen {
  const of = (name: string): number => measured.value(`${phase}: ${name}`);
  const appends = 1 / of('rows per append');
  const isIntake = (INTAKE as readonly string[]).includes(phase);
  // What waits is not settled, so that its own rate is not known; at leisure it comes as the steady load does.
  const rate = isIntake && phase !== 'intake at leisure' ? Number.POSITIVE_INFINITY : rateOf(measured, phase);
  return {
    engineUs: Math.max(0, of('CPU per message, engine') - (idle.engine * 1e6) / rate),
    postgresUs: Math.max(0, of('CPU per message, Postgres') - (idle.postgres * 1e6) / rate),
    appends,
    writes: isIntake ? 0 : Math.max(0, of('statements per message') - appends),
    writeRows: isIntake ? 0 : of('compare-and-set rows per message'),
    calls: isIntake ? 0 : of('webhook calls per message'),
  };
}

function rateOf({ value }: Measured, phase: Phase): number {
  return value(`${phase === 'intake at leisure' ? 'steady' : phase}: end to end`);
}

function postgresCosts(intake: readonly Seen[], through: readonly Seen[]) {
  const rows = [...intake, ...through];
  const [appendRowUs, appendStatementUs, writeRowUs, writeStatementUs] = leastSquares(
    rows.map(({ appends, writes, writeRows }) => [1, appends, writeRows, writes]),
    rows.map(({ postgresUs }) => postgresUs),
  ) as [number, number, number, number];
  return { appendStatementUs, appendRowUs, writeStatementUs, writeRowUs };
}

function engineCosts(
  seen: (phase: Phase) => Seen,
): Omit<UnitCosts['engine'], 'idleShare' | 'garbageShare' | 'garbagePauseUs'> {
  const rows = [...INTAKE, ...THROUGH].map((phase) => ({ phase, ...seen(phase) }));
  const [pubsub, http, statementUs, messageUs, callUs] = leastSquares(
    rows.map(({ phase, appends, writes, writeRows, calls }) => [
      phase === 'intake by http' ? 0 : 1,
      phase === 'intake by http' ? 1 : 0,
      appends + writes,
      writeRows > 0 ? 1 : 0,
      calls,
    ]),
    rows.map(({ engineUs }) => engineUs),
  ) as [number, number, number, number, number];
  return { intakeUs: { pubsub, http }, statementUs, messageUs, callUs };
}

const ROUNDS = 20_000;

/** Costs of 0 or more that explain what was seen with the least square error, each relative to what was seen. */
export function leastSquares(rows: readonly (readonly number[])[], seen: readonly number[]): number[] {
  const weights = seen.map((value) => 1 / Math.max(1, value));
  const costs = new Array<number>((rows[0] ?? []).length).fill(0);
  for (let round = 0; round < ROUNDS; round++) {
    for (const column of costs.keys()) {
      let above = 0;
      let below = 0;
      for (const [index, row] of rows.entries()) {
        const weight = (weights[index] as number) ** 2;
        const own = row[column] as number;
        const others = row.reduce((sum, factor, at) => (at === column ? sum : sum + factor * (costs[at] as number)), 0);
        above += weight * own * ((seen[index] as number) - others);
        below += weight * own * own;
      }
      costs[column] = below === 0 ? 0 : Math.max(0, above / below);
    }
  }
  return costs;
}

/** Three digits are more than was measured. */
function rounded<T>(value: T): T {
  if (typeof value === 'number') return Number(value.toPrecision(3)) as T;
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, rounded(each)])) as T;
}

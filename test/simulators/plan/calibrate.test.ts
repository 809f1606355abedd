import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calibrate, leastSquares, readMeasured } from '../../../simulators/plan/calibrate.ts';
import { readCosts } from '../../../simulators/plan/costs.ts';
import { COSTS } from './costs.ts';

const INTAKE = ['intake by pubsub', 'intake by http', 'intake at leisure'] as const;
const THROUGH = ['statuses by 1', 'statuses by 10', 'permits for all', 'steady', 'one by one'] as const;
/** Rows per append, statements of the other kind per message, their rows, webhook calls, messages/s. */
const LOADS: Readonly<Record<string, readonly [number, number, number, number, number]>> = {
  'intake by pubsub': [500, 0, 0, 0, 0],
  'intake by http': [250, 0, 0, 0, 0],
  'intake at leisure': [3, 0, 0, 0, 600],
  'statuses by 1': [400, 0.02, 3, 1, 5_000],
  'statuses by 10': [450, 0.015, 2.9, 0.12, 6_000],
  'permits for all': [400, 0.03, 2.3, 1, 5_000],
  steady: [3, 0.9, 2.5, 1, 600],
  'one by one': [2, 2.2, 2.3, 1, 40],
};
const IDLE = { engine: 0.01, postgres: 0.02 };

/** What the bench would have measured at these costs. */
function figures(): { name: string; median: number }[] {
  const all: Record<string, number> = {
    'at rest: CPU of the engine': IDLE.engine * 100,
    'at rest: CPU of Postgres': IDLE.postgres * 100,
    'sizes: body': 250,
    'sizes: settled message': 500,
    'sizes: its part of the indexes': 100,
    'sizes: known room': 300,
    'intake by pubsub: memory before the load': 150,
    'statuses by 1: WAL per message': 3_000,
  };
  for (const phase of [...INTAKE, ...THROUGH]) {
    const [rows, writes, writeRows, calls, rate] = LOADS[phase] as [number, number, number, number, number];
    const { engine, postgres } = COSTS;
    const statements = 1 / rows + writes;
    const intakeUs = phase === 'intake by http' ? engine.intakeUs.http : engine.intakeUs.pubsub;
    const goesThrough = writeRows > 0 ? engine.messageUs : 0;
    const idle = (share: number): number => (rate === 0 ? 0 : (share * 1e6) / rate);
    const engineUs = intakeUs + statements * engine.statementUs + goesThrough + calls * engine.callUs;
    const postgresUs =
      postgres.appendRowUs +
      postgres.appendStatementUs / rows +
      writes * postgres.writeStatementUs +
      writeRows * postgres.writeRowUs;
    const own: Record<string, number> = {
      'CPU per message, engine': engineUs + idle(IDLE.engine),
      'CPU per message, Postgres': postgresUs + idle(IDLE.postgres),
      'rows per append': rows,
      'statements per message': statements,
      'compare-and-set rows per message': writeRows,
      'webhook calls per message': calls,
      ...(writeRows > 0 ? { 'end to end': rate } : {}),
      'garbage collection, share of the engine': 10,
      'garbage collection, mean pause': 2,
      'CPU per message, platform': 20,
      'CPU per message, Pub/Sub': 10,
      'CPU per message, publisher': 5,
      'share of the machine that others used': 4,
    };
    for (const [name, value] of Object.entries(own)) all[`${phase}: ${name}`] = value;
  }
  return Object.entries(all).map(([name, median]) => ({ name, median }));
}

describe('unit costs', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'roomline-plan-'));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  function file(name: string, content: unknown): string {
    const path = join(directory, name);
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  }

  const bench = (workload: string, all = figures()) => ({ workload, machine: '2 × X', options: {}, figures: all });

  it('are found again in what loads cost that differ in one thing each', () => {
    const { units, machine, othersPercent } = calibrate(readMeasured(file('good.json', bench('costs: …'))));
    expect([machine, othersPercent]).toEqual(['2 × X', 4]);
    const { engine, postgres } = units;
    const near = (found: number, wanted: number): void => expect(found / wanted).toBeCloseTo(1, 1);
    near(engine.intakeUs.pubsub, COSTS.engine.intakeUs.pubsub);
    near(engine.intakeUs.http, COSTS.engine.intakeUs.http);
    near(engine.statementUs, COSTS.engine.statementUs);
    near(engine.messageUs, COSTS.engine.messageUs);
    near(engine.callUs, COSTS.engine.callUs);
    near(postgres.appendRowUs, COSTS.postgres.appendRowUs);
    near(postgres.appendStatementUs, COSTS.postgres.appendStatementUs);
    near(postgres.writeRowUs, COSTS.postgres.writeRowUs);
    near(postgres.writeStatementUs, COSTS.postgres.writeStatementUs);
    expect([engine.idleShare, engine.garbageShare, engine.garbagePauseUs]).toEqual([0.01, 0.1, 2_000]);
  });

  it('survive being written and read', () => {
    const costs = calibrate(readMeasured(file('good.json', bench('costs: …'))));
    expect(readCosts(file('costs.json', costs))).toEqual(costs);
  });

  it.each([
    ['nothing', 'missing.json', undefined, 'cannot be read'],
    ['no JSON', 'text.json', 'hello', 'not JSON'],
    ['something else', 'other.json', { a: 1 }, 'not what `npm run bench'],
    ['null', 'null.json', 'null', 'not what `npm run bench'],
    ['another workload', 'quiet.json', bench('quiet: …'), 'not of the workload "costs"'],
    ['a figure less', 'less.json', bench('costs: …', figures().slice(1)), 'no figure "at rest: CPU of the engine"'],
  ])('are not made of %s', (_, name, content, why) => {
    const path = content === undefined ? join(directory, name) : file(name, content);
    expect(() => calibrate(readMeasured(path))).toThrow(expect.objectContaining({ code: 'config_invalid' }));
    expect(() => calibrate(readMeasured(path))).toThrow(why);
  });

  it.each([
    ['no units', {}, 'no unit costs'],
    ['a group less', { units: { ...COSTS, engine: undefined } }, 'units.engine.messageUs'],
    ['a cost below 0', { units: { ...COSTS, bytes: { ...COSTS.bytes, body: -1 } } }, 'units.bytes.body'],
    [
      'a door less',
      { units: { ...COSTS, engine: { ...COSTS.engine, intakeUs: { http: 1 } } } },
      'units.engine.intakeUs',
    ],
  ])('are refused with %s', (name, content, why) => {
    const path = file(`${name.replaceAll(' ', '-')}.json`, content);
    expect(() => readCosts(path)).toThrow(expect.objectContaining({ code: 'config_invalid' }));
    expect(() => readCosts(path)).toThrow(why);
  });
});

describe('least squares', () => {
  it('takes sums apart', () => {
    const rows = [
      [1, 0],
      [1, 1],
      [1, 2],
    ];
    const [base, each] = leastSquares(rows, [10, 13, 16]);
    expect(base).toBeCloseTo(10);
    expect(each).toBeCloseTo(3);
  });

  it('finds no cost below 0', () => {
    expect(
      leastSquares(
        [
          [1, 0],
          [1, 1],
        ],
        [10, 8],
      )[1],
    ).toBe(0);
  });
});

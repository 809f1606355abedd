/** `npm run sim -- --seed N` prints one world's trace; `--seeds FROM..TO` prints one line of totals. */
import { parseArgs } from 'node:util';
import { runWorld, type WorldReport } from './world.ts';

const { values } = parseArgs({ options: { seed: { type: 'string' }, seeds: { type: 'string', default: '1..200' } } });

if (values.seed !== undefined) {
  const report = await runWorld(wholeNumber(values.seed), console.log);
  console.log(`${summary([report])}, trace ${report.trace}`);
  process.exitCode = report.violations.length === 0 ? 0 : 1;
} else {
  const [from, to] = values.seeds.split('..').map(wholeNumber);
  if (from === undefined || to === undefined) throw new Error('--seeds takes FROM..TO');
  const startedAt = performance.now();
  const reports: WorldReport[] = [];
  for (let seed = from; seed <= to; seed++) {
    const report = await runWorld(seed);
    reports.push(report);
    if (report.violations.length === 0) continue;
    console.log(`seed ${seed}: ${report.violations[0]}\n  replay: npm run sim -- --seed ${seed}`);
    process.exitCode = 1;
  }
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(`${summary(reports)}, ${seconds.toFixed(1)} s (${(reports.length / seconds).toFixed(0)} seeds/s)`);
}

function summary(reports: readonly WorldReport[]): string {
  const sum = (of: (report: WorldReport) => number): number => reports.reduce((total, one) => total + of(one), 0);
  const broken = reports.filter((one) => one.violations.length > 0).length;
  return [
    `${reports.length} seeds, ${broken} with violations`,
    `${sum((one) => one.events)} events`,
    `${sum((one) => one.messages)} messages settled`,
    `${sum((one) => one.duplicates)} duplicates after ${sum((one) => one.unknownOutcomes)} unknown outcomes`,
    `faults: ${totals(reports.map((one) => one.faults))}`,
    `states: ${totals(reports.map((one) => one.cells))}`,
  ].join(', ');
}

function totals(maps: readonly ReadonlyMap<string, number>[]): string {
  const all = new Map<string, number>();
  for (const map of maps) for (const [key, count] of map) all.set(key, (all.get(key) ?? 0) + count);
  return [...all]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([key, count]) => `${key} ${count}`)
    .join(' ');
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${JSON.stringify(text)} is not a seed`);
  return value;
}

/**
 * `node simulators/hour/main.ts` runs one virtual hour of a WhatsApp number through the real engine and prints what came
 * of it; ends with 1 where that is not clean.
 */
import { writeFileSync } from 'node:fs';
import { figuresOf, wrongWith } from './figures.ts';
import { runHour } from './hour.ts';
import { compareWithoutBursts, wrongWithIsolation } from './isolation.ts';
import { parseOptions } from './options.ts';
import { isolationReport, reportOf } from './report.ts';

const { isolation: comparing, json, ...options } = parseOptions(process.argv);

const startedAt = performance.now();
const figures = figuresOf(await runHour(options, {}, tellProgress));
const wrong = wrongWith(figures);
const wallSeconds = (performance.now() - startedAt) / 1_000;
console.log(`${reportOf(figures)}\n\n${wallSeconds.toFixed(1)} s, ${megabytes()} MB`);
const isolation = comparing ? await compareWithoutBursts(options) : null;
if (isolation !== null) {
  console.log(`\n${isolationReport(isolation)}`);
  wrong.push(...wrongWithIsolation(isolation));
}
console.log(`\n${wrong.length === 0 ? 'clean' : `NOT CLEAN: ${wrong.join('; ')}`}`);
if (json !== null) {
  writeFileSync(json, `${JSON.stringify({ ...figures, wrong, isolation, wallSeconds }, null, 2)}\n`);
}
process.exitCode = wrong.length === 0 ? 0 : 1;

function tellProgress(minute: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${minute} min, ${megabytes()} MB `);
}

function megabytes(): number {
  return Math.round(process.memoryUsage().rss / 1e6);
}

/**
 * `node simulators/hour/main.ts` runs one virtual hour of a WhatsApp number through the real engine and prints what came
 * of it; ends with 1 where that is not clean.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { figuresOf, wrongWith } from './figures.ts';
import { runHour } from './hour.ts';
import { compareWithoutBursts, wrongWithIsolation } from './isolation.ts';
import type { HourOptions } from './options.ts';
import { isolationReport, reportOf } from './report.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '60' },
    scale: { type: 'string', default: '1' },
    processes: { type: 'string', default: '2' },
    /** Kills one process in this minute. */
    'kill-at': { type: 'string' },
    /** How often holders look over their rooms, in ms; as configured where absent. */
    sweep: { type: 'string' },
    /** Leaves the comparison with and without bursts out. */
    'no-isolation': { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});

const options: HourOptions = {
  seed: positive('seed', values.seed),
  minutes: positive('minutes', values.minutes),
  scale: positive('scale', values.scale),
  processes: positive('processes', values.processes),
  killAtMinute: values['kill-at'] === undefined ? null : positive('kill-at', values['kill-at']),
  sweepEveryMs: values.sweep === undefined ? null : positive('sweep', values.sweep),
  outages: true,
  bursts: 'in_one_room',
};

const startedAt = performance.now();
const figures = figuresOf(await runHour(options, {}, tellProgress));
const wrong = wrongWith(figures);
const wallSeconds = (performance.now() - startedAt) / 1_000;
console.log(`${reportOf(figures)}\n\n${wallSeconds.toFixed(1)} s, ${megabytes()} MB`);
const isolation = values['no-isolation'] ? null : await compareWithoutBursts(options);
if (isolation !== null) {
  console.log(`\n${isolationReport(isolation)}`);
  wrong.push(...wrongWithIsolation(isolation));
}
console.log(`\n${wrong.length === 0 ? 'clean' : `NOT CLEAN: ${wrong.join('; ')}`}`);
if (values.json !== undefined) {
  writeFileSync(values.json, `${JSON.stringify({ ...figures, wrong, isolation, wallSeconds }, null, 2)}\n`);
}
process.exitCode = wrong.length === 0 ? 0 : 1;

function tellProgress(minute: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${minute} min, ${megabytes()} MB `);
}

function megabytes(): number {
  return Math.round(process.memoryUsage().rss / 1e6);
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} takes a number above 0, not ${JSON.stringify(text)}`);
  return value;
}

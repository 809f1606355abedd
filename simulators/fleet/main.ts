/**
 * `npm run sim -- --fleet`: workers of a large fleet come and go, with the real ownership in each. Prints what moved, what
 * stood still and what the database was asked; ends with 1 where something was wrong.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { phaseLine, reportOf, wrongWith } from './report.ts';
import { runScript } from './script.ts';

const { values } = parseArgs({
  options: {
    fleet: { type: 'boolean' },
    seed: { type: 'string', default: '1' },
    few: { type: 'string', default: '100' },
    many: { type: 'string', default: '1000' },
    shards: { type: 'string', default: '65536' },
    rooms: { type: 'string', default: '10000000' },
    /** As if there were no Redis: every worker looks for itself. */
    'no-signals': { type: 'boolean', default: false },
  },
});

/** As configured where nobody configures anything. */
const { ownership } = JSON.parse(readFileSync(new URL('../../config/default.json', import.meta.url), 'utf8')) as {
  readonly ownership: Readonly<Record<'leaseMs' | 'renewEveryMs' | 'pollEveryMs', number>>;
};

const startedAt = performance.now();
const figures = await runScript(
  {
    seed: wholeNumber('seed'),
    few: wholeNumber('few'),
    many: wholeNumber('many'),
    shards: wholeNumber('shards'),
    rooms: wholeNumber('rooms'),
    signals: !values['no-signals'],
    leaseMs: ownership.leaseMs,
    renewEveryMs: ownership.renewEveryMs,
    pollEveryMs: ownership.pollEveryMs,
    sendTimeoutMs: 5_000,
  },
  (phase) => console.log(phaseLine(phase)),
);
console.log(reportOf(figures));
const wrong = wrongWith(figures);
for (const line of wrong) console.log(`WRONG: ${line}`);
const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
console.log(
  `${figures.events} events, ${seconds} s: ${wrong.length === 0 ? 'as it should be' : 'NOT as it should be'}`,
);
process.exitCode = wrong.length === 0 ? 0 : 1;

function wholeNumber(name: 'seed' | 'few' | 'many' | 'shards' | 'rooms'): number {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} takes a whole number above 0`);
  return value;
}

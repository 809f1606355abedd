/**
 * `node simulators/ack-day/main.ts` runs one day under each policy and prints what it came to; ends with 1 where an
 * adaptive timeout gave up more acks, outside the incidents, than its quantile allows, or an acked message was overtaken.
 */
import { writeFileSync } from 'node:fs';
import { runDay } from './day.ts';
import { type Figures, figuresOf, wrongWith } from './figures.ts';
import { parseOptions } from './options.ts';
import { tableOf } from './report.ts';
import { POLICIES } from './settings.ts';

const { json, ...options } = parseOptions(process.argv);
const startedAt = performance.now();
const results: { readonly policy: string; readonly all: Figures; readonly each: readonly Figures[] }[] = [];
const wrong: string[] = [];

for (const policy of POLICIES) {
  const day = await runDay(options, policy, (hour) => tell(`${policy.name}: hour ${hour}`));
  const figures = figuresOf(day, options.hours * 3_600_000);
  results.push({ policy: policy.name, ...figures });
  wrong.push(...wrongWith(policy.name, day.quantile, [figures.all, ...figures.each]));
}
tell('');
for (const index of (results[0]?.each ?? []).keys()) {
  const rows = results.map(({ policy, each }) => ({ policy, figures: each[index] as Figures }));
  console.log(`${tableOf(rows)}\n`);
}
console.log(`${tableOf(results.map(({ policy, all }) => ({ policy, figures: all })))}\n`);
console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1)} s`);
console.log(
  wrong.length === 0
    ? 'no policy gave up more acks than its quantile allows, and no acked message was overtaken'
    : `WRONG: ${wrong.join('; ')}`,
);
if (json !== null) writeFileSync(json, `${JSON.stringify({ options, results, wrong }, null, 2)}\n`);
process.exitCode = wrong.length === 0 ? 0 : 1;

function tell(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${text.padEnd(40)}`);
}

/**
 * `npm run sim -- --seed N` prints one world's trace, `--plan FILE` that of a kept plan, and `--seeds FROM..TO` one line
 * of totals; `--jobs N` spreads a range over threads. A failure tells how to replay it, and is cut down. `--fleet` runs
 * a large fleet instead (`simulators/fleet`).
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { drawPlan } from './draw-plan.ts';
import { type Plan, readPlan } from './plan.ts';
import { runRange } from './range.ts';
import { shrink } from './shrink.ts';
import { addReport, lineOf, newTotals } from './totals.ts';
import { runPlan } from './world.ts';

const isFleet = process.argv.includes('--fleet');
const { values } = parseArgs({
  args: isFleet ? [] : process.argv.slice(2),
  options: {
    seed: { type: 'string' },
    plan: { type: 'string' },
    seeds: { type: 'string', default: '1..200' },
    jobs: { type: 'string', default: '1' },
    /** How many failures of a range are cut down. */
    shrink: { type: 'string', default: '1' },
    /** Prints the plan of `--seed` instead of running it. */
    show: { type: 'boolean', default: false },
  },
});

if (isFleet) await import('../fleet/main.ts');
else if (values.seed !== undefined && values.show)
  console.log(JSON.stringify(drawPlan(wholeNumber(values.seed)), null, 2));
else if (values.seed !== undefined) await one(drawPlan(wholeNumber(values.seed)));
else if (values.plan !== undefined) await one(readPlan(readFileSync(values.plan, 'utf8')));
else await range(values.seeds, wholeNumber(values.jobs), wholeNumber(values.shrink));

async function one(plan: Plan): Promise<void> {
  const report = await runPlan(plan, { onLine: (line) => console.log(line) });
  const totals = newTotals();
  addReport(totals, report);
  console.log(`${lineOf(totals)}, trace ${report.trace}`);
  process.exitCode = report.violations.length === 0 ? 0 : 1;
}

async function range(seeds: string, jobs: number, mostShrunk: number): Promise<void> {
  const [from, to] = seeds.split('..').map(wholeNumber);
  if (from === undefined || to === undefined) throw new Error('--seeds takes FROM..TO');
  const startedAt = performance.now();
  const failed: number[] = [];
  const totals = await runRange(from, to, jobs, ({ seed, violation }) => {
    failed.push(seed);
    console.log(`seed ${seed}: ${violation}\n  replay: npm run sim -- --seed ${seed}`);
    process.exitCode = 1;
  });
  const seconds = (performance.now() - startedAt) / 1000;
  const speed = (totals.seeds / seconds).toFixed(0);
  console.log(`${lineOf(totals)}, ${seconds.toFixed(1)} s (${speed} seeds/s)`);
  for (const seed of failed.slice(0, mostShrunk)) await cutDown(seed);
}

async function cutDown(seed: number): Promise<void> {
  const shrunk = await shrink(drawPlan(seed));
  if (shrunk === null) throw new Error(`seed ${seed} failed once and not again`);
  const { plan, violation, runs } = shrunk;
  const messages = plan.rooms.reduce((sum, room) => sum + room.messages.length, 0);
  console.log(
    `seed ${seed}, cut down in ${runs} runs to ${plan.processes} processes, ${plan.rooms.length} rooms, ${messages} messages, ` +
      `${plan.acts.length} acts and ${plan.failpoints.length} failpoints: ${violation}\n` +
      `  replay: npm run sim -- --plan FILE, with this in FILE:\n${JSON.stringify(plan)}`,
  );
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${JSON.stringify(text)} is not a whole number`);
  return value;
}

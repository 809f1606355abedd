/**
 * `npm run model`: checks the Spin model of ownership and hand-over within bounds, and that planted bugs are found.
 * `--quick`: the smaller ones; `--only NAME` (repeatable) and `--path` show the way to what is found; `--list`.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import PQueue from 'p-queue';
import { type Bounds, CLEAN, type Configuration, isAsExpected, OWNER_PROVED, PLANTED } from './configurations.ts';
import { type Found, missingTools, verify } from './spin.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    path: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
});
const all = [...CLEAN, ...PLANTED, ...OWNER_PROVED];
const unknown = (values.only ?? []).filter((name) => !all.some((one) => one.name === name));
if (unknown.length > 0) throw new Error(`no configuration is called ${unknown.join(', ')}; --list names them`);
const wanted = ({ name, quick }: Configuration): boolean => values.only?.includes(name) ?? (quick || !values.quick);

const missing = await missingTools();
if (values.list) {
  for (const { name } of all) console.log(name);
} else if (missing === null) {
  process.exitCode = (await main()) ? 0 : 1;
} else {
  console.error(missing);
  process.exitCode = 1;
}

async function main(): Promise<boolean> {
  const startedAt = performance.now();
  const ending = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ending.abort());
  const queue = new PQueue({ concurrency: Math.max(1, Math.min(4, availableParallelism())) });
  const tables = [CLEAN, PLANTED, OWNER_PROVED].map((table) =>
    table.filter(wanted).map((one) => ({ one, found: queue.add(() => verify(one, ending.signal)) })),
  );
  let good = true;
  for (const table of tables) {
    if (table.length === 0) continue;
    print(['configuration', 'msgs/workers/crash/steal/loss/plan', 'checked', 'states', 'time', 'memory', 'outcome']);
    for (const { one, found } of table) good = tell(one, await found) && good;
    console.log('');
  }
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(0);
  console.log(`${good ? 'all as expected' : 'NOT as expected'}, ${seconds} s with the compiler's`);
  return good;
}

function tell(one: Configuration, found: Found): boolean {
  const good = isAsExpected(one, found.broken);
  const outcome = found.broken === null ? (one.covered === undefined ? 'clean' : 'covered') : `${found.broken} broken`;
  const states = found.states.toLocaleString('en-US');
  const time = `${found.seconds.toFixed(1)} s`;
  const memory = `${Math.round(found.memoryMb)} MB`;
  print([one.name, boundsOf(one.bounds), one.check, states, time, memory, good ? outcome : `WRONG: ${outcome}`]);
  if (found.broken !== null && (values.path || !good)) console.log(found.path.join('\n'));
  return good;
}

function boundsOf({ messages, workers, crashes, steals, losses, moves }: Bounds): string {
  return [messages, workers, crashes, steals, losses, moves].join(' ');
}

function print(cells: readonly string[]): void {
  const widths = [70, 36, 12, 12, 9, 9, 0];
  console.log(cells.map((cell, index) => cell.padEnd(widths[index] ?? 0)).join(''));
}

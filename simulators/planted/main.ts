/**
 * `npm run planted`: plants one bug after the other in a copy of the sources, and demands that its lane finds it within
 * its budget; before that, that the lane is clean without it. Then it blinds a judge, and demands that a bug which only
 * that judge can see goes by. `--only NAME` (repeatable), `--list`.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BLINDED, BUGS } from './bugs.ts';
import { copySources } from './copy.ts';
import { LANES, type LaneName } from './lanes.ts';
import { type LaneRun, runLane } from './run-lane.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    list: { type: 'boolean', default: false },
  },
});
const known = [...BUGS, ...BLINDED].map(({ name }) => name);
const unknown = (values.only ?? []).filter((name) => !known.includes(name));
if (unknown.length > 0) throw new Error(`no planted bug is called ${unknown.join(', ')}; --list names them`);

if (values.list) {
  for (const { name, lane, breaks } of BUGS) console.log(`${name} (${lane}): ${breaks}`);
  for (const { name, misses } of BLINDED) console.log(`${name}: ${misses} must go by`);
} else {
  process.exitCode = (await main()) ? 0 : 1;
}

async function main(): Promise<boolean> {
  const wanted = ({ name }: { readonly name: string }): boolean => values.only?.includes(name) ?? true;
  const bugs = BUGS.filter(wanted);
  const blinded = BLINDED.filter(wanted);
  const copy = copySources(fileURLToPath(new URL('../..', import.meta.url)));
  process.on('exit', () => copy.remove());
  process.on('SIGINT', () => process.exit(130));
  let good = true;
  const tell = (what: string, lane: LaneName, run: LaneRun, wished: LaneRun['verdict']): void => {
    const ok = run.verdict === wished;
    good &&= ok;
    console.log(
      `${ok ? 'ok ' : 'BAD'} ${what}: ${run.verdict} by ${lane} in ${run.seconds.toFixed(1)} s\n    ${run.line}`,
    );
  };

  const lanes = new Set([...bugs, ...blinded].map(({ lane }) => lane));
  for (const lane of lanes) tell('nothing planted', lane, await runLane(LANES[lane], copy.folder), 'clean');
  for (const { name, lane, edits } of bugs) {
    const pullOut = copy.plant(edits);
    tell(name, lane, await runLane(LANES[lane], copy.folder), 'found');
    pullOut();
  }
  for (const { name, misses, lane, edits } of blinded) {
    const bug = BUGS.find((one) => one.name === misses);
    if (bug === undefined) throw new Error(`${name} names no planted bug`);
    const pullOut = copy.plant([...bug.edits, ...edits]);
    tell(`${name} with ${misses}`, lane, await runLane(LANES[lane], copy.folder), 'clean');
    pullOut();
  }
  console.log(
    `${bugs.length} planted bugs, ${blinded.length} blinded judges: ${good ? 'all as they must be' : 'NOT as they must be'}`,
  );
  return good;
}

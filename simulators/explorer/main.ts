/** Explores the room's protocol within bounds; ends with status 1 where a property does not hold, 2 on a wrong option. */
import { explore } from './explore.ts';
import { type Options, readOptions, USAGE } from './options.ts';
import { REAL } from './subject.ts';

const options = optionsOrEnd();
const { bounds, profiles, maxStates } = options;
const within = Object.entries(bounds).map(([name, number]) => `${name} ${number}`);
console.log(`within: ${within.join(', ')}`);
let states = 0;
let transitions = 0;
let broken = 0;
let cut = 0;
const startedAt = performance.now();
for (const profile of profiles) {
  const began = performance.now();
  const found = explore(REAL, profile, bounds, { maxStates });
  states += found.states;
  transitions += found.transitions;
  cut += found.complete ? 0 : 1;
  const verdict = found.broken !== null ? 'BROKEN' : found.complete ? 'holds' : 'cut short: nothing broken so far';
  console.log(
    `${profile.name.padEnd(10)} ${count(found.states)} states, ${count(found.transitions)} transitions, depth ${found.depth}, ` +
      `${count(found.rooms)} rooms, ${count(found.decisions)} decisions, ${seconds(began)}: ${verdict}`,
  );
  if (found.broken === null) continue;
  broken++;
  console.log([found.broken.message, ...found.broken.path].join('\n'));
}
const memory = Math.round(process.resourceUsage().maxRSS / 1_024);
const outcome = broken > 0 ? `${broken} broken` : cut > 0 ? `${cut} cut short` : 'every property holds in every state';
console.log(
  `total      ${count(states)} states, ${count(transitions)} transitions, ${seconds(startedAt)}, ${memory} MB: ${outcome}`,
);
process.exitCode = broken > 0 ? 1 : 0;

function optionsOrEnd(): Options {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message}\n\n${USAGE}`);
    process.exit(2);
  }
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1_000).toFixed(1)} s`;
}

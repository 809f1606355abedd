import { parseArgs } from 'node:util';
import { type Bounds, BUDGET_MEANINGS, BUDGETS, MAX_BUDGET, PROFILES, type Profile } from './bounds.ts';

export interface Options {
  readonly bounds: Bounds;
  readonly profiles: readonly Profile[];
  readonly maxStates: number;
}

/** Explored where nothing else is said: a minute or two. */
const DEFAULTS: Bounds = {
  messages: 2,
  workers: 2,
  clocks: 'honest',
  crashes: 0,
  steals: 1,
  losses: 0,
  unknowns: 0,
  refusals: 0,
  nacks: 0,
  operators: 0,
  supersessions: 0,
};
const LIMITS: Readonly<Record<'messages' | 'workers', number>> = { messages: 7, workers: 4 };
const DEFAULT_MAX_STATES = 20_000_000;

export const USAGE = [
  'node simulators/explorer/main.ts [options]',
  '',
  `  --messages N     messages of the room (${DEFAULTS.messages}, at most ${LIMITS.messages})`,
  `  --workers N      processes (${DEFAULTS.workers}, at most ${LIMITS.workers})`,
  ...BUDGETS.map((budget) => `  ${`--${budget} N`.padEnd(16)} ${BUDGET_MEANINGS[budget]} (${DEFAULTS[budget]})`),
  '  --wrong-clocks   workers trust their leases until they hear better',
  `  --profile NAME   one of ${PROFILES.map(({ name }) => name).join(', ')} (all)`,
  `  --max-states N   ends a profile there, without its verdict on liveness (${DEFAULT_MAX_STATES})`,
].join('\n');

/** @throws TypeError naming the option and its rule */
export function readOptions(args: readonly string[]): Options {
  const names = ['messages', 'workers', ...BUDGETS] as const;
  const number = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...(Object.fromEntries(names.map((name) => [name, number])) as Record<(typeof names)[number], typeof number>),
      profile: number,
      'max-states': number,
      'wrong-clocks': { type: 'boolean' },
    },
  });
  const bounds = { ...DEFAULTS, clocks: values['wrong-clocks'] === true ? ('wrong' as const) : DEFAULTS.clocks };
  for (const name of names) {
    const least = name === 'messages' || name === 'workers' ? 1 : 0;
    const most = name === 'messages' || name === 'workers' ? LIMITS[name] : MAX_BUDGET;
    bounds[name] = wholeNumber(name, values[name], bounds[name], least, most);
  }
  const profiles = PROFILES.filter(({ name }) => values.profile === undefined || values.profile === name);
  if (profiles.length === 0) throw new TypeError(`--profile: there is no ${values.profile}`);
  const maxStates = wholeNumber('max-states', values['max-states'], DEFAULT_MAX_STATES, 1, 100_000_000);
  return { bounds, profiles, maxStates };
}

function wholeNumber(name: string, text: string | undefined, otherwise: number, least: number, most: number): number {
  if (text === undefined) return otherwise;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most)) throw new TypeError(`--${name} must be a whole number, ${least} to ${most}`);
  return value;
}

/** Cuts a failing plan down to what still fails in the same way. */
import type { Plan } from './plan.ts';
import { runPlan } from './world.ts';

export interface Shrunk {
  readonly plan: Plan;
  readonly violation: string;
  readonly runs: number;
}

/** Runs that a shrinking may take. */
const MOST_RUNS = 600;

/**
 * Null where the plan does not fail.
 * @param run runs a plan and gives the first promise that it breaks
 */
export async function shrink(
  plan: Plan,
  run: (plan: Plan) => Promise<string | undefined> = violationOf,
): Promise<Shrunk | null> {
  const first = await run(plan);
  if (first === undefined) return null;
  const promise = promiseOf(first);
  let best = plan;
  let violation = first;
  let runs = 1;
  const fails = async (candidate: Plan): Promise<boolean> => {
    if (runs >= MOST_RUNS) return false;
    runs++;
    const found = await run(candidate);
    if (found === undefined || promiseOf(found) !== promise) return false;
    best = candidate;
    violation = found;
    return true;
  };
  for (let smaller = true; smaller && runs < MOST_RUNS; ) {
    smaller = false;
    if (await dropFrom(best.rooms, (rooms) => fails({ ...best, rooms }))) smaller = true;
    if (await dropFrom(best.acts, (acts) => fails({ ...best, acts }))) smaller = true;
    if (await dropFrom(best.failpoints, (failpoints) => fails({ ...best, failpoints }))) smaller = true;
    if (await dropMessages(() => best, fails)) smaller = true;
    for (const candidate of simpler(best)) if (await fails(candidate(best))) smaller = true;
  }
  return { plan: best, violation, runs };
}

async function violationOf(plan: Plan): Promise<string | undefined> {
  return (await runPlan(plan)).violations[0];
}

function promiseOf(violation: string): string {
  return violation.slice(0, violation.indexOf(':'));
}

/** Leaves out ever smaller runs of a list. */
async function dropFrom<T>(list: readonly T[], keeps: (kept: readonly T[]) => Promise<boolean>): Promise<boolean> {
  let kept = list;
  for (let size = Math.ceil(list.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < kept.length; ) {
      const without = [...kept.slice(0, from), ...kept.slice(from + size)];
      if (await keeps(without)) kept = without;
      else from += size;
    }
  }
  return kept.length < list.length;
}

async function dropMessages(best: () => Plan, fails: (plan: Plan) => Promise<boolean>): Promise<boolean> {
  let smaller = false;
  for (let index = 0; index < best().rooms.length; index++) {
    const messages = best().rooms[index]?.messages ?? [];
    const dropped = await dropFrom(messages, (kept) => {
      const rooms = best().rooms.map((room, at) => (at === index ? { ...room, messages: kept } : room));
      return fails({ ...best(), rooms });
    });
    smaller ||= dropped;
  }
  return smaller;
}

/** Each candidate that differs from the plan at hand. */
function simpler(plan: Plan): ((from: Plan) => Plan)[] {
  const candidates: ((from: Plan) => Plan)[] = [];
  for (let processes = 1; processes < plan.processes; processes++) candidates.push((from) => ({ ...from, processes }));
  if (plan.lasting !== 'nothing') candidates.push((from) => ({ ...from, lasting: 'nothing' }));
  if (plan.signals) candidates.push((from) => ({ ...from, signals: null }));
  if (plan.skewedClocks) candidates.push((from) => ({ ...from, skewedClocks: false }));
  if (plan.mode === 'liveness') candidates.push((from) => ({ ...from, mode: 'safety', lasting: 'nothing' }));
  for (const part of ['platform', 'store', 'feed'] as const) {
    for (const [fault, probability] of Object.entries(plan[part])) {
      if (probability === 0) continue;
      candidates.push((from) => ({ ...from, [part]: { ...from[part], [fault]: 0 } }) as Plan);
    }
  }
  if (plan.rooms.some(({ messages }) => messages.some((one) => one.notBefore !== null || one.expiresAt !== null))) {
    candidates.push((from) => ({
      ...from,
      rooms: from.rooms.map((room) => ({
        ...room,
        messages: room.messages.map((message) => ({ ...message, notBefore: null, expiresAt: null })),
      })),
    }));
  }
  return candidates;
}

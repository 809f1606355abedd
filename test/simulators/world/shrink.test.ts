import { describe, expect, it } from 'vitest';
import { drawPlan } from '../../../simulators/world/draw-plan.ts';
import { type Plan, readPlan } from '../../../simulators/world/plan.ts';
import { shrink } from '../../../simulators/world/shrink.ts';
import { runPlan } from '../../../simulators/world/world.ts';

const BIG = drawPlan(
  [...Array(200).keys()].find((seed) => {
    const { rooms, acts, failpoints, processes } = drawPlan(seed);
    return rooms.length >= 4 && acts.length >= 6 && failpoints.length >= 4 && processes === 3;
  }) ?? 0,
);

describe('a failing plan', () => {
  it('is cut down to what still breaks the same promise', async () => {
    const act = BIG.acts[3];
    const room = BIG.rooms[2];
    const message = room?.messages[1];
    const needs = (plan: Plan): boolean =>
      plan.acts.some((one) => one === act) &&
      plan.rooms.some(({ name, messages }) => name === room?.name && messages.some(({ id }) => id === message?.id)) &&
      plan.store.runThenFail === BIG.store.runThenFail &&
      plan.processes >= 2;
    const shrunk = await shrink(BIG, async (plan) => (needs(plan) ? 'R2: it broke' : undefined));
    expect(shrunk?.violation).toBe('R2: it broke');
    const { plan } = shrunk ?? { plan: BIG };
    expect(plan.acts).toEqual([act]);
    expect(plan.rooms.map(({ name, messages }) => [name, messages.length])).toEqual([[room?.name, 1]]);
    expect(plan.failpoints).toEqual([]);
    expect(plan.processes).toBe(2);
    expect(Object.values(plan.platform).every((probability) => probability === 0)).toBe(true);
    expect(plan.store.runThenFail).toBe(BIG.store.runThenFail);
  });

  it('is not cut down to one that breaks another promise', async () => {
    const shrunk = await shrink(BIG, async (plan) => (plan.rooms.length === BIG.rooms.length ? 'R2: x' : 'R6: y'));
    expect(shrunk?.plan.rooms).toHaveLength(BIG.rooms.length);
    expect(shrunk?.violation).toBe('R2: x');
  });

  it('that does not fail is not cut down', async () => {
    expect(await shrink(BIG, async () => undefined)).toBeNull();
  });
});

describe('a plan', () => {
  it('is all that there is to a world: written down and read again it gives the same trace', async () => {
    const kept = readPlan(JSON.stringify(BIG));
    expect((await runPlan(kept)).trace).toBe((await runPlan(BIG)).trace);
  });

  it('that lost one room leaves what the others publish and how their requests fare as it was', async () => {
    const quiet = (plan: Plan): Plan => ({ ...plan, acts: [], failpoints: [], mode: 'safety' });
    const lines = async (plan: Plan): Promise<string[]> => {
      const told: string[] = [];
      await runPlan(quiet(plan), { onLine: (line) => told.push(line) });
      return told.filter((line) => line.includes('room-1/1 attempt 1 left')).map((line) => line.slice(9));
    };
    const alone = { ...BIG, rooms: BIG.rooms.slice(0, 1) };
    expect(await lines(alone)).toEqual(await lines(BIG));
  });

  it('of another kind is refused', () => {
    expect(() => readPlan('{}')).toThrow('holds no plan');
    const strange = { ...BIG, failpoints: [{ name: 'nowhere', effect: 'crash', forMs: 1, probability: 1, most: 1 }] };
    expect(() => readPlan(JSON.stringify(strange))).toThrow('there is no failpoint nowhere');
  });
});

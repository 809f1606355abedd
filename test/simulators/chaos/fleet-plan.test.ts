import { describe, expect, it } from 'vitest';
import { FLEET_SORTS } from '../../../simulators/chaos/fleet-plan.ts';
import { makePlan, type PlannedFault } from '../../../simulators/chaos/plan.ts';

const SEEDS = Array.from({ length: 20 }, (_, seed) => seed);
const FLEET_ONLY = [
  'zombie_at_write',
  'rolling_restart',
  'twin',
  'scale',
  'intakes_change',
  'postgres_stall',
  'redis_flush',
  'redis_kill',
  'redis_freeze',
];

const planOf = (seed: number, minutes: number): PlannedFault[] => makePlan({ seed, minutes, sorts: FLEET_SORTS });

describe("A fleet's plan", () => {
  it('holds at least 60 faults in 20 minutes, with each that only a fleet has, and those of the link to Redis', () => {
    for (const seed of SEEDS) {
      const plan = planOf(seed, 20);
      expect(plan.length).toBeGreaterThanOrEqual(60);
      const kinds = new Set<string>(plan.map(({ kind }) => kind));
      expect(FLEET_ONLY.filter((kind) => !kinds.has(kind))).toEqual([]);
      expect(plan.some((fault) => 'link' in fault && fault.link === 'redis')).toBe(true);
    }
  });

  it('kills workers, webhook servers and intakes, and means a worker wherever any would do', () => {
    const chosen = SEEDS.flatMap((seed) => planOf(seed, 20)).flatMap((fault) =>
      fault.kind.startsWith('engine_') && 'engine' in fault ? [fault.engine.of] : [],
    );
    expect([...new Set(chosen)].sort()).toEqual(['holders', 'intake', 'webhook', 'worker']);
  });

  it('never has two faults at once on the workers, nor on the other processes', () => {
    const onFronts = (fault: PlannedFault) =>
      'engine' in fault && (fault.engine.of === 'webhook' || fault.engine.of === 'intake');
    const workers = /^(engine_|zombie_|rolling_|twin|scale)/;
    const both = /^(rolling_|engine_kill_all)/;
    for (const seed of SEEDS) {
      const plan = planOf(seed, 10);
      const groups = [
        plan.filter((fault) => workers.test(fault.kind) && !onFronts(fault)),
        plan.filter((fault) => onFronts(fault) || fault.kind === 'intakes_change' || both.test(fault.kind)),
      ];
      for (const group of groups) {
        for (const [index, { atMs, forMs }] of group.entries()) {
          expect(group[index + 1]?.atMs ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(atMs + forMs);
        }
      }
    }
  });
});

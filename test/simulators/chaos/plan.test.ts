import { describe, expect, it } from 'vitest';
import { clockText, describeFault, KINDS, LINKS, makePlan, type PlannedFault } from '../../../simulators/chaos/plan.ts';

const SEEDS = Array.from({ length: 30 }, (_, seed) => seed);

const kindsOf = (plan: readonly PlannedFault[]) => new Set(plan.map(({ kind }) => kind));

describe('A plan of faults', () => {
  it('is the same for the same seed and length, and another for another seed', () => {
    expect(makePlan({ seed: 7, minutes: 3 })).toEqual(makePlan({ seed: 7, minutes: 3 }));
    expect(makePlan({ seed: 7, minutes: 3 })).not.toEqual(makePlan({ seed: 8, minutes: 3 }));
  });

  it('holds at least 60 faults in 20 minutes, each kind among them, on each link', () => {
    for (const seed of SEEDS) {
      const plan = makePlan({ seed, minutes: 20 });
      expect(plan.length).toBeGreaterThanOrEqual(60);
      expect([...kindsOf(plan)].sort()).toEqual([...KINDS].sort());
      const links = new Set(plan.flatMap((fault) => ('link' in fault ? [fault.link] : [])));
      expect([...links].sort()).toEqual([...LINKS].sort());
    }
  });

  it('counts its faults, puts them in order of time, and ends them before the run does', () => {
    for (const seed of SEEDS) {
      const plan = makePlan({ seed, minutes: 1.4 });
      expect(plan.length).toBeGreaterThan(0);
      expect(plan.map(({ number }) => number)).toEqual(plan.map((_, index) => index + 1));
      expect(plan.map(({ atMs }) => atMs)).toEqual(plan.map(({ atMs }) => atMs).sort((a, b) => a - b));
      for (const { atMs, forMs } of plan) {
        expect(forMs).toBeGreaterThanOrEqual(0);
        expect(atMs + forMs).toBeLessThanOrEqual(1.4 * 60_000);
      }
    }
  });

  it('lets several overlap, and leaves the end of each half minute alone', () => {
    const plan = makePlan({ seed: 1, minutes: 10 });
    const overlapping = plan.filter((fault, index) => {
      const before = plan[index - 1];
      return before !== undefined && before.atMs + before.forMs > fault.atMs;
    });
    expect(overlapping.length).toBeGreaterThan(10);
    for (const { atMs, forMs } of plan) expect((atMs % 30_000) + forMs).toBeLessThanOrEqual(25_000);
  });

  it('never treats one link, one process or Postgres in two ways at once', () => {
    for (const seed of SEEDS) {
      const plan = makePlan({ seed, minutes: 5 });
      const on = (group: (fault: PlannedFault) => boolean) => plan.filter(group);
      const groups = [
        on(({ kind }) => kind.startsWith('engine_')),
        on(({ kind }) => /^(postgres_|table_lock|row_lock)/.test(kind)),
        on(({ kind }) => kind.startsWith('pubsub_')),
        ...LINKS.map((link) => on((fault) => 'link' in fault && fault.link === link)),
      ];
      for (const group of groups) {
        for (const [index, { atMs, forMs }] of group.entries()) {
          expect(group[index + 1]?.atMs ?? Number.POSITIVE_INFINITY).toBeGreaterThanOrEqual(atMs + forMs);
        }
      }
    }
  });

  it('leaves out what the machine cannot do', () => {
    const plan = makePlan({ seed: 1, minutes: 20, without: ['clock_step'] });
    expect(kindsOf(plan).has('clock_step')).toBe(false);
    expect(plan.length).toBeGreaterThanOrEqual(60);
  });

  it('says each of its faults in one line', () => {
    const fault: PlannedFault = {
      kind: 'link_black_hole',
      number: 3,
      atMs: 65_000,
      forMs: 2_500,
      link: 'platform',
      engine: { of: 'holders', draw: 0.2 },
      directions: ['up', 'down'],
      end: 'heals',
    };
    expect(describeFault(fault)).toBe(
      '1:05 link_black_hole link platform, engine that holds, directions up+down, end heals, for 2.5 s',
    );
    expect(clockText(600_000)).toBe('10:00');
  });
});

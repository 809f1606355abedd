/** What goes wrong in a fleet: what goes wrong anyway, and what several processes by roles and a Redis make possible. */
import { type Chance, type EngineChoice, holders, linkOf, type Role, SORTS, type Sort, sort } from './plan.ts';

const of = (role: Role, chance: Chance): EngineChoice => ({ of: role, draw: chance.random() });

/** More than one process is busy with these for as long as they last. */
const ROLLING_MS = [12_000, 14_000] as const;

const FLEET_ONLY: readonly Sort[] = [
  sort(3, ['fronts'], [0, 0], (c) => ({ kind: 'engine_kill', engine: of('webhook', c), awayMs: c.whole(0, 2_000) })),
  sort(3, ['fronts'], [0, 0], (c) => ({ kind: 'engine_kill', engine: of('intake', c), awayMs: c.whole(0, 2_000) })),
  sort(1, ['fronts'], [0, 0], (c) => ({ kind: 'engine_freeze', engine: of('webhook', c), leases: c.one([1.5, 3]) })),
  sort(1, ['fronts'], [0, 0], (c) => ({ kind: 'engine_freeze', engine: of('intake', c), leases: c.one([1.5, 3]) })),
  sort(4, ['engines'], [0, 0], (c) => ({ kind: 'zombie_at_write', engine: holders(c), leases: c.one([2, 3, 4]) })),
  sort(3, ['engines'], [0, 0], (c) => ({ kind: 'engine_terminate', engine: holders(c), awayMs: c.whole(0, 2_000) })),
  sort(2, ['engines', 'fronts'], ROLLING_MS, () => ({ kind: 'rolling_restart' })),
  sort(2, ['engines'], [3_000, 5_000], (c) => ({ kind: 'twin', end: c.one(['terminates', 'is_killed']) })),
  sort(2, ['engines'], ROLLING_MS, () => ({ kind: 'scale' })),
  sort(3, ['fronts'], [4_000, 8_000], () => ({ kind: 'intakes_change' })),
  sort(2, ['postgres'], [1_000, 3_000], () => ({ kind: 'postgres_stall' })),
  sort(2, ['redis'], [0, 0], () => ({ kind: 'redis_flush' })),
  // Now and then it is gone for long.
  sort(3, ['redis'], [0, 0], (c) => ({ kind: 'redis_kill', awayMs: c.one([0, 500, 2_000, 8_000]) })),
  sort(2, ['redis'], [1_000, 4_000], () => ({ kind: 'redis_freeze' })),
  sort(1, linkOf, [0, 0], (c) => ({ kind: 'link_cut', link: 'redis', engine: c.engine() })),
  sort(2, linkOf, [1_000, 5_000], (c) => ({
    kind: 'link_black_hole',
    link: 'redis',
    engine: c.engine(),
    directions: c.one([['up', 'down'], ['up'], ['down']] as const),
    end: c.one(['heals', 'cuts']),
  })),
  sort(1, linkOf, [2_000, 5_000], (c) => ({
    kind: 'link_latency',
    link: 'redis',
    engine: c.engine(),
    ms: c.whole(200, 2_000),
  })),
];

/** Any engine is any worker there: the other processes have faults of their own. */
function ofWorkers(each: Sort): Sort {
  return {
    ...each,
    uses: (fault) => (fault.kind === 'engine_kill_all' ? ['engines', 'fronts'] : each.uses(fault)),
    draw: (chance) => {
      const fault = each.draw(chance);
      if (!fault.kind.startsWith('engine_') || !('engine' in fault) || fault.engine.of !== 'all') return fault;
      return { ...fault, engine: { ...fault.engine, of: 'worker' } };
    },
  };
}

export const FLEET_SORTS: readonly Sort[] = [...SORTS.map(ofWorkers), ...FLEET_ONLY];

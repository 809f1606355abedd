import { describe, expect, it } from 'vitest';
import { reportOf, wrongWith } from '../../../simulators/fleet/report.ts';
import {
  type FleetFigures,
  type PhaseFigures,
  runScript,
  type ScriptSettings,
} from '../../../simulators/fleet/script.ts';
import { quantileOverRooms, Service } from '../../../simulators/fleet/standstill.ts';

const SMALL: ScriptSettings = {
  seed: 7,
  few: 3,
  many: 20,
  shards: 512,
  rooms: 20_000,
  signals: true,
  leaseMs: 10_000,
  renewEveryMs: 2_000,
  pollEveryMs: 250,
  sendTimeoutMs: 5_000,
};

function run(settings: Partial<ScriptSettings> = {}): Promise<FleetFigures> {
  return runScript({ ...SMALL, ...settings }, () => undefined);
}

describe('a fleet', () => {
  it.each([true, false])('comes and goes as it should, signals %s', { timeout: 120_000 }, async (signals) => {
    const figures = await run({ signals });
    expect(wrongWith(figures)).toEqual([]);
    const killed = figures.phases.find(({ name }) => name === 'one is killed');
    expect(killed?.standstill.death?.p99).toBeGreaterThan(SMALL.leaseMs - SMALL.renewEveryMs - 500);
    expect(killed?.standstill.death?.p99).toBeLessThan(SMALL.leaseMs + 1_000);
    expect(reportOf(figures)).toContain('rolling restart');
  });

  it('is the same for the same seed', { timeout: 120_000 }, async () => {
    const [one, other] = [await run({ many: 10, shards: 128 }), await run({ many: 10, shards: 128 })];
    expect(other.events).toBe(one.events);
    expect(reportOf(other)).toBe(reportOf(one));
  });
});

describe('a fleet is not as it should be', () => {
  it('where shards are uneven, stand still for too long, or move without need, or anything is broken', async () => {
    const figures = await run({ many: 10, shards: 128 });
    const spoilt = (name: string, spoil: Partial<PhaseFigures>): readonly string[] =>
      wrongWith({
        ...figures,
        phases: figures.phases.map((phase) => (phase.name === name ? { ...phase, ...spoil } : phase)),
      });
    const dead = { rooms: 10, p50: 9_000, p99: 11_001, max: 12_000 };
    expect(spoilt('one joins', { unevenness: { shards: 1.07, rooms: 1.1 } })).toEqual(['one joins: max/mean 1.070']);
    expect(spoilt('one is killed', { standstill: { death: dead, 'hand-over': null } })).toEqual([
      'one is killed: rooms of the dead stand still for 11.0 s (p99)',
    ]);
    expect(spoilt('one leaves', { moved: 120, least: 100 })).toEqual(['one leaves: 120 shards moved, not 100']);
    expect(wrongWith({ ...figures, broken: ['two workers on one shard'] })).toEqual(['two workers on one shard']);
  });
});

describe('standstill', () => {
  it('lasts from the end of one worker to the next, and tells who works where somebody does already', () => {
    const service = new Service(Uint32Array.of(10, 30));
    expect(service.resumed(0, 'a', 0)).toBeNull();
    expect(service.resumed(1, 'a', 0)).toBeNull();
    expect(service.idle).toBe(0);
    expect(service.resumed(0, 'b', 5)).toBe('a');
    service.stopped(0, 'a', 100, 'hand-over');
    service.lost('a', 150);
    expect(service.idle).toBe(2);
    expect(service.resumed(0, 'b', 300)).toBeNull();
    expect(service.resumed(1, 'a', 350)).toBeNull();
    const { standstills, moved } = service.take();
    expect(moved).toBe(1);
    // The owner died while it was handing over: the rooms stand still since it stopped.
    expect(standstills).toEqual([
      { cause: 'death', ms: 200, rooms: 10 },
      { cause: 'death', ms: 200, rooms: 30 },
    ]);
    expect(service.unevenness(2)).toEqual({ shards: 1, rooms: 1.5 });
  });

  it('has its quantiles over rooms, not over shards', () => {
    const standstills = [1, 2, 3].map((n) => ({ cause: 'death' as const, ms: n * 100, rooms: n === 1 ? 98 : 1 }));
    expect([0.5, 0.99, 1].map((part) => quantileOverRooms(standstills, part))).toEqual([100, 200, 300]);
    expect(quantileOverRooms([], 0.5)).toBeNull();
  });
});

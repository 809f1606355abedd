import { describe, expect, it } from 'vitest';
import type { UnitCosts } from '../../../simulators/plan/costs.ts';
import { Timeline } from '../../../simulators/plan/machine.ts';
import { newRoom, System, type SystemSpec } from '../../../simulators/plan/model.ts';
import { type Load, lognormal, simulate, uniform } from '../../../simulators/plan/simulate.ts';
import { WorldChance } from '../../../simulators/world/chance.ts';
import { COSTS } from './costs.ts';

const SPEC: SystemSpec = {
  engines: 1,
  place: { kind: 'apart', postgresCores: 4 },
  door: 'pubsub',
  window: 5_000,
  lanes: 2,
  permits: 1_000,
  maxRows: 500,
  lingerMs: 2,
  acceptanceLingerMs: 0,
  roundTripMs: 0.5,
  syncMs: 0.5,
  signalMs: 1,
  ackTimeoutMs: 2_000,
  answerMs: () => 20,
  ackMs: () => 100,
  loss: 0,
  batch: { size: 1, lingerMs: 0 },
};
const steady = (rooms: number, perSecond: number, seconds: number, burst = 2): Load => ({
  rooms,
  burst,
  arrival: { kind: 'steady', perSecond, seconds, inTurn: false },
});
const atOnce = (rooms: number, perRoom: number): Load => ({ rooms, burst: 1, arrival: { kind: 'at_once', perRoom } });

describe('a load through the model', () => {
  it('is the same again with the same seed, and another with another', () => {
    const run = (seed: number) => simulate({ ...SPEC, ackMs: uniform(0, 300) }, COSTS, steady(200, 200, 5), seed);
    expect(run(1)).toEqual(run(1));
    expect(run(2)).not.toEqual(run(1));
  });

  it('costs what its parts cost', () => {
    const outcome = simulate(SPEC, COSTS, atOnce(100, 20));
    const { engine, postgres } = COSTS;
    const ownUs = engine.intakeUs.pubsub + engine.messageUs + engine.callUs;
    const engineUs = ownUs + outcome.statementsPerMessage * engine.statementUs;
    expect(outcome.messages).toBe(2_000);
    expect(outcome.engineUs).toBeCloseTo(engineUs, -1);
    const appends = 1 / outcome.rowsPerAppend;
    const writes = outcome.statementsPerMessage - appends;
    const postgresUs =
      postgres.appendRowUs +
      appends * postgres.appendStatementUs +
      writes * postgres.writeStatementUs +
      outcome.writeRowsPerMessage * postgres.writeRowUs;
    expect(outcome.postgresUs / postgresUs).toBeCloseTo(1, 2);
  });

  it('passes as much as the core of its process bears, and no more', () => {
    const outcome = simulate({ ...SPEC, ackMs: () => 0, answerMs: () => 0 }, COSTS, atOnce(1_000, 10));
    expect((outcome.perSecond * outcome.engineUs) / 1e6).toBeGreaterThan(0.9);
    expect((outcome.perSecond * outcome.engineUs) / 1e6).toBeLessThanOrEqual(1.001);
  });

  it('sends the next message of a room after the ack of the one before, or after X', () => {
    const timeline = new Timeline();
    const spec = { ...SPEC, loss: 0.5, ackTimeoutMs: 300 };
    const system = new System(timeline, spec, COSTS, new WorldChance(3));
    const rooms = Array.from({ length: 20 }, (_, number) => newRoom(number, spec));
    for (const room of rooms) {
      for (let index = 0; index < 5; index++) {
        const never = Number.NaN;
        const times = { sentAt: never, answeredAt: never, ackAt: never, givenUpAt: never, settledAt: never };
        system.publish(room, { isFirst: false, publishedAt: 0, ...times });
      }
    }
    timeline.run(60_000, () => system.settled === 100);
    const pairs = rooms.flatMap(({ all }) => all.slice(1).map((next, index) => [all[index], next] as const));
    expect(pairs).toHaveLength(80);
    expect(pairs.some(([one]) => Number.isNaN(one?.ackAt))).toBe(true);
    for (const [one, next] of pairs) {
      const over = Number.isNaN(one?.ackAt) ? (one?.answeredAt ?? Number.NaN) + 300 : (one?.ackAt ?? Number.NaN);
      expect(one?.settledAt).toBeGreaterThanOrEqual(over);
      expect(next.sentAt).toBeGreaterThanOrEqual(one?.settledAt ?? Number.NaN);
      expect(next.sentAt - over).toBeLessThan(50);
    }
  });

  it('holds as many rooms up by lost acks as arrive in X', () => {
    const { blockedRooms } = simulate({ ...SPEC, loss: 0.2 }, COSTS, steady(5_000, 500, 20, 1));
    // 100 of them a second, 2 s each; no room has many messages.
    expect(blockedRooms / 200).toBeGreaterThan(0.85);
    expect(blockedRooms / 200).toBeLessThan(1.1);
  });

  it('has fewer statements, and larger ones, the more arrives', () => {
    const [little, much] = [200, 4_000].map((rate) => simulate(SPEC, COSTS, steady(20_000, rate, 4)));
    expect(much?.rowsPerWrite).toBeGreaterThan(2 * (little?.rowsPerWrite ?? Number.NaN));
    expect(much?.statementsPerMessage).toBeLessThan((little?.statementsPerMessage ?? Number.NaN) / 2);
    expect(much?.engineUs).toBeLessThan(little?.engineUs ?? Number.NaN);
  });

  it('has longer gaps where the ack comes to another process than the one that holds the room', () => {
    const [one, four] = [1, 4].map((engines) => simulate({ ...SPEC, engines }, COSTS, steady(1_000, 200, 5)));
    const more = (four?.gapMs.p50 ?? Number.NaN) - (one?.gapMs.p50 ?? Number.NaN);
    // A signal, a statement that reads and one that claims.
    expect(more).toBeGreaterThan(2);
    expect(more).toBeLessThan(10);
  });

  it('leaves messages behind where more arrives than passes', () => {
    const outcome = simulate(SPEC, COSTS, steady(50_000, 30_000, 2));
    expect(outcome.engineLoad).toBeGreaterThan(0.97);
    expect(outcome.backlog).toBeGreaterThan(10_000);
  });

  it('waits for permits where there are few', () => {
    const outcome = simulate({ ...SPEC, permits: 4 }, COSTS, atOnce(50, 4));
    // Four at a time, 20 ms each.
    expect(outcome.perSecond).toBeLessThan(200);
    expect(outcome.messages).toBe(200);
  });

  it('shares calls of webhooks', () => {
    const costs: UnitCosts = { ...COSTS, engine: { ...COSTS.engine, callUs: 100 } };
    const [single, batched] = [1, 10].map((size) =>
      simulate({ ...SPEC, batch: { size, lingerMs: 5 } }, costs, atOnce(500, 4)),
    );
    const less = (single?.engineUs ?? Number.NaN) - (batched?.engineUs ?? Number.NaN);
    expect(less).toBeGreaterThan(70);
    expect(less).toBeLessThan(110);
  });

  it('is slower, and costs the same, where others use the machine', () => {
    const together = (othersShare: number): SystemSpec => ({
      ...SPEC,
      place: { kind: 'together', cores: 2, othersShare },
    });
    const [alone, beside] = [0, 0.5].map((share) => simulate(together(share), COSTS, atOnce(1_000, 10)));
    expect(beside?.perSecond).toBeLessThan(0.9 * (alone?.perSecond ?? Number.NaN));
    expect((beside?.engineUs ?? Number.NaN) / (alone?.engineUs ?? Number.NaN)).toBeCloseTo(1, 1);
  });
});

describe('a lognormal delay', () => {
  it('has the quantiles that it was given', () => {
    const chance = new WorldChance(1);
    const draw = lognormal({ p50: 100, p99: 400 });
    const values = Array.from({ length: 20_000 }, () => draw(chance)).sort((a, b) => a - b);
    expect((values[10_000] ?? Number.NaN) / 100).toBeCloseTo(1, 1);
    expect((values[19_800] ?? Number.NaN) / 400).toBeCloseTo(1, 1);
  });

  it('may be none, or always the same', () => {
    const chance = new WorldChance(1);
    expect(lognormal({ p50: 0, p99: 0 })(chance)).toBe(0);
    expect(lognormal({ p50: 7, p99: 7 })(chance)).toBe(7);
  });
});

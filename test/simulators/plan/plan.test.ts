import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import type { UnitCosts } from '../../../simulators/plan/costs.ts';
import type { Inputs } from '../../../simulators/plan/options.ts';
import { DEFAULTS, inputsOf } from '../../../simulators/plan/options.ts';
import { type Plan, plan } from '../../../simulators/plan/sizing.ts';
import { COSTS } from './costs.ts';

const MAIN = fileURLToPath(new URL('../../../simulators/plan/main.ts', import.meta.url));
const SMALL: Partial<Inputs> = { rooms: 1_000, perMinute: 6, ackTimeoutMs: 2_000, ackP99Ms: 1_500 };
const SLOW_ANSWERS = { rooms: 10_000, perMinute: 6, sendP50Ms: 20_000, sendP99Ms: 30_000, workers: 1 };
const planned = (inputs: Partial<Inputs> = {}): Plan => plan({ ...DEFAULTS, ...SMALL, ...inputs }, COSTS);
/** Much dearer, so that little is already too much. */
const DEAR: UnitCosts = {
  ...COSTS,
  engine: { ...COSTS.engine, messageUs: 3_000 },
  postgres: { ...COSTS.postgres, writeRowUs: 1_000 },
};
const codes = ({ warnings }: Plan): string[] => warnings.map(({ code }) => code);

describe('a plan', () => {
  it('has nothing against a small load, for which one process is enough', () => {
    const { deployment, expected, warnings, perSecond } = planned();
    expect(perSecond).toBe(100);
    expect(warnings).toEqual([]);
    expect([deployment.processes, deployment.postgres.cores, deployment.redis]).toEqual([1, 2, null]);
    expect(deployment.byRole).toEqual({ intake: 1, webhook: 1, worker: 1 });
    expect(expected.gapMs.p50).toBeGreaterThan(1);
    expect(expected.gapMs.p99).toBeLessThan(50);
    expect(expected.headroom).toBeGreaterThan(10);
  });

  it('has more of everything for more messages, and passes as many times the load as it was told to', () => {
    const load = { rooms: 2_000, perMinute: 24, utilisation: 0.05 };
    const much = planned(load);
    expect(much.deployment.processes).toBeGreaterThan(1);
    expect(much.deployment.redis?.signalsPerSecond).toBeGreaterThan(700);
    expect(much.expected.headroom).toBeGreaterThan(18);
    expect(much.expected.engineLoad).toBeLessThan(0.5);
    const { postgres } = much.deployment;
    // 300 bytes instead of 250, written twice.
    expect(postgres.walMbPerSecond).toBeCloseTo((800 * 3_100) / 1_048_576);
    expect(postgres.storageGbPerDay).toBeCloseTo((800 * 12 * 3_600 * 650) / 1_048_576 / 1_024);
    expect(postgres.storageGb).toBeCloseTo(postgres.storageGbPerDay * 30);
  });

  it('says how many rooms lost acks hold up', () => {
    const { lostAcks } = planned({ rooms: 20_000, perMinute: 1.5, loss: 0.12 });
    // 500/s × 0.12 × 2 s; half of the messages stand behind another that came with them.
    expect(lostAcks.blockedRooms).toBeCloseTo(120);
    expect(lostAcks.behindLost).toBeCloseTo(1 - 0.94 * (1 - 120 / 20_000));
    expect(planned({ loss: 0 }).lostAcks).toMatchObject({ blockedRooms: 0, behindLost: 0 });
  });

  it('says what one room can take: a message in its gap, its answer and the wait for its ack', () => {
    const { room } = planned({ ackP50Ms: 900, ackP99Ms: 900, sendP50Ms: 100, sendP99Ms: 100, loss: 0 });
    expect(room.most).toBeGreaterThan(0.98);
    expect(room.most).toBeLessThan(1);
    expect(planned({ roomEveryMs: 6_000 }).room.most).toBeCloseTo(1 / 6);
  });

  it.each<[string, Partial<Inputs>, string, string | null]>([
    ['a room gets more than it can take', { perMinute: 120, rooms: 50 }, 'room_limit', 'R6'],
    ['a room gets nearly as much', { perMinute: 70, rooms: 50 }, 'room_limit', null],
    ['channels get more than they may send', { channelLimit: 80 }, 'channel_limit', 'R6'],
    ['they get nearly as much', { channelLimit: 60, channels: 2 }, 'channel_limit', null],
    ['X is shorter than acks take', { ackTimeoutMs: 1_000 }, 'ack_timeout_short', null],
    ['more requests are in flight than a channel may have', SLOW_ANSWERS, 'sends_queue', null],
  ])('warns where %s', (_, inputs, code, promise) => {
    const { warnings } = planned(inputs);
    expect(warnings).toContainEqual(expect.objectContaining({ code, promise }));
  });

  it.each<[string, Partial<Inputs>]>([
    ['processes', { rooms: 4_000, workers: 1 }],
    ["Postgres' cores", { rooms: 4_000, postgresCores: 1 }],
  ])('warns where %s are too few', (what, inputs) => {
    const { warnings } = plan({ ...DEFAULTS, ...SMALL, ...inputs }, DEAR);
    expect(warnings).toContainEqual(expect.objectContaining({ code: 'capacity', promise: 'R6' }));
    expect(warnings.map(({ text }) => text).join()).toContain(what);
  });

  it('does not warn of what is far from its limit', () => {
    expect(codes(planned({ channelLimit: 200, roomEveryMs: 3_000 }))).toEqual([]);
  });

  it('tells how many acks come after X', () => {
    const { lostAcks } = planned({ ackP50Ms: 1_000, ackP99Ms: 5_000, ackTimeoutMs: 5_000, loss: 0 });
    expect(lostAcks.lateAcks).toBeCloseTo(0.01, 2);
    expect(planned({ ackP50Ms: 1_000, ackP99Ms: 5_000, ackTimeoutMs: 1_000, loss: 0 }).lostAcks.lateAcks).toBeCloseTo(
      0.5,
    );
  });
});

describe('what is asked for', () => {
  const faultsOf = (given: Record<string, unknown>): string[] => {
    try {
      inputsOf(given);
    } catch (error) {
      const { code, faults } = error as { code: string; faults: { path: string; rule: string }[] };
      expect(code).toBe('field_invalid');
      return faults.map(({ path, rule }) => `${path}: ${rule}`);
    }
    return [];
  };

  it('has defaults for all of it', () => {
    expect(DEFAULTS).toMatchObject({ rooms: 25_000, workers: null, postgresCores: null, door: 'pubsub' });
    expect(inputsOf({ rooms: '7', perMinute: '0.5' })).toEqual({ ...DEFAULTS, rooms: 7, perMinute: 0.5 });
  });

  it.each([
    [{ rooms: 'many' }, '--rooms: a whole number from 1 to 10,000,000'],
    [{ rooms: '' }, '--rooms: a whole number from 1 to 10,000,000'],
    [{ rooms: '1.5' }, '--rooms: a whole number from 1 to 10,000,000'],
    [{ rooms: '-1' }, '--rooms: a whole number from 1 to 10,000,000'],
    [{ loss: '12' }, '--loss: a number from 0 to 1'],
    [{ ackTimeout: 'NaN' }, '--ack-timeout: a number from 1 to 86,400,000'],
    [{ ackP50: '500', ackP99: '400' }, '--ack-p99: at least --ack-p50'],
    [{ sendP99: '1' }, '--send-p99: at least --send-p50'],
    [{ door: 'kafka' }, '--door: pubsub or http'],
    [{ workers: '0' }, '--workers: a whole number from 1 to 10,000'],
  ])('is refused as %j', (given, fault) => {
    expect(faultsOf(given)).toEqual([fault]);
  });

  it('is told all that is wrong with it at once', () => {
    expect(faultsOf({ rooms: '0', loss: '2', door: '' })).toHaveLength(3);
  });
});

describe('the command', () => {
  const run = async (...args: string[]): Promise<{ status: number; out: string; err: string }> => {
    try {
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [MAIN, ...args]);
      return { status: 0, out: stdout, err: stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { status: code, out: stdout, err: stderr };
    }
  };

  it('prints a plan by the costs of this version', async () => {
    const { status, out, err } = await run('--rooms', '500', '--ack-timeout', '1000', '--ack-p99', '900');
    expect([status, err]).toEqual([0, '']);
    expect(out).toMatch(/processes +1 with all roles/);
    expect(out).toMatch(/ack → next send +[\d.]+ ms \(p50\), [\d.]+ ms \(p99\)/);
    expect(out).toContain('nothing speaks against it');
  });

  it('prints it as JSON', async () => {
    const { out } = await run('--json', '--rooms', '500', '--ack-timeout', '1000', '--channel-limit', '10');
    const { inputs, plan: made } = JSON.parse(out) as { inputs: Inputs; plan: Plan };
    expect(inputs.rooms).toBe(500);
    expect(codes(made)).toContain('channel_limit');
  });

  it('says what is wrong by its code, and ends with 1', async () => {
    const [bad, missing] = await Promise.all([run('--rooms', 'x', '--loss', '2'), run('--costs', '/nowhere.json')]);
    expect([bad.status, missing.status]).toEqual([1, 1]);
    expect(bad.err.trim().split('\n')).toEqual([
      'field_invalid: --rooms must be a whole number from 1 to 10,000,000.',
      'field_invalid: --loss must be a number from 0 to 1.',
    ]);
    expect(missing.err).toMatch(/^config_invalid: \/nowhere\.json: it cannot be read/);
  });
});

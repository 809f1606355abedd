import { describe, expect, it } from 'vitest';
import { runWorld, type WorldReport } from '../../../simulators/world/world.ts';

const SEEDS = 150;

describe('the seeded world', () => {
  it(`keeps every promise in ${SEEDS} worlds of crashes, outages, lost answers and misbehaving acks`, async () => {
    const reports: WorldReport[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) reports.push(await runWorld(seed));
    expect(reports.flatMap(({ seed, violations }) => violations.map((one) => `seed ${seed}: ${one}`))).toEqual([]);

    // A pass must not be empty: work was done, and what breaks engines did happen.
    const seen = new Map<string, number>();
    for (const { faults } of reports) for (const [kind, count] of faults) seen.set(kind, (seen.get(kind) ?? 0) + count);
    for (const kind of FAULTS) expect(seen.get(kind) ?? 0, kind).toBeGreaterThan(5);
    const phases = new Set(reports.flatMap(({ cells }) => [...cells.keys()]));
    expect([...phases].sort()).toEqual(expect.arrayContaining(PHASES));
    expect(reports.reduce((sum, { messages }) => sum + messages, 0)).toBeGreaterThan(SEEDS * 8);
    expect(reports.reduce((sum, { duplicates }) => sum + duplicates, 0)).toBeGreaterThan(0);
  });

  it('gives the same trace for the same seed, and another for another', async () => {
    const traces: string[] = [];
    for (const seed of [3, 3, 4]) traces.push((await runWorld(seed)).trace);
    expect(traces[0]).toBe(traces[1]);
    expect(traces[0]).not.toBe(traces[2]);
  });
});

const FAULTS = [
  'ack_doubled',
  'ack_early',
  'ack_late',
  'ack_lost',
  'answer_dropped',
  'contradiction',
  'crash',
  'failed_status',
  'message_refusal',
  'operator_cancel',
  'pause_4000',
  'platform_black_hole',
  'platform_down',
  'platform_throttled',
  'platform_unauthorized',
  'redelivery',
  'request_held',
  'room_limit',
  'server_error_after',
  'store_outage',
  'store_run_then_fail',
];

const PHASES = [
  'awaiting_ack',
  'backing_off',
  'held:outcome_unknown',
  'idle',
  'ready',
  'sending',
  'unknown',
  'waiting:channel',
  'waiting:limit',
  'waiting:not_before',
  'waiting:paused',
];

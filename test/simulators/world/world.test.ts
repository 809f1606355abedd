import { describe, expect, it } from 'vitest';
import { FAILPOINTS } from '../../../simulators/world/failpoints.ts';
import { compareWithMute } from '../../../simulators/world/isolation.ts';
import { runRange } from '../../../simulators/world/range.ts';
import { lineOf } from '../../../simulators/world/totals.ts';

const SEEDS = 300;

describe('the seeded world', () => {
  it(`keeps every promise in ${SEEDS} worlds, and none of its faults is missing`, { timeout: 60_000 }, async () => {
    const violations: string[] = [];
    const totals = await runRange(1, SEEDS, 1, ({ seed, violation }) => violations.push(`seed ${seed}: ${violation}`));
    expect(violations).toEqual([]);

    // A pass must not be empty: work was done, and what breaks engines did happen.
    expect(totals.messages).toBeGreaterThan(SEEDS * 8);
    for (const mode of ['safety', 'liveness']) expect(totals.modes[mode], mode).toBeGreaterThan(SEEDS / 5);
    for (const kind of FAULTS) expect(totals.faults[kind] ?? 0, kind).toBeGreaterThan(0);
    for (const name of FAILPOINTS) expect(totals.failpoints[name] ?? 0, name).toBeGreaterThan(0);
    for (const kind of SEEN) expect(totals.counts[kind] ?? 0, kind).toBeGreaterThan(0);
    expect(Object.keys(totals.cells)).toEqual(expect.arrayContaining(CELLS));
    expect(lineOf(totals)).toContain(`${SEEDS} seeds`);
  });

  it('tells the same of a range whether one thread runs it or two', async () => {
    const one = await runRange(1, 60, 1, () => undefined);
    const two = await runRange(1, 60, 2, () => undefined);
    expect(lineOf(two)).toBe(lineOf(one));
  });

  it('lets no room wait for the acks of another channel (R5)', async () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const { compared, worstDelayMs, muteMs, violations } = await compareWithMute(seed);
      expect(violations).toEqual([]);
      expect(compared).toBeGreaterThan(1);
      expect(muteMs).toBeGreaterThan(10_000);
      // What rooms share is the database: a statement of each of the added rooms may be in the way.
      expect(worstDelayMs, `seed ${seed}`).toBeLessThan(100);
    }
  });
});

const FAULTS = [
  'account_refusal',
  'ack_doubled',
  'ack_early',
  'ack_late',
  'ack_lost',
  'ack_outage_lost',
  'answer_dropped',
  'bad_batch',
  'channel_refusal',
  'connect_failure',
  'contradiction',
  'copy_recognised',
  'crash',
  'cut_from',
  'cut_to',
  'failed_status',
  'feed_conflict',
  'feed_duplicated',
  'feed_moved',
  'feed_overlapped',
  'feed_redelivered',
  'future_watermark',
  'lasting_dead_process',
  'lasting_paused_process',
  'looked_up',
  'message_refusal',
  'mute',
  'operator_cancel',
  'operator_pause',
  'operator_resume',
  'operator_retry',
  'operator_skip',
  'pause',
  'pause_beyond_lease',
  'permanent_refusal',
  'platform_black_hole',
  'platform_down',
  'platform_throttled',
  'platform_unauthorized',
  'replace',
  'request_dropped',
  'request_held',
  'room_limit',
  'server_error_after',
  'server_error_before',
  'signal_doubled',
  'signal_late',
  'signal_lost',
  'signals_down',
  'stop',
  'store_busy',
  'store_cut_from',
  'store_cut_to',
  'store_down',
  'store_error_after',
  'store_error_before',
  'store_executed_late',
  'store_lost',
  'store_outage',
  'store_stalled',
  'stray_foreign',
  'stray_no_reference',
  'stray_unknown_id',
  'wall_step',
];

const SEEN = [
  'again_after_nack',
  'again_after_refused',
  'again_after_take_over',
  'again_after_unknown',
  'channel_slowed',
  'channel_stopped',
  'copies',
  'late_by_network',
  'late_by_stale_sender',
  'order_skipped',
  'parked',
  'settled_acked',
  'settled_assumed',
  'settled_cancelled',
  'settled_expired',
  'settled_failed',
  'settled_skipped',
  'settled_superseded',
  'superseded_after_settling',
  'superseded_while_tried',
  'superseded_while_waiting',
  'take_overs',
  'write_conflict',
  'write_fenced',
];

const CELLS = [
  'awaiting_ack×ack',
  'awaiting_ack×cancel',
  'awaiting_ack×deadline_due',
  'awaiting_ack×nack',
  'awaiting_ack×pause',
  'awaiting_ack×superseded',
  'backing_off×permit_granted',
  'held×retry',
  'idle×pause',
  'idle×permit_granted',
  'ready×permit_granted',
  'sending×ack',
  'sending×attempt_accepted',
  'sending×attempt_refused',
  'sending×attempt_unknown',
  'sending×cancel',
  'sending×superseded',
  'sending×taken_over',
  'unknown×ack',
  'unknown×attempt_accepted',
  'unknown×deadline_due',
  'waiting×deadline_due',
  'waiting×permit_granted',
  'waiting×resume',
];

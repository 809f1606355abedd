import { describe, expect, it } from 'vitest';
import { demoVerdict } from '../../../simulators/demo/verdict.ts';
import type { Verdict } from '../../../simulators/oracle/types.ts';
import { RUN, verdictOf } from './made-up.ts';

const judged = (roomline: Verdict) =>
  demoVerdict(RUN, { roomline, atOnce: verdictOf({ swaps: { total: 9, rooms: 3 } }), pause: verdictOf({}) });

describe('the verdict of a run', () => {
  it('is clean when everything was delivered once and in order', () => {
    const verdict = judged(verdictOf({}));
    expect(verdict).toMatchObject({ clean: true, problems: [], everythingAtOnce: { swaps: 9, roomsWithSwaps: 3 } });
  });

  it('is clean with swaps after assumed messages, and with as many duplicates as unknown outcomes', () => {
    const swapped = verdictOf({ swaps: { total: 2, afterAssumed: 2, rooms: 2 } });
    expect(judged(swapped)).toMatchObject({ clean: true, roomline: { swaps: 2, swapsAfterAssumed: 2 } });
    const doubled = verdictOf({ duplicates: { extraReceipts: 3 }, receipts: { unknownOutcomes: 3 } });
    expect(judged(doubled).clean).toBe(true);
  });

  it.each<[Parameters<typeof demoVerdict>[2], number]>([
    ['delivered', 5],
    ['sent', 7],
    [null, 0],
  ])('counts the lost acks of a platform whose acks are %s', (ack, lost) => {
    const roomline = verdictOf({ faults: { status_lost_delivered: 5, status_lost_sent: 7 } });
    const { roomline: result } = demoVerdict(RUN, { roomline, atOnce: verdictOf({}), pause: verdictOf({}) }, ack);
    expect(result.acksLost).toBe(lost);
  });

  it.each<[string, Parameters<typeof verdictOf>[0], string]>([
    ['a lost message', { messages: { lost: 1 }, broken: { R1_lost: 1 } }, '1 lost'],
    ['a violation of R2', { broken: { R2_overtaken: 2, R2_sequence: 1 } }, '3 violations of R2 (in order)'],
    ['a violation of R3', { broken: { R3_two_in_flight: 1 } }, '1 violations of R3 (one in flight)'],
    [
      'a swap after an acked message',
      { swaps: { total: 1, afterAcked: 1, rooms: 1 }, broken: { swap_after_acked: 1 } },
      '1 swaps after an acked message',
    ],
    [
      'more duplicates than unknown outcomes',
      { duplicates: { extraReceipts: 3 }, receipts: { unknownOutcomes: 2 } },
      '3 duplicates, but only 2 unknown outcomes',
    ],
    ['any other broken rule', { broken: { R1_unsettled: 4 } }, 'R1_unsettled: 4'],
    ['fewer messages than there should be', { messages: { published: 39 } }, '39 messages were published, not 40'],
  ])('is not clean with %s', (_what, change, problem) => {
    expect(judged(verdictOf(change))).toMatchObject({ clean: false, problems: [problem] });
  });
});

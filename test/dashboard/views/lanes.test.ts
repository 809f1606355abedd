import { describe, expect, it } from 'vitest';
import { eventLook, lanesOf, scaleOf, type TimelineMessage } from '../../../src/dashboard/views/lanes.ts';

const AT = 1_767_225_600_000;

function message(
  sequence: number,
  outcome: string | null,
  ...events: readonly TimelineMessage['events'][number][]
): TimelineMessage {
  return {
    id: `id-${sequence}`,
    sequence,
    messageId: `m-${sequence}`,
    outcome,
    lateFailure: null,
    events: [...events],
  };
}
const accepted = (ms: number) => ({ at: AT + ms, event: 'accepted' }) as const;
const begun = (ms: number, attempt = 1) => ({ at: AT + ms, event: 'attempt_begun', attempt }) as const;
const ended = (ms: number, result = 'accepted', attempt = 1) =>
  ({ at: AT + ms, event: 'attempt_ended', attempt, result, code: null }) as const;
const acked = (ms: number, late = false) => ({ at: AT + ms, event: 'acked', level: 'delivered', late }) as const;
const settled = (ms: number, outcome: string) => ({ at: AT + ms, event: 'settled', outcome, reason: 'ack' }) as const;

const first = message(1, 'acked', accepted(0), begun(5), ended(60), acked(900), settled(900, 'acked'));
const second = message(
  2,
  'assumed',
  accepted(10),
  begun(912),
  ended(980),
  settled(5_980, 'assumed'),
  acked(7_000, true),
);
const third = message(3, null, accepted(20), begun(6_000), ended(6_050, 'refused'), begun(7_050, 2));

describe('a lane', () => {
  it('shows where the time of a message went', () => {
    const [one, two, three] = lanesOf([first, second, third], AT + 7_100);
    const bars = (lane: typeof one) => lane?.bars.map(({ kind, from, to, open }) => [kind, from - AT, to - AT, open]);
    expect(bars(one)).toEqual([
      ['queued', 0, 5, false],
      ['sending', 5, 60, false],
      ['awaiting', 60, 900, false],
    ]);
    expect(bars(two)).toEqual([
      ['queued', 10, 912, false],
      ['sending', 912, 980, false],
      ['awaiting', 980, 5_980, false],
    ]);
    expect(bars(three)).toEqual([
      ['queued', 20, 6_000, false],
      ['sending', 6_000, 6_050, false],
      ['backing', 6_050, 7_050, false],
      ['sending', 7_050, 7_100, true],
    ]);
  });

  it('marks acks, timeouts, late acks and refusals apart', () => {
    const marks = lanesOf([first, second, third], AT + 7_100).map((lane) => lane.marks.map(({ kind }) => kind));
    expect(marks).toEqual([['acked'], ['assumed', 'late'], ['refused']]);
  });

  it('marks an ack whose level told no time of its own', () => {
    const [lane] = lanesOf([message(1, 'acked', accepted(0), begun(5), ended(60), settled(61, 'acked'))], AT + 100);
    expect(lane?.marks).toEqual([{ kind: 'acked', at: AT + 61 }]);
  });

  it('leaves a request alone that ends after its message has settled', () => {
    const early = message(1, 'acked', accepted(0), begun(5), acked(40), settled(40, 'acked'), ended(60));
    const [lane] = lanesOf([early], AT + 100);
    expect(lane?.bars.every(({ open }) => !open)).toBe(true);
    expect(lane?.bars.some(({ kind }) => kind === 'awaiting')).toBe(false);
  });

  it('says why a message came when it did', () => {
    const [one, two, three] = lanesOf([first, second, third], AT + 7_100);
    expect(one?.why).toBe('Nothing stood before it: its first attempt began 5 ms after it was accepted.');
    expect(two?.why).toBe(
      'Its first attempt began 12 ms after message 1 was acked; of its waiting, 890 ms was for that.',
    );
    expect(three?.why).toBe(
      'Its first attempt began 20 ms after message 2 had got no ack in time and was assumed to be there; of its waiting, 5.96 s was for that.',
    );
  });

  it('says nothing of a message before it that is not among those it is given', () => {
    const [two] = lanesOf([second], AT + 7_100);
    expect(two?.why).toBe('Its first attempt began 902 ms after it was accepted; the message before it is not shown.');
  });

  it('says what a message still waits for', () => {
    const [, two] = lanesOf([message(1, null, accepted(0), begun(5)), message(2, null, accepted(1))], AT + 100);
    expect(two?.why).toBe('It waits for message 1, which has not settled.');
  });
});

describe('the scale', () => {
  const later = message(
    4,
    'acked',
    accepted(3_600_000),
    begun(3_600_005),
    ended(3_600_050),
    settled(3_601_000, 'acked'),
  );
  const lanes = lanesOf([first, second, later], AT + 3_601_000);

  it('leaves out the hour in which nothing happened, and says so', () => {
    const scale = scaleOf(lanes, 800);
    expect(scale.breaks).toEqual([{ x: expect.any(Number), width: 44, ms: 3_600_000 - 7_000 }]);
    expect(scale.stretches).toHaveLength(2);
    expect(scale.width).toBeCloseTo(800, 0);
  });

  it('never goes back', () => {
    const scale = scaleOf(lanes, 800);
    const places = [0, 900, 5_980, 7_000, 1_000_000, 3_600_000, 3_600_500, 3_601_000].map((ms) => scale.x(AT + ms));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(places[0]).toBe(0);
    expect(places.at(-1)).toBeCloseTo(800, 0);
  });

  it('has ticks that one can tell apart, inside of it', () => {
    for (const width of [520, 800, 6_400]) {
      const { ticks } = scaleOf(lanes, width);
      expect(ticks.length).toBeGreaterThan(1);
      for (const { x } of ticks) expect(x).toBeGreaterThanOrEqual(0);
      for (const { x } of ticks) expect(x).toBeLessThanOrEqual(width + 1);
    }
  });

  it('is there for a room with one instant', () => {
    const { width, x } = scaleOf(lanesOf([message(1, null, accepted(0))], AT), 600);
    expect([width > 0, x(AT)]).toEqual([true, 0]);
  });
});

it('an event is one line', () => {
  expect(eventLook({ ...ended(5, 'refused'), code: '131056' }).text).toBe('Attempt 1: refused (131056)');
  expect(eventLook(acked(5, true)).text).toBe('Late ack: delivered');
  expect(eventLook({ ...settled(5, 'failed'), reason: 'outcome_unknown' }).text).toBe(
    'Settled: failed (outcome unknown)',
  );
});

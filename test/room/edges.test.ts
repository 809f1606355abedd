/** Corners of `transition` that no ordinary life of a room comes by, each with what would go wrong without it. */
import { describe, expect, test } from 'vitest';
import type { Decision, Settled } from '../../src/room/events.ts';
import { headEnvelope, type Room } from '../../src/room/room.ts';
import { transition } from '../../src/room/transition.ts';
import {
  accepted,
  ack,
  append,
  deadline,
  emptyRoom,
  envelopeOf,
  nacked,
  operator,
  pause,
  permit,
  policyOf,
  refused,
  resume,
  after as roomAfter,
  START,
  takeOver,
  unknown,
} from '../support/rooms.ts';

const X = 5_000;
const GRACE = 2_000;

function roomWith(...wishes: readonly Parameters<typeof envelopeOf>[1][]): Room {
  return roomAfter(emptyRoom(), START, append(...wishes.map((each, index) => envelopeOf(index + 1, each))));
}

const idle = roomWith({});
const sending = roomAfter(idle, START, permit);
const awaiting = roomAfter(sending, START, accepted(1));
const inDoubt = roomAfter(sending, START, unknown(1));
const backingOff = roomAfter(sending, START, refused(1));
const heldInDoubt = roomAfter(roomWith({ policy: policyOf({ unknownPolicy: 'hold' }) }), START, permit, unknown(1));
const held = roomAfter(heldInDoubt, START + GRACE, deadline());

describe('attempts', () => {
  const patient = { policy: policyOf({ maxAttempts: 100, unknownGraceMs: 0 }) };

  function attemptsUpTo(count: number, answer: (attempt: number) => Parameters<typeof transition>[1]): Room {
    let room = roomWith(patient);
    let now = START;
    for (let attempt = 1; attempt <= count; attempt++) {
      room = roomAfter(room, now, permit, answer(attempt));
      now += 100_000;
      if (room.phase === 'unknown') room = roomAfter(room, now, deadline());
      now += 100_000;
    }
    return roomAfter(room, now, permit);
  }

  test('twenty are kept', () => {
    const room = attemptsUpTo(19, (attempt) => refused(1, {}, attempt));
    expect(room.attempts.map(({ number }) => number)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
  });

  test('beyond twenty the oldest refused one goes, because it says least', () => {
    const room = attemptsUpTo(22, (attempt) => (attempt <= 2 ? unknown(1, attempt) : refused(1, {}, attempt)));
    expect(room.attempts).toHaveLength(20);
    expect(room.attempts.slice(0, 3).map(({ number }) => number)).toEqual([1, 2, 6]);
    expect(room.attempts.at(-1)).toMatchObject({ number: 23, result: null });
  });

  test('where none was refused the first, which tells when it all began, stays', () => {
    const room = attemptsUpTo(20, (attempt) => unknown(1, attempt));
    expect(room.attempts.map(({ number }) => number)).toEqual([1, ...Array.from({ length: 19 }, (_, i) => i + 3)]);
  });

  test('the version of the first claim is that of the first, whatever follows', () => {
    const again = roomAfter(backingOff, START + 60_000, permit);
    expect(again).toMatchObject({ attempt: 2, firstClaimVersion: sending.version });
    expect(again.version).toBeGreaterThan(again.firstClaimVersion);
  });

  test('a take-over is the code of the attempt that it interrupts', () => {
    expect(roomAfter(sending, START, takeOver).attempts).toMatchObject([{ result: 'interrupted', code: 'taken_over' }]);
  });

  test('a nack is written on the attempt that it concerns alone', () => {
    const second = roomAfter(backingOff, START + 60_000, permit, accepted(1, 2, 'gw-1b'));
    const room = roomAfter(second, START + 60_000, nacked(1, { code: 'undeliverable' }, 'gw-1b'));
    expect(room.attempts).toMatchObject([
      { number: 1, code: 'busy', result: 'refused' },
      { number: 2, code: 'undeliverable', result: 'accepted' },
    ]);
  });

  test('one that was taken for unknown, then answered, then nacked is used up once', () => {
    const resent = roomAfter(inDoubt, START + GRACE, deadline());
    expect(resent).toMatchObject({ phase: 'backing_off', attempt: 1, spent: 1 });
    const answered = roomAfter(resent, START + GRACE, accepted(1));
    expect(answered.phase).toBe('awaiting_ack');
    expect(roomAfter(answered, START + GRACE, nacked(1))).toMatchObject({ phase: 'backing_off', attempt: 1, spent: 1 });
  });

  test('late answers are recorded with what they were', () => {
    const settled = roomAfter(inDoubt, START, ack(1));
    expect(transition(settled, refused(1, { code: 'no' }), START + 1).facts).toMatchObject([
      { kind: 'answered_late', sequence: 1, attempt: 1, result: 'refused', code: 'no', platformId: null },
    ]);
    expect(transition(settled, unknown(1), START + 1).facts).toMatchObject([
      { kind: 'answered_late', result: 'unknown', code: 'timeout' },
    ]);
    expect(transition(settled, accepted(1), START + 1).facts).toMatchObject([
      { kind: 'accepted_as', platformId: 'gw-1' },
      { kind: 'answered_late', result: 'accepted', code: null, platformId: 'gw-1' },
    ]);
  });
});

describe('acceptances', () => {
  test('without a platform id name nothing', () => {
    expect(transition(sending, accepted(1, 1, null), START).facts).toEqual([]);
    expect(transition(sending, accepted(1), START).facts).toEqual([
      { kind: 'accepted_as', sequence: 1, platformId: 'gw-1' },
    ]);
  });

  test('keep the time of a level that came before them', () => {
    expect(awaiting).toMatchObject({ level: 'accepted', levelAt: START });
    const early = roomAfter(sending, START + 5, ack(1, 'sent'));
    expect(roomAfter(early, START + 9, accepted(1))).toMatchObject({ level: 'sent', levelAt: START });
    expect(roomAfter(sending, START + 9, accepted(1)).levelAt).toBe(START + 9);
  });

  test('that come when an operator holds the message name it and change nothing', () => {
    const decision = transition(held, accepted(1), START + GRACE + 1);
    expect(decision).toMatchObject({
      verdict: { kind: 'ignored', reason: 'stale_attempt' },
      facts: [{ kind: 'accepted_as', platformId: 'gw-1' }],
    });
    expect(decision.room).toBe(held);
  });

  test('let a nack through that came first, unless it names another attempt’s id', () => {
    const nackOf = (platformId: string | null) => roomAfter(sending, START, nacked(1, { permanent: true }, platformId));
    expect(roomAfter(nackOf(null), START, accepted(1)).phase).toBe('idle');
    expect(roomAfter(nackOf('gw-1'), START, accepted(1)).phase).toBe('idle');
    expect(roomAfter(nackOf('gw-0'), START, accepted(1))).toMatchObject({ phase: 'awaiting_ack', nack: null });
  });
});

describe('attempts without an answer', () => {
  test('let a nack through that names another attempt than the one that was answered, or none', () => {
    const named = roomAfter(sending, START, nacked(1, { permanent: true }, 'gw-7'));
    expect(transition(named, unknown(1), START).facts).toMatchObject([{ kind: 'settled', outcome: 'failed' }]);
    const marked = roomAfter(sending, START, nacked(1, { permanent: true }));
    expect(transition(marked, unknown(1), START).facts).toMatchObject([{ kind: 'settled', outcome: 'failed' }]);
  });

  test('are not held to have arrived for a level that an earlier, refused attempt may have had', () => {
    const second = roomAfter(backingOff, START + 60_000, permit, ack(1, 'sent'));
    expect(roomAfter(second, START + 60_000, unknown(1, 2)).phase).toBe('unknown');
    const first = roomAfter(sending, START, ack(1, 'sent'));
    expect(roomAfter(first, START, unknown(1)).phase).toBe('awaiting_ack');
  });
});

describe('acks', () => {
  const strict = { policy: policyOf({ unlockedBy: 'read' }) };

  test('that are cumulative concern earlier messages only where there are any', () => {
    expect(transition(sending, ack(1, 'sent', true), START).effects).not.toContainEqual(
      expect.objectContaining({ type: 'judge_late' }),
    );
    const second = roomAfter(roomWith(strict, strict), START, permit, ack(1, 'read'), permit);
    const { effects, verdict } = transition(second, ack(2, 'sent', true), START);
    expect(verdict.kind).toBe('applied');
    expect(effects).toEqual([
      { type: 'judge_late', sequence: 1, cumulative: true },
      { type: 'send', sequence: 2, attempt: 1 },
    ]);
  });

  test('beyond the tail concern nothing, cumulative or not', () => {
    for (const cumulative of [true, false]) {
      expect(transition(sending, ack(2, 'delivered', cumulative), START).verdict).toEqual({
        kind: 'ignored',
        reason: 'not_begun',
      });
    }
  });

  test('that raise the level do not begin the wait anew', () => {
    const seen = roomAfter(roomWith(strict), START, permit, unknown(1), ack(1, 'sent'));
    expect(seen).toMatchObject({ phase: 'awaiting_ack', until: START + X });
    expect(roomAfter(seen, START + 100, ack(1, 'delivered'))).toMatchObject({
      phase: 'awaiting_ack',
      until: START + X,
    });
  });

  test('that do not unlock leave a hold to the operator, and an open request to its answer', () => {
    expect(roomAfter(held, START + GRACE, ack(1, 'sent'))).toMatchObject({ phase: 'held', level: 'sent' });
    expect(roomAfter(sending, START, ack(1, 'sent'))).toMatchObject({ phase: 'sending', level: 'sent' });
  });
});

describe('nacks', () => {
  const permanent = { permanent: true, code: 'gone' };

  test('of an accepted message that has no id count', () => {
    const nameless = roomAfter(sending, START, accepted(1, 1, null));
    expect(transition(nameless, nacked(1, permanent, 'gw-9'), START).verdict.kind).toBe('applied');
    expect(transition(awaiting, nacked(1, permanent, 'gw-9'), START).verdict).toMatchObject({
      reason: 'stale_attempt',
    });
  });

  const waitingForChannel = roomAfter(sending, START, refused(1, { scope: 'channel' }));
  const ready = roomAfter(
    roomAfter(
      roomWith({ policy: policyOf({ failurePolicy: 'hold' }) }),
      START,
      permit,
      refused(1, { permanent: true }),
    ),
    START,
    operator('retry', 1),
  );

  test.each([
    ['backing off', backingOff],
    ['waiting for its channel', waitingForChannel],
    ['ready again', ready],
  ])('for good, of an earlier attempt, end a message that is %s', (_, room) => {
    for (const scope of ['message', 'room'] as const) {
      const decision = transition(room, nacked(1, { ...permanent, scope }), START + 1);
      expect(decision.verdict.kind).toBe('applied');
      const outcome = decision.room.phase === 'held' ? decision.room : (decision.facts.at(-1) as Settled);
      expect(outcome.reason).toBe('refused');
    }
  });

  test.each([
    ['backing off', backingOff],
    ['waiting for its channel', waitingForChannel],
    ['ready again', ready],
    ['held', held],
  ])('that ask for a retry, or concern the channel, change nothing of a message that is %s', (_, room) => {
    for (const nack of [{}, { ...permanent, scope: 'channel' }, { ...permanent, scope: 'account' }] as const) {
      expect(transition(room, nacked(1, nack), START + 1).verdict).toEqual({ kind: 'ignored', reason: 'nothing_open' });
    }
  });
});

describe('expiry', () => {
  const perishable = { expiresAt: START + 1_000 };

  test('ends a message that waits for a permit, at its time and not before', () => {
    const fresh = roomWith(perishable);
    expect(transition(fresh, deadline(), START + 999).verdict).toMatchObject({ reason: 'not_due' });
    expect(transition(fresh, deadline(), START + 1_000).facts).toMatchObject([
      { kind: 'settled', outcome: 'expired', reason: 'expired', possiblyDelivered: false },
    ]);
  });

  test('does not come with another deadline that is due before it', () => {
    const refusedOnce = roomAfter(roomWith({ expiresAt: START + 5_000 }), START, permit, refused(1));
    expect(roomAfter(refusedOnce, START + 1_000, deadline())).toMatchObject({ phase: 'ready', settled: 0 });
  });

  test('does not end one that is held, in flight or in doubt', () => {
    for (const answer of [accepted(1), unknown(1)]) {
      const open = roomAfter(roomWith(perishable), START, permit, answer);
      expect(transition(open, deadline(), START + 1_000).verdict).toMatchObject({ reason: 'not_due' });
    }
  });
});

describe('a claim', () => {
  const cancelled = { cancelledBy: 'operator' } as const;

  test('settles cancelled messages up to the end of what is known of the queue, and stops there', () => {
    const known = roomAfter(emptyRoom(), START, {
      type: 'tail_raised',
      tail: 3,
      envelopes: [envelopeOf(1, cancelled)],
    });
    const decision = transition(known, permit, START);
    expect(decision.verdict.kind).toBe('applied');
    expect(decision.facts).toMatchObject([{ sequence: 1, outcome: 'cancelled' }]);
    expect(decision.room).toMatchObject({ phase: 'ready', settled: 1, attempt: 0 });
    expect(headEnvelope(decision.room)).toBeNull();
  });

  test('of which nothing is known asks for the envelope first', () => {
    const blind = roomAfter(emptyRoom(), START, { type: 'tail_raised', tail: 1, envelopes: [] });
    expect(transition(blind, permit, START)).toMatchObject({
      verdict: { kind: 'ignored', reason: 'envelope_missing' },
      effects: [{ type: 'load_envelopes', from: 1 }],
      facts: [],
    });
  });

  test('looks at the first envelope only if it is the head’s', () => {
    expect(headEnvelope({ ...idle, envelopes: [envelopeOf(2)] })).toBeNull();
  });
});

describe('a cancel mark', () => {
  test('on a message whose envelope comes later is not overlaid by it', () => {
    const known = roomAfter(sending, START, { type: 'tail_raised', tail: 3, envelopes: [] });
    const marked = transition(known, operator('cancel', 2), START);
    expect(marked.facts).toEqual([{ kind: 'cancel_marked', sequence: 2, by: 'operator' }]);
    const told = roomAfter(marked.room, START, append(envelopeOf(2), envelopeOf(3)));
    const next = roomAfter(told, START, ack(1));
    expect(headEnvelope(next)).toBeNull();
    expect(transition(next, permit, START).verdict).toEqual({ kind: 'ignored', reason: 'envelope_missing' });
  });
});

describe('a superseded message', () => {
  const reasons = (decision: Decision): string[] =>
    decision.facts.flatMap((fact) =>
      fact.kind === 'settled' ? [`${fact.sequence} ${fact.outcome} ${fact.reason}`] : [],
    );
  const superseded = (room: Room, sequence: number): Decision =>
    transition(room, operator('superseded', sequence), START);

  test('that is the head and was never tried settles at once, and the next one takes its turn', () => {
    const queue = roomAfter(emptyRoom(), START, append(envelopeOf(1), envelopeOf(2)));
    const decision = superseded(queue, 1);
    expect(reasons(decision)).toEqual(['1 cancelled superseded']);
    expect(decision.facts).toMatchObject([{ firstClaimVersion: 0, possiblyDelivered: false, attempts: [] }]);
    expect(decision.room).toMatchObject({ phase: 'ready', settled: 1 });
    expect(decision.effects).toEqual([{ type: 'request_permit' }]);
  });

  test('that has been tried goes on, whatever came of the attempt', () => {
    for (const room of [sending, roomAfter(sending, START, refused(1)), roomAfter(sending, START, unknown(1))]) {
      expect(superseded(room, 1).verdict).toEqual({ kind: 'ignored', reason: 'begun' });
    }
  });

  test('that waits behind the head is marked, and settles for that reason when its turn comes', () => {
    const queue = roomAfter(sending, START, append(envelopeOf(2), envelopeOf(3)));
    const marked = superseded(queue, 2);
    expect(marked.facts).toEqual([{ kind: 'cancel_marked', sequence: 2, by: 'superseded' }]);
    expect(superseded(marked.room, 2).verdict).toEqual({ kind: 'ignored', reason: 'already_marked' });
    expect(transition(marked.room, operator('cancel', 2), START).verdict).toMatchObject({ reason: 'already_marked' });
    expect(reasons(transition(marked.room, ack(1), START))).toEqual(['1 acked ack', '2 cancelled superseded']);
  });

  test('that an operator had cancelled before settles as that', () => {
    const queue = roomAfter(emptyRoom(), START, {
      type: 'tail_raised',
      tail: 1,
      envelopes: [envelopeOf(1, { cancelledBy: 'operator' })],
    });
    expect(reasons(superseded(queue, 1))).toEqual(['1 cancelled operator']);
  });

  test('of which nothing is loaded yet settles all the same', () => {
    const blind = roomAfter(emptyRoom(), START, { type: 'tail_raised', tail: 2, envelopes: [] });
    expect(reasons(superseded(blind, 1))).toEqual(['1 cancelled superseded']);
  });

  test('in a paused room settles, and the room stays paused', () => {
    const paused = roomAfter(emptyRoom(), START, append(envelopeOf(1), envelopeOf(2)), pause);
    const decision = superseded(paused, 1);
    expect(reasons(decision)).toEqual(['1 cancelled superseded']);
    expect(decision.room).toMatchObject({ phase: 'waiting', reason: 'paused', settled: 1 });
  });

  test('in a held room keeps its operator’s hold: a mark has it settle, unsent, when that ends', () => {
    const queue = roomAfter(emptyRoom(), START, append(envelopeOf(1), envelopeOf(2)));
    const held = roomAfter(queue, START, { type: 'history_changed' });
    const marked = superseded(held, 1);
    expect(marked.facts).toEqual([{ kind: 'cancel_marked', sequence: 1, by: 'superseded' }]);
    expect(marked.room).toMatchObject({ phase: 'held', reason: 'history_changed', settled: 0 });
    const released = transition(marked.room, operator('retry', 1), START);
    expect(reasons(released)).toEqual(['1 cancelled superseded']);
    expect(released.room).toMatchObject({ phase: 'ready', settled: 1, attempt: 0 });
    expect(reasons(transition(marked.room, operator('skip', 1), START))).toEqual(['1 skipped operator']);
  });

  test('ends a wait for its own time, and not the gap of the room', () => {
    const later = roomAfter(
      emptyRoom(),
      START,
      append(envelopeOf(1, { notBefore: START + 60_000 }), envelopeOf(2)),
      permit,
    );
    expect(later.phase).toBe('waiting');
    expect(superseded(later, 1).room).toMatchObject({ phase: 'ready', settled: 1 });
    const spaced = { ...later, gapUntil: START + 5_000 };
    expect(superseded(spaced, 1).room).toMatchObject({ phase: 'waiting', reason: 'not_before', until: START + 5_000 });
  });
});

describe('news of the queue', () => {
  test('that tell of the last known message again bring no envelope of it: it may be older than a cancel mark', () => {
    const known = roomAfter(sending, START, { type: 'tail_raised', tail: 2, envelopes: [] }, operator('cancel', 2));
    const told = roomAfter(known, START, append(envelopeOf(2)));
    expect(told.envelopes.map(({ sequence }) => sequence)).toEqual([1]);
  });
});

describe('pausing', () => {
  test('keeps a limit of the platform, and no other time', () => {
    const limited = roomAfter(sending, START, refused(1, { scope: 'room', retryAfterMs: 6_000 }));
    expect(roomAfter(limited, START, pause).gapUntil).toBe(START + 6_000);
    const later = roomAfter(roomWith({ notBefore: START + 60_000 }), START, permit);
    expect(roomAfter(later, START, pause).gapUntil).toBe(0);
  });

  test('of a room with an open attempt ends as it began, without a trace', () => {
    const decision = transition(roomAfter(awaiting, START, pause), resume, START);
    expect(decision).toMatchObject({ verdict: { kind: 'applied' }, facts: [] });
    expect(decision.room).toMatchObject({ phase: 'awaiting_ack', paused: false, until: START + X });
  });
});

test('a room that breaks an invariant is not handed on', () => {
  expect(() => transition({ ...backingOff, spent: 9 }, operator('retry', 1), START)).not.toThrow();
  expect(() => transition({ ...awaiting, spent: 9 }, pause, START)).toThrow(
    /room 42 \(awaiting_ack, version \d+\) breaks I8: attempts used up are no more than attempts begun/,
  );
});

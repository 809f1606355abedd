import { describe, expect, test } from 'vitest';
import { type ChannelView, explain } from '../../src/room/explain.ts';
import type { Room } from '../../src/room/room.ts';
import {
  accepted,
  ack,
  after,
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
  START,
  takeOver,
  unknown,
} from '../support/rooms.ts';

const open: ChannelView = { state: 'open', reason: null, until: null };
const stopped: ChannelView = { state: 'stopped', reason: 'token_revoked', until: null };
const slowed: ChannelView = { state: 'slowed', reason: 'rate_limited', until: START + 3_000 };

const idle = after(emptyRoom(), START, append(envelopeOf(1)));
const sending = after(idle, START, permit);
const gap = { policy: policyOf({ minGapMs: 300 }) };
const later = { notBefore: START + 60_000 };
const holding = { policy: policyOf({ failurePolicy: 'hold' }) };

const LINES: readonly [string, Room, ChannelView, boolean, string][] = [
  ['at rest', emptyRoom(), open, true, 'nothing waits: every accepted message has settled'],
  ['idle', idle, open, true, 'message 1 waits for a permit'],
  ['no holder', idle, open, false, 'message 1 waits for a worker to take over its shard'],
  [
    'stopped channel',
    idle,
    stopped,
    true,
    'message 1 waits for its channel, which is stopped (token_revoked); it is probed until it answers',
  ],
  [
    'ready',
    after(sending, START, refused(1, { permanent: false, retryAfterMs: 0 }), operator('retry', 1)),
    open,
    true,
    'message 1 waits for a permit',
  ],
  [
    'slowed, nobody knows for how long',
    idle,
    { ...slowed, until: null },
    true,
    'message 1 waits for its channel, which is slowed (rate_limited) for an unknown time',
  ],
  [
    'minimum gap that outlasts the wish of the publisher',
    after(
      emptyRoom(),
      START,
      append(envelopeOf(1, gap), envelopeOf(2, { ...gap, notBefore: START + 300 })),
      permit,
      ack(1),
    ),
    open,
    true,
    'message 2 waits 0.3 s: the minimum gap after the last message',
  ],
  [
    'ten seconds, from which on no tenths are told',
    after(sending, START, refused(1, { scope: 'room', code: '131056', retryAfterMs: 10_000 })),
    open,
    true,
    'message 1 waits 10 s: the platform limits this room (131056)',
  ],
  [
    'backing off after a take-over',
    after(after(sending, START, takeOver), START + 2_000, deadline()),
    open,
    true,
    'message 1 got no answer (taken_over); attempt 2 follows in 3.0 s',
  ],
  [
    'a failure that came as a status',
    after(sending, START, accepted(1), nacked(1, { code: 'undeliverable' })),
    open,
    true,
    'message 1 was refused (undeliverable); attempt 2 follows in 1.0 s',
  ],
  ['slowed channel', idle, slowed, true, 'message 1 waits for its channel, which is slowed (rate_limited) for 3.0 s'],
  [
    'queue',
    after(emptyRoom(), START, append(envelopeOf(1), envelopeOf(2), envelopeOf(3))),
    open,
    true,
    'message 1 waits for a permit (2 more wait behind it)',
  ],
  ['paused', after(idle, START, pause), open, true, 'message 1 waits: the room is paused by an operator'],
  [
    'not before',
    after(emptyRoom(), START, append(envelopeOf(1, later)), permit),
    open,
    true,
    'message 1 waits 60 s: its publisher asked for a later time',
  ],
  [
    'minimum gap',
    after(emptyRoom(), START, append(envelopeOf(1, gap), envelopeOf(2, gap)), permit, ack(1)),
    open,
    true,
    'message 2 waits 0.3 s: the minimum gap after the last message',
  ],
  [
    'room limit',
    after(sending, START, refused(1, { scope: 'room', code: '131056', retryAfterMs: 6_000 })),
    open,
    true,
    'message 1 waits 6.0 s: the platform limits this room (131056)',
  ],
  [
    'channel refusal',
    after(sending, START, refused(1, { scope: 'channel', code: '401' })),
    stopped,
    true,
    'message 1 waits for its channel, which is stopped (token_revoked); it is probed until it answers',
  ],
  ['sending', sending, open, true, 'message 1 is being sent (attempt 1)'],
  [
    'paused while it is sent',
    after(sending, START, pause),
    open,
    true,
    'message 1 is being sent (attempt 1); the room is paused by an operator',
  ],
  [
    'sending, marked',
    after(sending, START, operator('skip', 1)),
    open,
    true,
    'message 1 is being sent (attempt 1); skip follows its answer',
  ],
  [
    'awaiting ack',
    after(sending, START, accepted(1)),
    open,
    true,
    'message 1 was accepted and waits up to 5.0 s for its ack',
  ],
  [
    'awaiting ack, sent',
    after(sending, START, accepted(1), ack(1, 'sent')),
    open,
    true,
    'message 1 was accepted and waits up to 5.0 s for its ack (so far: sent)',
  ],
  [
    'backing off',
    after(sending, START, refused(1, { code: '503' })),
    open,
    true,
    'message 1 was refused (503); attempt 2 follows in 1.0 s',
  ],
  [
    'backing off after no answer',
    after(after(sending, START, unknown(1)), START + 2_000, deadline()),
    open,
    true,
    'message 1 got no answer (timeout); attempt 2 follows in 3.0 s',
  ],
  [
    'unknown',
    after(sending, START, unknown(1)),
    open,
    true,
    'the outcome of message 1 is unknown (timeout); evidence is waited for 2.0 s',
  ],
  [
    'taken over',
    after(sending, START, takeOver),
    open,
    true,
    'the outcome of message 1 is unknown (taken_over); evidence is waited for 2.0 s',
  ],
  [
    'held',
    after(emptyRoom(), START, append(envelopeOf(1, holding)), permit, refused(1, { permanent: true, code: '131026' })),
    open,
    true,
    'message 1 is held (refused, 131026) until an operator retries, skips or cancels it',
  ],
  [
    'held since the history changed',
    after(sending, START, accepted(1), { type: 'history_changed' }),
    open,
    true,
    'message 1 is held (history_changed, the database may have lost what became of it) until an operator retries, skips or cancels it',
  ],
  [
    'held, with an envelope that is not loaded',
    after({ ...after(emptyRoom(), START, append(envelopeOf(1))), envelopes: [] }, START, { type: 'history_changed' }),
    open,
    true,
    'message 1 is held (history_changed, the database may have lost what became of it) until an operator retries, skips or cancels it',
  ],
  [
    'held, and superseded meanwhile',
    after(emptyRoom(), START, append(envelopeOf(1)), { type: 'history_changed' }, operator('superseded', 1)),
    open,
    true,
    'message 1 is held (history_changed, the database may have lost what became of it) until an operator retries, skips or cancels it; it is not sent, a newer message has superseded it',
  ],
];

describe('explain', () => {
  test.each(LINES)('%s', (_, room, channel, held, line) => {
    expect(explain(room, channel, held, START)).toBe(line);
  });

  test('a deadline in the past is no time at all', () => {
    const room = after(sending, START, accepted(1));
    expect(explain(room, open, true, START + 99_000)).toBe('message 1 was accepted and waits up to 0.0 s for its ack');
  });
});

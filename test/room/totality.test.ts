/**
 * Every kind of event in every kind of room has an answer. The tables say what it is meant to be; each cell is the
 * phase that follows (`-> sending`), `noted`, or the reason why nothing changes.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { nextDeadline } from '../../src/room/effects.ts';
import { type Decision, EVENT_TYPES, type RoomEvent } from '../../src/room/events.ts';
import { brokenInvariants } from '../../src/room/invariants.ts';
import { headSequence, PHASES, type Room } from '../../src/room/room.ts';
import { transition } from '../../src/room/transition.ts';
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
  resume,
  START,
  takeOver,
  unknown,
} from '../support/rooms.ts';

type EventType = RoomEvent['type'];
type Cells = Readonly<Record<EventType, string>>;

/** Message 1 has settled, 2 is the head, 3 waits behind it; only in `at rest` nothing waits. */
const SETTLED_ONE = after(emptyRoom(), START, append(envelopeOf(1)), permit, ack(1));
const QUEUE = [envelopeOf(2), envelopeOf(3)];
const idle = after(SETTLED_ONE, START, append(...QUEUE));
const sending = after(idle, START, permit);
const backingOff = after(sending, START, refused(2));
const holding = { policy: policyOf({ failurePolicy: 'hold' }) };

const ROOMS = {
  'at rest': SETTLED_ONE,
  idle,
  ready: after(idle, START, pause, resume),
  'ready again': after(backingOff, START + 1_000, deadline()),
  'waiting not_before': after(
    SETTLED_ONE,
    START,
    append(envelopeOf(2, { notBefore: START + 100 }), envelopeOf(3)),
    permit,
  ),
  'waiting limit': after(sending, START, refused(2, { scope: 'room' })),
  'waiting channel': after(sending, START, refused(2, { scope: 'channel' })),
  'waiting paused': after(idle, START, pause),
  sending,
  awaiting_ack: after(sending, START, accepted(2)),
  backing_off: backingOff,
  unknown: after(sending, START, unknown(2)),
  held: after(
    SETTLED_ONE,
    START,
    append(envelopeOf(2, holding), envelopeOf(3)),
    permit,
    refused(2, { permanent: true }),
  ),
  'held untried': after(idle, START, { type: 'history_changed' }),
} as const satisfies Record<string, Room>;
type RoomName = keyof typeof ROOMS;
const ROOM_NAMES = Object.keys(ROOMS) as RoomName[];

/** A head that was never tried: nothing can have been answered, acked or refused. */
const UNTRIED = {
  tail_raised: 'noted',
  attempt_accepted: 'stale_attempt',
  attempt_refused: 'stale_attempt',
  attempt_unknown: 'stale_attempt',
  taken_over: 'nothing_open',
  ack: 'not_begun',
  nack: 'not_begun',
  pause: '-> waiting paused',
  resume: 'not_paused',
  skip: '-> ready',
  retry: 'not_held',
  cancel: '-> ready',
  superseded: '-> ready',
  history_changed: '-> held',
} as const;

/** A head whose attempt was refused: a second answer is stale, an ack settles it all the same. */
const REFUSED = { ...UNTRIED, ack: '-> ready', nack: 'nothing_open', superseded: 'begun' } as const;

/** Events about the head, with the number of its last attempt (or 1); deadlines when they are due. */
const ABOUT_THE_HEAD: Readonly<Record<RoomName, Cells>> = {
  'at rest': {
    ...UNTRIED,
    permit_granted: 'nothing_waits',
    deadline_due: 'no_deadline',
    skip: 'not_accepted_yet',
    retry: 'not_accepted_yet',
    cancel: 'not_accepted_yet',
    superseded: 'not_accepted_yet',
    history_changed: 'nothing_waits',
  },
  idle: { ...UNTRIED, permit_granted: '-> sending', deadline_due: 'no_deadline' },
  ready: { ...UNTRIED, permit_granted: '-> sending', deadline_due: 'no_deadline' },
  'ready again': { ...REFUSED, permit_granted: '-> sending', deadline_due: 'no_deadline' },
  'waiting not_before': { ...UNTRIED, permit_granted: 'not_claimable', deadline_due: '-> ready' },
  'waiting limit': { ...REFUSED, permit_granted: 'not_claimable', deadline_due: '-> ready' },
  'waiting channel': { ...REFUSED, permit_granted: '-> sending', deadline_due: 'no_deadline' },
  'waiting paused': {
    ...UNTRIED,
    permit_granted: 'not_claimable',
    deadline_due: 'no_deadline',
    pause: 'already_paused',
    resume: '-> ready',
    skip: '-> waiting paused',
    cancel: '-> waiting paused',
    superseded: '-> waiting paused',
  },
  sending: {
    tail_raised: 'noted',
    permit_granted: 'not_claimable',
    attempt_accepted: '-> awaiting_ack',
    attempt_refused: '-> backing_off',
    attempt_unknown: '-> unknown',
    taken_over: '-> unknown',
    ack: '-> ready',
    nack: '-> sending',
    deadline_due: 'no_deadline',
    pause: '-> sending',
    resume: 'not_paused',
    skip: '-> sending',
    retry: 'not_held',
    cancel: '-> sending',
    superseded: 'begun',
    history_changed: 'attempt_open',
  },
  awaiting_ack: {
    tail_raised: 'noted',
    permit_granted: 'not_claimable',
    attempt_accepted: 'stale_attempt',
    attempt_refused: 'stale_attempt',
    attempt_unknown: 'stale_attempt',
    taken_over: 'nothing_open',
    ack: '-> ready',
    nack: '-> backing_off',
    deadline_due: '-> ready',
    pause: '-> awaiting_ack',
    resume: 'not_paused',
    skip: '-> ready',
    retry: 'not_held',
    cancel: '-> ready',
    superseded: 'begun',
    history_changed: '-> held',
  },
  backing_off: {
    ...REFUSED,
    permit_granted: 'not_claimable',
    deadline_due: '-> ready',
    pause: '-> backing_off',
    retry: '-> ready',
  },
  unknown: {
    tail_raised: 'noted',
    permit_granted: 'not_claimable',
    attempt_accepted: '-> awaiting_ack',
    attempt_refused: '-> backing_off',
    attempt_unknown: 'stale_attempt',
    taken_over: 'nothing_open',
    ack: '-> ready',
    nack: '-> backing_off',
    deadline_due: '-> backing_off',
    pause: '-> unknown',
    resume: 'not_paused',
    skip: '-> ready',
    retry: 'not_held',
    cancel: '-> ready',
    superseded: 'begun',
    history_changed: '-> held',
  },
  held: {
    ...REFUSED,
    permit_granted: 'not_claimable',
    deadline_due: 'no_deadline',
    pause: '-> held',
    retry: '-> ready',
    history_changed: 'already_held',
  },
  'held untried': {
    ...UNTRIED,
    permit_granted: 'not_claimable',
    deadline_due: 'no_deadline',
    pause: '-> held',
    retry: '-> ready',
    superseded: '-> held',
    history_changed: 'already_held',
  },
};

/** What is about a message that has settled moves no room. */
const ABOUT_A_SETTLED_MESSAGE = {
  attempt_accepted: 'already_settled',
  attempt_refused: 'already_settled',
  attempt_unknown: 'already_settled',
  ack: 'already_settled',
  nack: 'already_settled',
  skip: 'already_settled',
  retry: 'already_settled',
  cancel: 'already_settled',
  superseded: 'already_settled',
} as const satisfies Partial<Cells>;

/** A message behind the head was never tried: only that it is cancelled can be true of it, and it moves nothing either. */
const ABOUT_A_LATER_MESSAGE = {
  attempt_accepted: 'stale_attempt',
  attempt_refused: 'stale_attempt',
  attempt_unknown: 'stale_attempt',
  ack: 'not_begun',
  nack: 'not_begun',
  skip: 'not_head',
  retry: 'not_head',
  cancel: '-> the same phase',
  superseded: '-> the same phase',
} as const satisfies Partial<Cells>;

function eventOf(type: EventType, room: Room, sequence: number): RoomEvent {
  const attempt = Math.max(1, room.attempt);
  switch (type) {
    case 'tail_raised':
      return append(envelopeOf(4));
    case 'permit_granted':
      return permit;
    case 'attempt_accepted':
      return accepted(sequence, attempt);
    case 'attempt_refused':
      return refused(sequence, {}, attempt);
    case 'attempt_unknown':
      return unknown(sequence, attempt);
    case 'taken_over':
      return takeOver;
    case 'ack':
      return ack(sequence);
    case 'nack':
      return nacked(sequence);
    case 'deadline_due':
      return deadline();
    case 'pause':
    case 'resume':
    case 'history_changed':
      return { type };
    case 'skip':
    case 'retry':
    case 'cancel':
    case 'superseded':
      return operator(type, sequence);
    default:
      return type satisfies never;
  }
}

function cellOf(decision: Decision): string {
  const { verdict, room } = decision;
  if (verdict.kind === 'ignored') return verdict.reason;
  if (verdict.kind === 'noted') return 'noted';
  return room.phase === 'waiting' ? `-> waiting ${room.reason}` : `-> ${room.phase}`;
}

function phaseOf(room: Room): string {
  return room.phase === 'waiting' ? `-> waiting ${room.reason}` : `-> ${room.phase}`;
}

const pairs = new Set<string>();
let decisions = 0;

function decide(room: Room, event: RoomEvent, now: number): Decision {
  const decision = transition(room, event, now);
  pairs.add(`${room.phase} × ${event.type}`);
  decisions++;
  expect(brokenInvariants(decision.room)).toEqual([]);
  if (decision.verdict.kind === 'ignored') expect(decision.room).toBe(room);
  expect(decision.room.version).toBe(room.version + (decision.verdict.kind === 'applied' ? 1 : 0));
  return decision;
}

describe('totality', () => {
  afterAll(() => {
    console.log(`totality: ${pairs.size} (phase × event) pairs, ${decisions} decisions on ${ROOM_NAMES.length} rooms`);
  });

  test('the rooms of the table are what their names say', () => {
    for (const name of ROOM_NAMES) {
      const said =
        name === 'at rest' ? 'idle' : name === 'ready again' ? 'ready' : name === 'held untried' ? 'held' : name;
      expect(phaseOf(ROOMS[name])).toBe(`-> ${said}`);
    }
    expect(new Set(ROOM_NAMES.map((name) => ROOMS[name].phase))).toEqual(new Set(PHASES));
  });

  test.each(ROOM_NAMES)('%s: events about the head', (name) => {
    const room = ROOMS[name];
    const now = Math.max(START + 1, nextDeadline(room) ?? 0);
    const cells = Object.fromEntries(
      EVENT_TYPES.map((type) => {
        // A permit may come before the deadline is due; what comes with it is the next test's matter.
        const at = type === 'permit_granted' ? START + 1 : now;
        return [type, cellOf(decide(room, eventOf(type, room, headSequence(room)), at))];
      }),
    );
    expect(cells).toEqual(ABOUT_THE_HEAD[name]);
  });

  test.each(ROOM_NAMES)('%s: events about a settled message', (name) => {
    const room = ROOMS[name];
    for (const [type, cell] of Object.entries(ABOUT_A_SETTLED_MESSAGE)) {
      const decision = decide(room, eventOf(type as EventType, room, 1), START + 1);
      expect.soft(`${type} ${cellOf(decision)}`).toBe(`${type} ${cell}`);
      const answers = type.startsWith('attempt_') ? ['answered_late'] : [];
      expect(decision.facts.map((fact) => fact.kind).filter((kind) => kind !== 'accepted_as')).toEqual(answers);
      const judged = type === 'ack' || type === 'nack' ? ['judge_late'] : [];
      expect(decision.effects.map((effect) => effect.type)).toEqual(judged);
    }
  });

  test.each(ROOM_NAMES)('%s: events about a later message', (name) => {
    const room = ROOMS[name];
    for (const [type, cell] of Object.entries(ABOUT_A_LATER_MESSAGE)) {
      const decision = decide(room, eventOf(type as EventType, room, headSequence(room) + 1), START + 1);
      const beyond = name === 'at rest' && ['skip', 'retry', 'cancel', 'superseded'].includes(type);
      const expected = beyond ? 'not_accepted_yet' : cell === '-> the same phase' ? phaseOf(room) : cell;
      expect.soft(`${type} ${cellOf(decision)}`).toBe(`${type} ${expected}`);
    }
  });

  test.each(ROOM_NAMES)('%s: a deadline before its time, a permit after it', (name) => {
    const room = ROOMS[name];
    const due = nextDeadline(room);
    if (due === null) {
      expect(cellOf(decide(room, deadline(), START + 1))).toBe('no_deadline');
      return;
    }
    expect(cellOf(decide(room, deadline(), due - 1))).toBe('not_due');
    // A permit makes the wait's own timer needless where nothing but time was waited for.
    const timed = name === 'backing_off' || name === 'waiting not_before' || name === 'waiting limit';
    expect(cellOf(decide(room, permit, due))).toBe(timed ? '-> sending' : 'not_claimable');
  });

  test('every pair of phase and event was decided', () => {
    for (const room of Object.values(ROOMS)) {
      for (const type of EVENT_TYPES) decide(room, eventOf(type, room, headSequence(room)), START + 1);
    }
    expect(pairs.size).toBe(PHASES.length * EVENT_TYPES.length);
  });
});

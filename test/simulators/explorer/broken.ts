/** Cores and drivers with one fault each, made to be found. */

import { REAL, type Rules, type Subject } from '../../../simulators/explorer/subject.ts';
import type { Decision, RoomEvent } from '../../../src/room/events.ts';
import { hasHead, type Room } from '../../../src/room/room.ts';

type Decide = Subject['transition'];

/** A core that decides some events wrongly, and the others as it should. */
function deciding(wrongly: (room: Room, event: RoomEvent, now: number, rightly: Decide) => Decision | null): Subject {
  const { transition } = REAL;
  return {
    ...REAL,
    transition: (room, event, now) => wrongly(room, event, now, transition) ?? transition(room, event, now),
  };
}

function without(...rules: readonly (keyof Rules)[]): Subject {
  return { ...REAL, rules: { ...REAL.rules, ...Object.fromEntries(rules.map((rule) => [rule, false])) } };
}

function head(room: Room): number {
  return room.settled + 1;
}

const settlesOnAnyAck = deciding((room, event, now, rightly) => {
  if (event.type !== 'ack' || event.sequence === head(room) || room.attempt === 0) return null;
  return rightly(room, { ...event, sequence: head(room) }, now);
});

const takesAnyAnswerForTheOpenAttempt = deciding((room, event, now, rightly) => {
  if (event.type !== 'attempt_accepted' || event.attempt === room.attempt || room.attempt === 0) return null;
  return rightly(room, { ...event, attempt: room.attempt }, now);
});

const assumesWhatWasNeverSent = deciding((room, event, now, rightly) => {
  if (event.type !== 'deadline_due' || room.phase !== 'unknown') return null;
  return rightly({ ...room, bytesLeft: true }, event, now);
});

const repeatsWhatWasAccepted = deciding((room, event, now, rightly) => {
  if (event.type !== 'deadline_due' || room.phase !== 'awaiting_ack') return null;
  return rightly({ ...room, phase: 'backing_off' }, event, now);
});

/** It thinks that the head is done with as soon as it was accepted. */
const goesOnWithoutAck = deciding((room, event, now, rightly) => {
  if (event.type !== 'attempt_accepted') return null;
  const decision = rightly(room, event, now);
  if (decision.room.phase !== 'awaiting_ack') return decision;
  return rightly({ ...decision.room, version: room.version }, { type: 'skip', sequence: head(room) }, now);
});

const hasNoAckTimeout = deciding((room, event) => {
  if (event.type !== 'deadline_due' || room.phase !== 'awaiting_ack') return null;
  return { verdict: { kind: 'ignored', reason: 'not_due' }, room, facts: [], effects: [] };
});

const failsAtTheFirstRefusal = deciding((room, event, now, rightly) => {
  if (event.type !== 'attempt_refused' || event.nack.permanent || event.nack.scope !== 'message') return null;
  return rightly(room, { ...event, nack: { ...event.nack, permanent: true } }, now);
});

const forgetsCancelMarks = deciding((room, event, now, rightly) => {
  if (event.type !== 'permit_granted' || !room.envelopes.some(({ cancelledBy }) => cancelledBy)) return null;
  return rightly({ ...room, envelopes: room.envelopes.map((one) => ({ ...one, cancelledBy: null })) }, event, now);
});

/** It takes what was refused for what was never tried. */
const supersedesWhatWasTried = deciding((room, event, now, rightly) => {
  if (event.type !== 'superseded' || event.sequence !== head(room) || room.phase !== 'backing_off') return null;
  const { reason, ...decision } = {
    reason: 'superseded' as const,
    ...rightly(room, { ...event, type: 'cancel' }, now),
  };
  return { ...decision, facts: decision.facts.map((fact) => (fact.kind === 'settled' ? { ...fact, reason } : fact)) };
});

/** It takes the operator's word for the publisher's. */
const tellsNobodyWhoCancelled = deciding((room, event, now, rightly) =>
  event.type === 'superseded' ? rightly(room, { ...event, type: 'cancel' }, now) : null,
);

const raisesNoVersion = deciding((room, event, now, rightly) => {
  if (event.type !== 'pause') return null;
  const decision = rightly(room, event, now);
  return { ...decision, room: { ...decision.room, version: room.version } };
});

/** It never looks for attempts that a dead process left open. */
const takesNothingOver: Subject = {
  ...REAL,
  pendingEffects: (room) => REAL.pendingEffects(room).filter(({ type }) => type !== 'send'),
};

/** A room whose retry is due stands in no queue. */
const forgetsToAskForAPermit: Subject = {
  ...REAL,
  pendingEffects: (room) => REAL.pendingEffects(room).filter(({ type }) => type !== 'request_permit' || !hasHead(room)),
};

const comparesNoVersions = without('comparesVersions');
const hasNoFence = without('provesLease');
const hasNeitherFenceNorVersions = without('provesLease', 'comparesVersions');
const dropsTheRoomAfterARefusedWrite = without('readsAgain');
const sendsInAnyLife = without('sendsInItsLifeOnly');
const sendsWhatHasSettled = without('sendsUnsettledOnly');
const leavesALostClaimValid = without('raisesGeneration');

export const BROKEN = {
  settlesOnAnyAck,
  takesAnyAnswerForTheOpenAttempt,
  assumesWhatWasNeverSent,
  repeatsWhatWasAccepted,
  goesOnWithoutAck,
  hasNoAckTimeout,
  failsAtTheFirstRefusal,
  forgetsCancelMarks,
  supersedesWhatWasTried,
  tellsNobodyWhoCancelled,
  raisesNoVersion,
  takesNothingOver,
  forgetsToAskForAPermit,
  comparesNoVersions,
  hasNoFence,
  hasNeitherFenceNorVersions,
  dropsTheRoomAfterARefusedWrite,
  sendsInAnyLife,
  sendsWhatHasSettled,
  leavesALostClaimValid,
} as const satisfies Readonly<Record<string, Subject>>;

/**
 * The one place that decides what becomes of a room: `transition(room, event, now)` is pure and total.
 *
 *   R1 durable    a message settles exactly once; as *assumed* only if an attempt of it began
 *   R2 ordered    an attempt of n+1 begins only in a state in which n has settled
 *   R3 one in flight   only the head has a begun attempt
 *   R4 duplicates only from the unknown   attempt k+1 begins only after k was refused, unknown, interrupted or nacked
 *   R6 live       every state with waiting messages has an effect, a deadline, a stopped channel or a hold
 *
 * `applied` states must be written (the version has risen), `noted` ones live in memory only, `ignored` changes nothing
 * of the room. Facts are written together with the room; effects run after that commit, and `pendingEffects` derives
 * the same effects from a stored row, so that a restart and a take-over use the ordinary path.
 */
import { higherLevel, reaches } from './ack.ts';
import {
  acceptAttempt,
  endAttempt,
  isCurrentAttempt,
  nackAttempt,
  spentWith,
  unlocks,
  withoutOldRefusals,
} from './attempts.ts';
import { applied, envelopeMissing, ignored, noted } from './decision.ts';
import { isClaimable, mayExpire, nextDeadline } from './effects.ts';
import type { Decision, Effect, Fact, RoomEvent, SettleReason } from './events.ts';
import { debtAfter, withinLimitFrom } from './pacing.ts';
import { backoffDelayMs } from './retry.ts';
import {
  type Attempt,
  type CancelledBy,
  type Envelope,
  type HeldReason,
  hasHead,
  headEnvelope,
  headSequence,
  type Nack,
  noHead,
  type Outcome,
  type Policy,
  possiblyDelivered,
  type Room,
  type WaitingReason,
  withEnvelopes,
} from './room.ts';

export function transition(room: Room, event: RoomEvent, now: number): Decision {
  switch (event.type) {
    case 'tail_raised':
      return onTailRaised(room, event.tail, event.envelopes);
    case 'permit_granted':
      return onPermitGranted(room, event, now);
    case 'attempt_accepted':
      return onAccepted(room, event, now);
    case 'attempt_refused':
      return onRefused(room, event, now);
    case 'attempt_unknown':
      return onUnknown(room, event, now);
    case 'taken_over':
      return onTakenOver(room, event.chance, now);
    case 'ack':
      return onAck(room, event, now);
    case 'nack':
      return onNack(room, event, now);
    case 'deadline_due':
      return onDeadline(room, event, now);
    case 'pause':
      return onPause(room, now);
    case 'resume':
      return onResume(room, now);
    case 'skip':
      return onOperatorSettle(room, event.sequence, 'skip', now);
    case 'cancel':
      return onOperatorSettle(room, event.sequence, 'cancel', now);
    case 'superseded':
      return onSuperseded(room, event.sequence, now);
    case 'retry':
      return onRetry(room, event.sequence, now);
    case 'history_changed':
      return onHistoryChanged(room, now);
    default:
      return event satisfies never;
  }
}

// ---------------------------------------------------------------------------------------------- the holder's events

function onTailRaised(room: Room, tail: number, envelopes: readonly Envelope[]): Decision {
  // What is told of a message late, when the tail was known from elsewhere, may be older than a cancel mark on it: such
  // a message is read from the store when its turn comes.
  const news = envelopes.filter(({ sequence }) => sequence > room.tail);
  return noted(withEnvelopes({ ...room, tail: Math.max(room.tail, tail) }, news));
}

function onPermitGranted(room: Room, by: { worker: string; generation: number }, now: number): Decision {
  if (!hasHead(room)) return ignored(room, 'nothing_waits');
  const timerIsDue = room.until !== null && room.until <= now;
  const afterTimer = room.phase === 'backing_off' || room.phase === 'waiting';
  if (room.paused || !(isClaimable(room) || (afterTimer && timerIsDue))) return ignored(room, 'not_claimable');

  const settledOnTheWay: Fact[] = [];
  const head = readyOrLater({ ...room, phase: 'ready', reason: null, until: null }, now, settledOnTheWay);
  if (head.phase !== 'ready') return applied(room, head, settledOnTheWay, now);
  const policy = policyOf(head);
  if (policy === null) {
    // Cancelled or expired messages may have been settled up to the end of what is known of the queue.
    return settledOnTheWay.length > 0 ? applied(room, head, settledOnTheWay, now) : envelopeMissing(room);
  }
  const version = room.version + 1;
  const number = head.attempt + 1;
  const attempt: Attempt = {
    number,
    worker: by.worker,
    generation: by.generation,
    begunAt: now,
    endedAt: null,
    result: null,
    code: null,
  };
  const claimed: Room = {
    ...head,
    phase: 'sending',
    attempt: number,
    debtUntil: debtAfter(policy.roomLimit, head.debtUntil, now),
    firstClaimVersion: head.firstClaimVersion === 0 ? version : head.firstClaimVersion,
    attempts: withoutOldRefusals([...head.attempts, attempt]),
  };
  return applied(room, claimed, settledOnTheWay, now);
}

function onTakenOver(room: Room, chance: number, now: number): Decision {
  if (room.phase !== 'sending') return ignored(room, 'nothing_open');
  const ended = endAttempt(room, 'interrupted', { code: 'taken_over' }, now);
  return afterUnanswered(room, ended, false, chance, now);
}

function onDeadline(room: Room, event: { channelAnswered: boolean; chance: number }, now: number): Decision {
  const deadline = nextDeadline(room);
  if (deadline === null) return ignored(room, 'no_deadline');
  if (deadline > now) return ignored(room, 'not_due');
  const expiresAt = headEnvelope(room)?.expiresAt ?? null;
  if (mayExpire(room) && expiresAt !== null && expiresAt <= now) {
    return settle(room, room, 'expired', 'expired', now);
  }
  switch (room.phase) {
    case 'awaiting_ack':
      return settle(room, room, 'assumed', 'ack_timeout', now);
    case 'unknown':
      return resolveUnknown(room, event, now);
    case 'backing_off':
    case 'waiting': {
      const settledOnTheWay: Fact[] = [];
      const next = readyOrLater({ ...room, phase: 'ready', reason: null, until: null }, now, settledOnTheWay);
      return applied(room, next, settledOnTheWay, now);
    }
    case 'idle':
    case 'ready':
    case 'sending':
    case 'held':
      return ignored(room, 'no_deadline');
    default:
      return room.phase satisfies never;
  }
}

// ------------------------------------------------------------------------------------------------ what an attempt gave

type Answered = Extract<RoomEvent, { type: 'attempt_accepted' }>;
type Refused = Extract<RoomEvent, { type: 'attempt_refused' }>;
type Unanswered = Extract<RoomEvent, { type: 'attempt_unknown' }>;

function onAccepted(room: Room, event: Answered, now: number): Decision {
  const identity: Fact[] =
    event.platformId === null ? [] : [{ kind: 'accepted_as', sequence: event.sequence, platformId: event.platformId }];
  if (event.sequence <= room.settled) {
    return answeredLate(room, event, 'accepted', null, event.platformId, now, identity);
  }
  const definite = ['accepted', 'refused'].includes(room.attempts.at(-1)?.result ?? '');
  if (!isCurrentAttempt(room, event) || definite || room.phase === 'held') {
    return ignored(room, 'stale_attempt', identity);
  }
  const answered: Room = {
    ...acceptAttempt(room, event.highestLevel, now),
    level: higherLevel(room.level, 'accepted'),
    levelAt: room.level === 'none' ? now : room.levelAt,
    platformId: event.platformId,
    // An ack may have told it before; the time of any copy holds.
    platformAt: event.platformAt ?? room.platformAt,
  };
  const policy = policyOf(room);
  if (policy === null) return envelopeMissing(room, identity);
  if (unlocks(answered, answered.level, policy)) {
    return settle(room, answered, 'acked', 'accepted', now, identity);
  }
  if (room.mark !== null) return settleMarked(room, answered, now, identity);
  if (room.nack !== null && (room.nack.platformId === null || room.nack.platformId === event.platformId)) {
    return afterNack(room, answered, room.nack, 0, now, identity);
  }
  return applied(room, awaitingAck(answered, event.ackTimeoutMs ?? policy.ackTimeoutMs, now), identity, now);
}

function awaitingAck(room: Room, waitMs: number, now: number): Room {
  return { ...room, phase: 'awaiting_ack', reason: null, nack: null, bytesLeft: false, until: now + waitMs };
}

/**
 * An ack below the level that unlocks came for a message none of whose attempts was answered: one of them arrived.
 * Where an attempt was answered or nacked the level may be that attempt's, and says nothing of a later one.
 */
function seenAtPlatform(room: Room): boolean {
  return room.level !== 'none' && room.attempts.every(({ result }) => result !== 'accepted' && result !== 'refused');
}

function onRefused(room: Room, event: Refused, now: number): Decision {
  if (event.sequence <= room.settled) return answeredLate(room, event, 'refused', event.nack.code, null, now);
  if (!isCurrentAttempt(room, event) || (room.phase !== 'sending' && room.phase !== 'unknown')) {
    return ignored(room, 'stale_attempt');
  }
  const ended = endAttempt(room, 'refused', event.nack, now);
  if (room.mark !== null) return settleMarked(room, ended, now);
  return afterNack(room, ended, event.nack, event.chance, now);
}

function onUnknown(room: Room, event: Unanswered, now: number): Decision {
  if (event.sequence <= room.settled) return answeredLate(room, event, 'unknown', event.code, null, now);
  if (!isCurrentAttempt(room, event) || room.phase !== 'sending') return ignored(room, 'stale_attempt');
  const ended = endAttempt(room, 'unknown', event, now);
  return afterUnanswered(room, ended, event.bytesLeft, event.chance, now);
}

function answeredLate(
  room: Room,
  event: { sequence: number; attempt: number },
  result: 'accepted' | 'refused' | 'unknown',
  code: string | null,
  platformId: string | null,
  now: number,
  facts: readonly Fact[] = [],
): Decision {
  const { sequence, attempt } = event;
  const answer: Fact = { kind: 'answered_late', sequence, attempt, result, code, platformId, at: now };
  return ignored(room, 'already_settled', [...facts, answer]);
}

/** The request ended without an answer: what was waiting for its end takes effect, else evidence is waited for. */
function afterUnanswered(before: Room, ended: Room, bytesLeft: boolean, chance: number, now: number): Decision {
  if (before.mark !== null) return settleMarked(before, ended, now);
  const { nack } = before;
  // A nack that names an earlier attempt's platform id repeats that one's failure.
  const repeated = nack !== null && nack.platformId !== null && nack.platformId === before.platformId;
  if (nack !== null && !repeated) return afterNack(before, ended, nack, chance, now);
  const policy = policyOf(before);
  if (policy !== null && seenAtPlatform(ended)) {
    return applied(before, awaitingAck(ended, policy.ackTimeoutMs, now), [], now);
  }
  const graceMs = policy?.unknownGraceMs ?? DEFAULT_GRACE_MS;
  const unknown: Room = { ...ended, phase: 'unknown', reason: null, nack: null, bytesLeft, until: now + graceMs };
  return applied(before, unknown, [], now);
}

/** Used only where a room is taken over before its envelopes are loaded. */
const DEFAULT_GRACE_MS = 2_000;

/** The grace is over and no evidence came: resend, hold or assume. */
function resolveUnknown(room: Room, event: { channelAnswered: boolean; chance: number }, now: number): Decision {
  const policy = policyOf(room);
  if (policy === null) return envelopeMissing(room);
  const clean: Room = { ...room, bytesLeft: false };
  if (policy.unknownPolicy === 'hold') return hold(room, clean, 'outcome_unknown', now);
  if (policy.unknownPolicy === 'assume' && room.bytesLeft) {
    return settle(room, clean, 'assumed', 'assume_policy', now);
  }
  if (!event.channelAnswered) {
    // Nothing on this channel was answered since: the channel is at fault, not the message.
    const waiting: Room = { ...clean, phase: 'waiting', reason: 'channel', until: null };
    return applied(room, waiting, [], now, [{ type: 'channel_silent' }]);
  }
  const spent = spentWith(room);
  if (spent >= policy.maxAttempts) return fail(room, { ...clean, spent }, 'outcome_unknown', now);
  return backOff(room, { ...clean, spent }, policy, event.chance, null, now);
}

/** A definite refusal of the head, from its answer or from a status. */
function afterNack(
  before: Room,
  room: Room,
  nack: Nack,
  chance: number,
  now: number,
  facts: readonly Fact[] = [],
): Decision {
  const clean: Room = { ...nackAttempt(room, nack), nack: null, bytesLeft: false };
  if (nack.scope === 'channel' || nack.scope === 'account') {
    return applied(before, { ...clean, phase: 'waiting', reason: 'channel', until: null }, facts, now);
  }
  if (nack.permanent) return fail(before, clean, 'refused', now, facts);
  const policy = policyOf(before);
  if (policy === null) return envelopeMissing(before, facts);
  if (nack.scope === 'room') {
    // The platform limits this room: the head keeps its place and uses up no attempt.
    const waitMs = backoffDelayMs(policy.backoff, clean.attempts.length, chance, nack.retryAfterMs);
    return applied(before, { ...clean, phase: 'waiting', reason: 'limit', until: now + waitMs }, facts, now);
  }
  const spent = spentWith(clean);
  if (spent >= policy.maxAttempts) return fail(before, { ...clean, spent }, 'attempts_exhausted', now, facts);
  return backOff(before, { ...clean, spent }, policy, chance, nack.retryAfterMs, now, facts);
}

function backOff(
  before: Room,
  room: Room,
  policy: Policy,
  chance: number,
  retryAfterMs: number | null,
  now: number,
  facts: readonly Fact[] = [],
): Decision {
  const delayMs = backoffDelayMs(policy.backoff, room.spent, chance, retryAfterMs);
  return applied(before, { ...room, phase: 'backing_off', reason: null, until: now + delayMs }, facts, now);
}

// ------------------------------------------------------------------------------------------------------ acks and nacks

type Ack = Extract<RoomEvent, { type: 'ack' }>;
type NackEvent = Extract<RoomEvent, { type: 'nack' }>;

function onAck(room: Room, event: Ack, now: number): Decision {
  if (event.sequence <= room.settled) {
    return ignored(room, 'already_settled', [], judgeLate(event.sequence, event.cumulative));
  }
  // A cumulative ack settles at most the message in flight; for a later one it says that the head has it, too.
  const late = event.cumulative && room.settled > 0 ? judgeLate(room.settled, true) : [];
  const aboutHead = event.sequence === headSequence(room) || (event.cumulative && event.sequence <= room.tail);
  if (!aboutHead || room.attempt === 0) return ignored(room, 'not_begun', [], late);
  const policy = policyOf(room);
  if (policy === null) return envelopeMissing(room);
  if (!unlocks(room, event.level, policy) && reaches(room.level, event.level)) {
    return ignored(room, 'level_known', [], late);
  }
  const platformAt = room.platformAt ?? event.platformAt ?? null;
  const decision = withLevel(room, { ...room, level: event.level, levelAt: event.at, platformAt }, policy, now);
  return late.length === 0 ? decision : { ...decision, effects: [...late, ...decision.effects] };
}

function withLevel(before: Room, raised: Room, policy: Policy, now: number): Decision {
  if (unlocks(raised, raised.level, policy)) return settledByAck(before, raised, now);
  const unresolved = before.phase !== 'sending' && before.phase !== 'awaiting_ack' && before.phase !== 'held';
  if (unresolved && seenAtPlatform(raised)) {
    return applied(before, awaitingAck(raised, policy.ackTimeoutMs, now), [], now);
  }
  return applied(before, raised, [], now);
}

/** A hold because of a changed history outlasts the ack: what comes next may have been sent in the past that was lost. */
function settledByAck(before: Room, raised: Room, now: number): Decision {
  if (before.reason !== 'history_changed') return settle(before, raised, 'acked', 'ack', now);
  const facts: Fact[] = [];
  const next = advance(raised, 'acked', 'ack', before.version + 1, now, facts);
  if (hasHead(next)) return hold(before, next, 'history_changed', now, facts);
  return applied(before, readyOrLater(next, now, facts), facts, now);
}

function judgeLate(sequence: number, cumulative: boolean): readonly Effect[] {
  return [{ type: 'judge_late', sequence, cumulative }];
}

function onNack(room: Room, event: NackEvent, now: number): Decision {
  if (event.sequence <= room.settled) {
    return ignored(room, 'already_settled', [], judgeLate(event.sequence, false));
  }
  if (event.sequence !== headSequence(room) || room.attempt === 0) return ignored(room, 'not_begun');
  if (reaches(room.level, 'delivered')) return ignored(room, 'contradiction');
  switch (room.phase) {
    case 'sending': {
      if (room.nack !== null) return ignored(room, 'already_marked');
      const nack = { ...event.nack, platformId: event.platformId };
      return applied(room, { ...room, nack }, [], now);
    }
    case 'awaiting_ack':
      if (event.platformId !== null && room.platformId !== null && event.platformId !== room.platformId) {
        return ignored(room, 'stale_attempt');
      }
      return afterNack(room, room, event.nack, event.chance, now);
    case 'unknown':
      return afterNack(room, room, event.nack, event.chance, now);
    case 'backing_off':
    case 'waiting':
    case 'ready':
      // A copy of an earlier attempt failed for good; a retryable failure changes nothing, a retry is under way.
      if (event.nack.permanent && (event.nack.scope === 'message' || event.nack.scope === 'room')) {
        return fail(room, nackAttempt(room, event.nack), 'refused', now);
      }
      return ignored(room, 'nothing_open');
    case 'idle':
    case 'held':
      return ignored(room, 'nothing_open');
    default:
      return room.phase satisfies never;
  }
}

// ----------------------------------------------------------------------------------------------------------- operators

function onPause(room: Room, now: number): Decision {
  if (room.paused) return ignored(room, 'already_paused');
  const paused: Room = { ...room, paused: true };
  const stops = room.phase === 'idle' || room.phase === 'ready' || room.phase === 'waiting';
  if (!stops) return applied(room, paused, [], now);
  const gapUntil = limitedUntil(room);
  return applied(room, { ...paused, phase: 'waiting', reason: 'paused', until: null, gapUntil }, [], now);
}

function onResume(room: Room, now: number): Decision {
  if (!room.paused) return ignored(room, 'not_paused');
  const resumed: Room = { ...room, paused: false };
  if (room.phase !== 'waiting') return applied(room, resumed, [], now);
  const settledOnTheWay: Fact[] = [];
  const next = readyOrLater({ ...resumed, phase: 'ready', reason: null, until: null }, now, settledOnTheWay);
  return applied(room, next, settledOnTheWay, now);
}

function onOperatorSettle(room: Room, sequence: number, order: 'skip' | 'cancel', now: number): Decision {
  if (sequence <= room.settled) return ignored(room, 'already_settled');
  if (sequence > room.tail) return ignored(room, 'not_accepted_yet');
  if (sequence > headSequence(room)) {
    if (order === 'skip') return ignored(room, 'not_head');
    return markCancelled(room, sequence, 'operator', now);
  }
  if (room.phase === 'sending') {
    if (room.mark !== null) return ignored(room, 'already_marked');
    return applied(room, { ...room, mark: order }, [], now);
  }
  return settle(room, room, order === 'skip' ? 'skipped' : 'cancelled', 'operator', now);
}

/** What is outdated is not sent; what has been tried goes on, and both arrive in their order. */
function onSuperseded(room: Room, sequence: number, now: number): Decision {
  if (sequence <= room.settled) return ignored(room, 'already_settled');
  if (sequence > room.tail) return ignored(room, 'not_accepted_yet');
  if (sequence === headSequence(room)) {
    if (room.attempt > 0) return ignored(room, 'begun');
    // To settle it would end the hold and send what waits behind it; only an operator may. A mark keeps it from being sent.
    if (room.phase !== 'held') {
      return settle(room, room, 'cancelled', headEnvelope(room)?.cancelledBy ?? 'superseded', now);
    }
  }
  return markCancelled(room, sequence, 'superseded', now);
}

/** It settles when its turn comes, without an attempt; who came first with that is remembered. */
function markCancelled(room: Room, sequence: number, by: CancelledBy, now: number): Decision {
  const marked = room.envelopes.some((one) => one.sequence === sequence && one.cancelledBy !== null);
  if (marked) return ignored(room, 'already_marked');
  const envelopes = room.envelopes.map((one) => (one.sequence === sequence ? { ...one, cancelledBy: by } : one));
  return applied(room, { ...room, envelopes }, [{ kind: 'cancel_marked', sequence, by }], now);
}

function onRetry(room: Room, sequence: number, now: number): Decision {
  if (sequence <= room.settled) return ignored(room, 'already_settled');
  if (sequence > room.tail) return ignored(room, 'not_accepted_yet');
  if (sequence !== headSequence(room)) return ignored(room, 'not_head');
  if (room.phase !== 'held' && room.phase !== 'backing_off') return ignored(room, 'not_held');
  const settledOnTheWay: Fact[] = [];
  const fresh: Room = { ...room, spent: 0, phase: 'ready', reason: null, until: null };
  return applied(room, readyOrLater(fresh, now, settledOnTheWay), settledOnTheWay, now);
}

/**
 * Whatever the head had come to may be older than what really happened to it: it waits for an operator, who may retry it
 * although it was accepted. An open attempt is taken over first.
 */
function onHistoryChanged(room: Room, now: number): Decision {
  if (!hasHead(room)) return ignored(room, 'nothing_waits');
  if (room.phase === 'held') return ignored(room, 'already_held');
  if (room.phase === 'sending') return ignored(room, 'attempt_open');
  return hold(room, { ...room, gapUntil: limitedUntil(room), bytesLeft: false }, 'history_changed', now);
}

/** A limit that the platform set outlives the wait for an operator. */
function limitedUntil(room: Room): number {
  return room.reason === 'limit' ? Math.max(room.gapUntil, room.until ?? 0) : room.gapUntil;
}

// ----------------------------------------------------------------------------------------------------------- settling

function settleMarked(before: Room, room: Room, now: number, facts: readonly Fact[] = []): Decision {
  return settle(before, room, room.mark === 'skip' ? 'skipped' : 'cancelled', 'operator', now, facts);
}

function fail(
  before: Room,
  room: Room,
  reason: HeldReason & SettleReason,
  now: number,
  facts: readonly Fact[] = [],
): Decision {
  const policy = policyOf(before);
  if (policy === null) return envelopeMissing(before, facts);
  if (policy.failurePolicy === 'hold') return hold(before, room, reason, now, facts);
  return settle(before, room, 'failed', reason, now, facts);
}

function hold(before: Room, room: Room, reason: HeldReason, now: number, facts: readonly Fact[] = []): Decision {
  return applied(before, { ...room, phase: 'held', reason, until: null, mark: null, nack: null }, facts, now);
}

/** The head settles; what follows it is brought as far as it can go without a permit. */
function settle(
  before: Room,
  room: Room,
  outcome: Outcome,
  reason: SettleReason,
  now: number,
  facts: readonly Fact[] = [],
): Decision {
  const all: Fact[] = [...facts];
  const next = readyOrLater(advance(room, outcome, reason, before.version + 1, now, all), now, all);
  return applied(before, next, all, now);
}

function advance(
  room: Room,
  outcome: Outcome,
  reason: SettleReason,
  version: number,
  now: number,
  facts: Fact[],
): Room {
  const sequence = headSequence(room);
  facts.push({
    kind: 'settled',
    sequence,
    outcome,
    reason,
    code: room.attempts.at(-1)?.code ?? null,
    at: now,
    version,
    firstClaimVersion: room.firstClaimVersion,
    possiblyDelivered: outcome !== 'acked' && possiblyDelivered(room),
    deadLetter: outcome === 'failed',
    level: room.level,
    levelAt: room.levelAt,
    platformId: room.platformId,
    platformAt: room.platformAt,
    attempts: room.attempts,
  });
  const gapMs = room.attempt > 0 ? (policyOf(room)?.minGapMs ?? 0) : 0;
  return {
    ...room,
    ...noHead,
    settled: sequence,
    phase: 'ready',
    reason: null,
    until: null,
    gapUntil: gapMs > 0 ? now + gapMs : room.gapUntil,
    envelopes: room.envelopes.filter((envelope) => envelope.sequence > sequence),
  };
}

/**
 * Brings a room whose head has no open attempt to `ready`, or to what keeps it from that: settles heads that were
 * cancelled or have expired, waits for a time to come, for a pause to end, or for a next message.
 */
function readyOrLater(room: Room, now: number, facts: Fact[]): Room {
  let next = room;
  const version = room.version + 1;
  for (;;) {
    if (!hasHead(next)) return next.paused ? waiting(next, 'paused', null) : { ...next, phase: 'idle' };
    const envelope = headEnvelope(next);
    if (envelope !== null && envelope.cancelledBy !== null) {
      next = advance(next, 'cancelled', envelope.cancelledBy, version, now, facts);
      continue;
    }
    if (envelope !== null && envelope.expiresAt !== null && envelope.expiresAt <= now) {
      next = advance(next, 'expired', 'expired', version, now, facts);
      continue;
    }
    if (next.paused) return waiting(next, 'paused', null);
    const earliest = Math.max(envelope?.notBefore ?? 0, next.gapUntil);
    const within = envelope === null ? 0 : withinLimitFrom(envelope.policy.roomLimit, next.debtUntil);
    if (within > now && within >= earliest) return waiting(next, 'limit', within);
    if (earliest > now) return waiting(next, 'not_before', earliest);
    return next;
  }
}

function waiting(room: Room, reason: WaitingReason, until: number | null): Room {
  return { ...room, phase: 'waiting', reason, until };
}

// ------------------------------------------------------------------------------------------------------------- helpers

function policyOf(room: Room): Policy | null {
  return headEnvelope(room)?.policy ?? null;
}

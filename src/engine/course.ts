import type { Decision, Effect, Fact, RoomEvent, Verdict } from '../room/events.ts';
import { headSequence, type Nack, type Room } from '../room/room.ts';
import { transition } from '../room/transition.ts';
import type { ChannelSettings } from './policy.ts';
import type { AckInbox, Chance, InboxAck, LateFact, LookupResult, SendResult } from './ports.ts';

/** What a run of events comes to, before it is stored. */
export interface Course {
  room: Room;
  readonly verdicts: Verdict[];
  readonly facts: Fact[];
  readonly lateFacts: LateFact['fact'][];
  readonly late: { readonly sequence: number; readonly cumulative: boolean; readonly event: RoomEvent }[];
  channelSilent: boolean;
  /** Statuses of open attempts that refuse the channel or its account. */
  readonly channelNacks: Nack[];
  claims: boolean;
  /** The message whose platform id this course makes known. */
  acceptedAs: number | null;
  /** Acks of this channel may come without our reference: platform ids are stored. */
  readonly keepsPlatformIds: boolean;
}

/** @param trusted the lease is: without it, an attempt that this process does not know may be its successor's */
export function stepTrusted(course: Course, event: RoomEvent, now: number, trusted: boolean): void {
  if (trusted || event.type !== 'taken_over') step(course, event, now);
  else course.verdicts.push({ kind: 'ignored', reason: 'nothing_open' });
}

export function step(course: Course, event: RoomEvent, now: number): void {
  const decision: Decision = transition(course.room, event, now);
  course.verdicts.push(decision.verdict);
  for (const fact of decision.facts) {
    if (fact.kind === 'accepted_as') {
      if (!course.keepsPlatformIds) continue;
      course.acceptedAs = fact.sequence;
    }
    if (decision.verdict.kind === 'applied') course.facts.push(fact);
    else if (fact.kind === 'accepted_as' || fact.kind === 'answered_late') course.lateFacts.push(fact);
  }
  if (event.type === 'nack' && decision.verdict.kind === 'applied' && isWide(event.nack)) {
    course.channelNacks.push(event.nack);
  }
  for (const effect of decision.effects) {
    if (effect.type === 'channel_silent') course.channelSilent = true;
    if (effect.type === 'judge_late') {
      course.late.push({ sequence: effect.sequence, cumulative: effect.cumulative, event });
    }
  }
  course.room = decision.room;
}

/** It refuses more than a room: the channel, or its account. */
export function isWide({ scope }: Nack): boolean {
  return scope === 'channel' || scope === 'account';
}

/**
 * What the ack inbox knows of the message in flight. Every timeout of a channel that does not echo our reference reads it
 * in the same decision. Null where it need not be asked.
 */
export function inboxEvidence(
  inbox: AckInbox,
  room: Room,
  events: readonly { readonly event: RoomEvent }[],
  echoesReference: ChannelSettings['echoesReference'] | undefined,
  chance: Chance,
): Promise<RoomEvent[]> | null {
  if (echoesReference !== 'never' || room.platformId === null) return null;
  if (!events.some(({ event }) => event.type === 'deadline_due')) return null;
  const acks = inbox.read(room.key, [room.platformId]);
  return acks.then((found) => found.map((ack) => inboxEvent(ack, headSequence(room), chance())));
}

export function inboxEvent(ack: InboxAck, sequence: number | null, chance: number): RoomEvent {
  const of = sequence ?? 0;
  if (ack.nack !== null)
    return { type: 'nack', sequence: of, nack: ack.nack, platformId: ack.platformId, at: ack.at, chance };
  const level = ack.level === 'none' ? 'accepted' : ack.level;
  return { type: 'ack', sequence: of, level, at: ack.at, cumulative: false };
}

/** What the request of the attempt that `room` claimed came to. */
export function resultEvent(room: Room, result: SendResult, ackTimeoutMs: number | null, chance: number): RoomEvent {
  const sequence = headSequence(room);
  const { attempt } = room;
  switch (result.kind) {
    case 'accepted': {
      const { platformId, platformAt, highestLevel } = result;
      const event = { type: 'attempt_accepted', sequence, attempt, platformId, platformAt, ackTimeoutMs } as const;
      return highestLevel === undefined ? event : { ...event, highestLevel };
    }
    case 'refused':
      return { type: 'attempt_refused', sequence, attempt, nack: result.nack, chance };
    case 'unknown': {
      const { kind: _kind, ...said } = result;
      return { type: 'attempt_unknown', sequence, attempt, ...said, chance };
    }
    default:
      return result satisfies never;
  }
}

/** What the platform, asked for an attempt, knew of it. */
export function lookupEvents(
  { sequence, attempt }: Extract<Effect, { type: 'lookup' }>,
  result: LookupResult,
  at: number,
  chance: number,
): RoomEvent[] {
  switch (result.kind) {
    case 'no_evidence':
      return [];
    case 'failed':
      return [{ type: 'nack', sequence, nack: result.nack, platformId: result.platformId, at, chance }];
    case 'found': {
      const { platformId, platformAt, level } = result;
      return [
        { type: 'attempt_accepted', sequence, attempt, platformId, platformAt, ackTimeoutMs: null },
        { type: 'ack', sequence, level, at, cumulative: false },
      ];
    }
    default:
      return result satisfies never;
  }
}

export function newCourse(room: Room, keepsPlatformIds: boolean): Course {
  return {
    room,
    verdicts: [],
    facts: [],
    lateFacts: [],
    late: [],
    channelSilent: false,
    channelNacks: [],
    claims: false,
    acceptedAs: null,
    keepsPlatformIds,
  };
}

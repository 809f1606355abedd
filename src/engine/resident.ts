import type { IgnoredReason, RoomEvent, Verdict } from '../room/events.ts';
import { headSequence, type Room } from '../room/room.ts';
import type { Permit } from './channels.ts';
import type { Course } from './course.ts';
import type { Hint } from './hints.ts';
import type { Clock } from './ports.ts';

/** An event on its way, and who waits for its verdict. */
export interface Posted {
  readonly event: RoomEvent;
  /** Engine time at which it came about, where it is decided later on purpose. */
  readonly at: number | null;
  /** It has been put off once, to be decided against the row as it is. */
  rechecked: boolean;
  readonly resolve: (verdict: Verdict) => void;
  readonly reject: (error: unknown) => void;
}

/** A room in memory. */
export interface Resident {
  room: Room;
  readonly posted: Posted[];
  /** A decision about it is being made or stored. */
  deciding: boolean;
  /** The row must be read before the next decision. */
  stale: boolean;
  /** The version that is being stored. */
  writing: number;
  /** The store failed at the last try. */
  failing: boolean;
  permit: Permit | null;
  cancelRequest: (() => void) | null;
  /** Keys `sequence/attempt` of requests that this process has open. */
  readonly open: string[];
  /** Key of the attempt whose outcome was last looked up. */
  lookedUp: string | null;
  /** Monotonic ms at which the latest ack arrived, for the gap to the next send. */
  ackArrivedAt: number | null;
  /** Version at which a sweep found it claimable but not attended to. */
  suspectVersion: number | null;
  /** Called when the present decision has ended. */
  readonly whenDecided: (() => void)[];
}

export function newResident(room: Room): Resident {
  return {
    room,
    posted: [],
    deciding: false,
    stale: false,
    writing: 0,
    failing: false,
    permit: null,
    cancelRequest: null,
    open: [],
    lookedUp: null,
    ackArrivedAt: null,
    suspectVersion: null,
    whenDecided: [],
  };
}

export function leaveQueue(resident: Resident): void {
  resident.cancelRequest?.();
  resident.cancelRequest = null;
}

/** Gives up a permit that no claim has used. */
export function giveBack(resident: Resident): void {
  resident.permit?.release();
  resident.permit = null;
}

/** What the room is said to be. True where there is something to decide. */
export function takeHint(resident: Resident, { version, tail, ackedAt }: Hint, clock: Clock): boolean {
  if (version > Math.max(resident.room.version, resident.writing)) {
    if (ackedAt !== null) resident.ackArrivedAt ??= clock.monotonic() - Math.max(0, clock.now() - ackedAt);
    resident.stale = true;
    return true;
  }
  if (tail <= resident.room.tail) return false;
  const event: RoomEvent = { type: 'tail_raised', tail, envelopes: [] };
  resident.posted.push({ event, at: null, rechecked: false, resolve: () => undefined, reject: () => undefined });
  return true;
}

export function attemptKey(attempt: { readonly sequence: number; readonly attempt: number }): string {
  return `${attempt.sequence}/${attempt.attempt}`;
}

/** Events that may wait for a room while the store fails. */
const MAX_POSTED_WHILE_FAILING = 16;

/** Callers of further events are told to come again. */
export function isFull(resident: Resident): boolean {
  return resident.failing && resident.posted.length >= MAX_POSTED_WHILE_FAILING;
}

/** What was decided about these events came to nothing: they are decided again, before all others, on the row as it is. */
export function decideAgain(resident: Resident, posted: readonly Posted[]): void {
  resident.posted.unshift(...posted);
  resident.stale = true;
}

/** H7, H8. True where one of the events has to be decided once more. */
export function putOffUnknown(course: Course, posted: readonly Posted[]): boolean {
  const first = course.verdicts.length - posted.length;
  const unknown = posted.filter(({ event, rechecked }, index) => {
    const verdict = course.verdicts[first + index];
    if (rechecked || verdict?.kind !== 'ignored') return false;
    if (verdict.reason === 'not_accepted_yet') return true;
    if (event.type !== 'ack' && event.type !== 'nack') return false;
    // A cumulative ack of a message behind the head: memory is behind what was sent.
    const behind = event.type === 'ack' && event.cumulative && event.sequence > headSequence(course.room);
    return UNKNOWN_ATTEMPT.has(verdict.reason) || (behind && verdict.reason === 'level_known');
  });
  for (const one of unknown) one.rechecked = true;
  return unknown.length > 0;
}

const UNKNOWN_ATTEMPT: ReadonlySet<IgnoredReason> = new Set(['not_begun', 'nothing_open', 'stale_attempt']);

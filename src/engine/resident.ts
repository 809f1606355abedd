import type { RoomEvent, Verdict } from '../room/events.ts';
import type { Room } from '../room/room.ts';
import type { Permit } from './channels.ts';

/** An event on its way, and who waits for its verdict. */
export interface Posted {
  readonly event: RoomEvent;
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
  /** The store failed at the last try. */
  failing: boolean;
  permit: Permit | null;
  cancelRequest: (() => void) | null;
  /** Keys `sequence/attempt` of requests that this process has open. */
  readonly open: Set<string>;
  /** Key of the attempt whose outcome was last looked up. */
  lookedUp: string | null;
  /** Monotonic ms at which the latest ack arrived, for the gap to the next send. */
  ackArrivedAt: number | null;
  /** Version at which a sweep found it claimable but not attended to. */
  suspectVersion: number | null;
}

export function newResident(room: Room): Resident {
  return {
    room,
    posted: [],
    deciding: false,
    stale: false,
    failing: false,
    permit: null,
    cancelRequest: null,
    open: new Set(),
    lookedUp: null,
    ackArrivedAt: null,
    suspectVersion: null,
  };
}

export function attemptKey(attempt: { readonly sequence: number; readonly attempt: number }): string {
  return `${attempt.sequence}/${attempt.attempt}`;
}

/**
 * An operator's decision about every room at once: each goes through `transition` and the ordinary compare-and-set, page
 * by page, beside whatever the engine does meanwhile. What was changed already is not changed again, so that a run which
 * was cut off is simply run again.
 */
import type { RoomEvent } from '../room/events.ts';
import { hasHead, headSequence, type Policy, type Room, type RoomAddress, type RoomKey } from '../room/room.ts';
import { newCourse, step } from './course.ts';
import { roomOf } from './policy.ts';
import type { RoomStore, RoomWrite, StoredRoom } from './ports.ts';

export interface AllRoomsOptions {
  readonly store: RoomStore;
  readonly shards: number;
  readonly policyOf: (key: RoomKey) => Policy;
  /** Engine time in ms. */
  readonly now: () => number;
  readonly pause: (ms: number) => Promise<void>;
}

export interface RoomsDecided {
  /** Rooms that had an unsettled message. */
  readonly open: number;
  readonly changed: number;
}

const PAGE = 500;
const AGAIN_MS = 20;
/** Rooms that others write to all the time are tried for ten seconds. */
const TRIES = 500;

/** What became of the rooms' messages may have been lost: they wait for an operator, open attempts are taken over. */
export function holdAllRooms(options: AllRoomsOptions): Promise<RoomsDecided> {
  return decideAll(options, (room) => {
    const held: RoomEvent = { type: 'history_changed' };
    return room.phase === 'sending' ? [{ type: 'taken_over', chance: 0 }, held] : [held];
  });
}

/** Ends that hold for every room, in one way for all. */
export function releaseAllRooms(options: AllRoomsOptions, as: 'retry' | 'skip' | 'cancel'): Promise<RoomsDecided> {
  return decideAll(options, (room) =>
    room.phase === 'held' && room.reason === 'history_changed' ? [{ type: as, sequence: headSequence(room) }] : [],
  );
}

type EventsOf = (room: Room) => readonly RoomEvent[];

async function decideAll(options: AllRoomsOptions, eventsOf: EventsOf): Promise<RoomsDecided> {
  const { store, shards } = options;
  const all = Array.from({ length: shards }, (_, shard) => shard);
  let open = 0;
  let changed = 0;
  let after: RoomAddress | null = null;
  for (;;) {
    const page: StoredRoom[] = await store.scan(all, PAGE, after);
    const waiting = page.filter(({ row }) => hasHead(row));
    open += waiting.length;
    changed += await decidePage(options, waiting, eventsOf);
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) return { open, changed };
    after = { shard: last.row.shard, id: last.row.id };
  }
}

/** @returns how many rooms were changed */
async function decidePage(options: AllRoomsOptions, page: readonly StoredRoom[], eventsOf: EventsOf): Promise<number> {
  const { store, pause } = options;
  let rooms = page;
  let changed = 0;
  for (let tries = 1; ; tries++) {
    const writes = rooms.map((stored) => decide(options, stored, eventsOf)).filter((write) => write !== null);
    if (writes.length === 0) return changed;
    if (tries > TRIES) throw new Error(`${writes.length} rooms are written to by others all the time`);
    const results = await store.compareAndSet(0, writes, null);
    const missed = writes.filter((_, index) => results[index]?.kind !== 'committed').map(({ next }) => next);
    changed += writes.length - missed.length;
    if (missed.length === 0) return changed;
    await pause(AGAIN_MS);
    rooms = (await store.readRooms(missed)).filter((stored) => stored !== null);
  }
}

function decide(options: AllRoomsOptions, stored: StoredRoom, eventsOf: EventsOf): RoomWrite | null {
  const room = roomOf(stored, options.policyOf(stored.row.key));
  const course = newCourse(room, true);
  for (const event of eventsOf(room)) step(course, event, options.now());
  if (course.room.version === room.version) return null;
  return { expectedVersion: room.version, next: course.room, facts: course.facts, claims: false };
}

/**
 * Rooms, events and decisions, each kept once and known by a number, so that a state of the world is a handful of
 * numbers and `transition`, which is pure, is asked once for each pair of room and event.
 *
 * Times are abstract: what is timed is either to come or due. `NOW` is the time of every event, `DUE` that of a deadline
 * that has come, `LATE` that of everything once messages have expired. Versions are equal or older, nothing else.
 */
import { isClaimable } from '../../src/room/effects.ts';
import type { Effect, Fact, RoomEvent, Settled } from '../../src/room/events.ts';
import { brokenInvariants } from '../../src/room/invariants.ts';
import {
  type Attempt,
  type Envelope,
  hasHead,
  headEnvelope,
  headSequence,
  newRoomRow,
  type Room,
  withEnvelopes,
} from '../../src/room/room.ts';
import type { Profile } from './bounds.ts';
import { judgeDecision, Violation } from './properties.ts';
import type { Subject } from './subject.ts';

export const NOW = 1_000;
export const DUE = 1_200;
const EXPIRY = 1_500;
export const LATE = 1_600;
const MOMENTS = [NOW, DUE, LATE];
const VERSION = 10;

type Marked = Extract<Fact, { kind: 'cancel_marked' }>;

/** What a decision about one room comes to. */
export interface Course {
  readonly id: number;
  /** Number of the event that was decided; null where only a claim was. */
  readonly event: number | null;
  readonly verdict: 'applied' | 'noted' | 'ignored';
  readonly reason: string | null;
  /** Number of the room as it comes out. */
  readonly room: number;
  readonly settled: readonly Settled[];
  readonly marked: readonly Marked[];
  readonly claims: boolean;
}

const CLAIM: RoomEvent = { type: 'permit_granted', worker: 'w', generation: 1 };

/** What the holder comes to again by itself, once it has read the row. */
const REPEATED: ReadonlySet<RoomEvent['type']> = new Set(['deadline_due', 'tail_raised', 'taken_over']);

export class Catalogue {
  readonly #subject: Subject;
  readonly #profile: Profile;
  readonly #rooms: Room[] = [];
  readonly #roomIds = new Map<string, number>();
  readonly #events: RoomEvent[] = [];
  readonly #eventIds = new Map<string, number>();
  readonly #courses: Course[] = [];
  readonly #courseIds = new Map<string, number>();
  readonly #decided = new Map<number, Course>();
  readonly #effects: (readonly Effect[])[] = [];
  readonly #stored = new Map<number, number>();

  constructor(subject: Subject, profile: Profile) {
    this.#subject = subject;
    this.#profile = profile;
  }

  get size(): number {
    return this.#rooms.length;
  }

  get decisions(): number {
    return this.#decided.size;
  }

  room(id: number): Room {
    return this.#rooms[id] as Room;
  }

  event(id: number): RoomEvent {
    return this.#events[id] as RoomEvent;
  }

  course(id: number): Course {
    return this.#courses[id] as Course;
  }

  empty(): number {
    return this.#keep({ ...newRoomRow({ shard: 0, id: 1 }, KEY, NOW), version: VERSION, envelopes: [] });
  }

  idOf(event: RoomEvent): number {
    const key = JSON.stringify(event);
    const known = this.#eventIds.get(key);
    if (known !== undefined) return known;
    this.#eventIds.set(key, this.#events.length);
    return this.#events.push(event) - 1;
  }

  /**
   * @param event null for a claim alone
   * @param claims a permit is in hand: the room is claimed in the same breath, where that is possible
   */
  decide(room: number, event: number | null, now: number, claims: boolean): Course {
    const key = ((room * 4_096 + (event ?? 4_095)) * 4 + MOMENTS.indexOf(now)) * 2 + Number(claims);
    const known = this.#decided.get(key);
    if (known !== undefined) return known;
    const course = this.#decide(room, event, now, claims);
    this.#decided.set(key, course);
    return course;
  }

  pendingEffects(id: number): readonly Effect[] {
    const known = this.#effects[id];
    if (known !== undefined) return known;
    const effects = this.#subject.pendingEffects(this.room(id));
    this.#effects[id] = effects;
    return effects;
  }

  /** The holder may claim it, permit and lease given. */
  isClaimable(id: number): boolean {
    const room = this.room(id);
    return isClaimable(room) && headEnvelope(room) !== null;
  }

  isHeadless(id: number): boolean {
    const room = this.room(id);
    return hasHead(room) && headEnvelope(room) === null;
  }

  /** The row after one more append. */
  appended(id: number): number {
    const room = this.room(id);
    return this.#keep({
      ...room,
      tail: room.tail + 1,
      envelopes: [...room.envelopes, this.#envelope(room.tail + 1)],
    });
  }

  /** What tells a holder in the appending process of messages that it has not seen. */
  signalOf(row: number, knownTail: number): number {
    const { tail } = this.room(row);
    const envelopes: Envelope[] = [];
    for (let sequence = knownTail + 1; sequence <= tail; sequence++) envelopes.push(this.#envelope(sequence));
    return this.idOf({ type: 'tail_raised', tail, envelopes });
  }

  /** The row after a committed write: the store's own tail and marks stay. */
  stored(row: number, course: Course): number {
    const key = row * 1_048_576 + course.id;
    const known = this.#stored.get(key);
    if (known !== undefined) return known;
    const before = this.room(row);
    const next = this.room(course.room);
    const marked = before.envelopes.map((one) => {
      const by = course.marked.find(({ sequence }) => sequence === one.sequence)?.by ?? null;
      return by === null || one.cancelledBy !== null ? one : { ...one, cancelledBy: by };
    });
    const after = withEnvelopes({ ...next, tail: before.tail, envelopes: [] }, marked);
    const broken = brokenInvariants(after);
    if (broken.length > 0) throw new Violation(broken.join(', '), `the stored row breaks it (${after.phase})`);
    const id = this.#keep(after);
    this.#stored.set(key, id);
    return id;
  }

  /** What is left of a course that was not stored: the event, to be decided again where nothing else would bring it. */
  unstored(course: Course): Course {
    const { event } = course;
    const again = event !== null && !REPEATED.has(this.event(event).type) ? event : null;
    return this.#keepCourse({
      event: again,
      verdict: 'ignored',
      reason: 'not stored',
      room: 0,
      settled: [],
      marked: [],
      claims: false,
    });
  }

  /** The writer's own room once its write has committed and the answer has named the store's tail. */
  withTail(id: number, tail: number): number {
    const room = this.room(id);
    return tail <= room.tail ? id : this.#keep({ ...room, tail });
  }

  /** True where both are one row, whatever is known of messages behind the head. */
  sameRow(a: number, b: number): boolean {
    return a === b || durableKey(this.room(a)) === durableKey(this.room(b));
  }

  #decide(id: number, eventId: number | null, now: number, claims: boolean): Course {
    const before = this.room(id);
    const settled: Settled[] = [];
    const marked: Marked[] = [];
    let room = before;
    let verdict: Course['verdict'] = 'noted';
    let reason: string | null = null;
    const step = (event: RoomEvent): void => {
      const decision = this.#ask(room, event, now);
      judgeDecision(room, event, decision);
      for (const fact of decision.facts) {
        if (fact.kind === 'settled') settled.push(fact);
        if (fact.kind === 'cancel_marked') marked.push(fact);
      }
      room = decision.room;
      verdict = decision.verdict.kind;
      reason = decision.verdict.kind === 'ignored' ? decision.verdict.reason : null;
    };
    if (eventId !== null) step(this.event(eventId));
    if (claims && isClaimable(room) && headEnvelope(room) !== null) step(CLAIM);
    const claimed = room.attempt > before.attempt || headSequence(room) > headSequence(before);
    return this.#keepCourse({
      event: eventId,
      verdict: room.version > before.version ? 'applied' : verdict,
      reason,
      room: this.#keep(canonical(room, now)),
      settled,
      marked,
      claims: claims && claimed && room.phase === 'sending',
    });
  }

  #ask(room: Room, event: RoomEvent, now: number): ReturnType<Subject['transition']> {
    try {
      return this.#subject.transition(room, event, now);
    } catch (error) {
      throw new Violation('I', error instanceof Error ? error.message : String(error));
    }
  }

  #envelope(sequence: number): Envelope {
    return {
      sequence,
      messageId: `m-${sequence}`,
      acceptedAt: NOW,
      notBefore: null,
      expiresAt: this.#profile.expires ? EXPIRY : null,
      cancelledBy: null,
      policy: this.#profile.policy,
    };
  }

  #keep(room: Room): number {
    const key = `${durableKey(room)} ${room.tail} ${room.envelopes.map((one) => MARKS[one.cancelledBy ?? 'nobody']).join('')}`;
    const known = this.#roomIds.get(key);
    if (known !== undefined) return known;
    this.#roomIds.set(key, this.#rooms.length);
    return this.#rooms.push(room) - 1;
  }

  #keepCourse(course: Omit<Course, 'id'>): Course {
    const settled = course.settled.map(({ sequence, outcome, reason }) => `${sequence}${outcome}${reason}`);
    const marked = course.marked.map(({ sequence, by }) => `${sequence}${by}`);
    const { event, verdict, reason, room, claims } = course;
    const key = [event, verdict, reason, room, marked, claims, settled].join(' ');
    const known = this.#courseIds.get(key);
    if (known !== undefined) return this.course(known);
    const id = this.#courses.length;
    this.#courseIds.set(key, id);
    const kept = { ...course, id };
    this.#courses.push(kept);
    return kept;
  }
}

const MARKS = { nobody: '-', operator: 'x', superseded: 's' } as const;

const KEY = { tenant: 'default', channel: 'channel', room: 'room' };

/** Times and versions as they are compared, and nothing of who and when. */
function canonical(room: Room, now: number): Room {
  return {
    ...room,
    version: VERSION,
    since: NOW,
    until: room.until === null ? null : DUE,
    gapUntil: room.gapUntil > now ? DUE : 0,
    levelAt: room.levelAt === null ? null : NOW,
    firstClaimVersion: Math.min(room.firstClaimVersion, 1),
    attempts: room.attempts.map(
      (attempt): Attempt => ({ ...attempt, begunAt: NOW, endedAt: attempt.endedAt === null ? null : NOW }),
    ),
  };
}

function durableKey(room: Room): string {
  const attempts = room.attempts.map(({ number, result, code }) => `${number}${result}${code}`);
  return [
    room.phase,
    room.settled,
    room.paused,
    room.reason,
    room.until,
    room.gapUntil,
    room.attempt,
    room.spent,
    room.level,
    room.platformId,
    room.mark,
    JSON.stringify(room.nack),
    room.bytesLeft,
    attempts,
  ].join(' ');
}

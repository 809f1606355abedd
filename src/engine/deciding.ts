/**
 * How rooms in memory come to their next states: events are decided one batch of a room at a time by `transition`,
 * stored by compare-and-set, and only then take effect. The rules H1 to H3, H7 and H8 of rooms.ts are kept here.
 *
 * A decision that has nothing to wait for needs no promise: thousands are made in a second.
 */

import type { RoomEvent, Verdict } from '../room/events.ts';
import { lacksHeadEnvelope, type Room, type RoomAddress } from '../room/room.ts';
import { transition } from '../room/transition.ts';
import { apart } from './batcher.ts';
import type { Permit } from './channels.ts';
import { Consequences, type ConsequencesDependencies } from './consequences.ts';
import { type Course, inboxEvent, newCourse, step, stepTrusted } from './course.ts';
import { Lingering } from './lingering.ts';
import type { OpenClaims } from './open-claims.ts';
import type { Tenure } from './ownership.ts';
import type { Clock, EndOfTurn } from './ports.ts';
import type { RoomReader } from './reader.ts';
import { decideAgain, giveBack, type Posted, putOffUnknown, type Resident } from './resident.ts';
import type { RoomWriter, Written } from './settle.ts';

export interface DecidingDependencies extends ConsequencesDependencies {
  readonly clock: Clock;
  readonly reader: RoomReader;
  readonly writer: RoomWriter;
  readonly tenure: Tenure;
  readonly openClaims: OpenClaims;
  readonly endOfTurn: EndOfTurn;
  /** Longest wait of a platform's acceptance for the ack that it could be stored with. */
  readonly acceptanceLingerMs: number;
}

/** What decisions need of those who keep the rooms. */
export interface Keeper {
  /** Gives the room what its state calls for, when nothing is left to decide. */
  attend(resident: Resident): void;
  /** The claim of its head is on disk. */
  send(resident: Resident, permit: Permit): void;
  /** The room is not in the store any more, or nothing of it can be. */
  forget(resident: Resident): void;
  /** Hands the room an event that has to be stored, however long that takes. */
  deliver(address: RoomAddress, event: RoomEvent): void;
  mayClaim(room: Room): boolean;
  /** Nothing is tried again any more. */
  isEnded(): boolean;
}

/** How long a room waits after the store failed before it is tried again. */
export const STORE_RETRY_MS = 250;
/** How long a room waits after its claim was refused; meanwhile the lease is looked at. */
const FENCED_RETRY_MS = 50;

export const NOBODY_WAITS = (): void => undefined;

export class Deciding {
  readonly #to: DecidingDependencies;
  readonly #rooms: Keeper;
  readonly #consequences: Consequences;
  /** Rooms that this turn of the event loop has woken. */
  #woken: Resident[] = [];
  /** Rooms that have nothing but their acceptance to be stored, and wait for the ack. */
  readonly #lingering: Lingering;

  constructor(dependencies: DecidingDependencies, rooms: Keeper) {
    this.#to = dependencies;
    this.#rooms = rooms;
    this.#consequences = new Consequences(dependencies);
    const { clock, acceptanceLingerMs } = dependencies;
    const after = (delayMs: number, callback: () => void) => clock.after(delayMs, callback);
    this.#lingering = new Lingering(after, acceptanceLingerMs, (residents) => this.#decideAll(residents));
  }

  /** Resolves when what the event has changed is on disk. */
  enqueue(resident: Resident, event: RoomEvent): Promise<Verdict> {
    return new Promise((resolve, reject) => this.tell(resident, event, resolve, reject));
  }

  /** Events are decided until the store takes them. */
  tell(
    resident: Resident,
    event: RoomEvent,
    resolve: (verdict: Verdict) => void = NOBODY_WAITS,
    reject: (error: unknown) => void = NOBODY_WAITS,
  ): void {
    if (event.type === 'ack') resident.ackArrivedAt ??= this.#to.clock.monotonic();
    if (this.#mayLinger(resident, event)) {
      resident.posted.push({ event, at: this.#to.clock.now(), rechecked: false, resolve, reject });
      resident.deciding = true;
      this.#lingering.add(resident);
      return;
    }
    resident.posted.push({ event, at: null, rechecked: false, resolve, reject });
    this.wake(resident);
  }

  /** An acceptance that only begins the wait for the ack, of which nobody else has to know at once. */
  #mayLinger(resident: Resident, event: RoomEvent): boolean {
    const { waitMs } = this.#lingering;
    if (waitMs === 0 || event.type !== 'attempt_accepted' || resident.deciding || resident.stale) return false;
    const { room } = resident;
    // An ack that names the platform's id finds its room only where that is stored.
    if (this.#to.channels.get(room.key)?.settings.echoesReference !== 'always') return false;
    // Another process that the ack may come to cannot store it with what waits here.
    if (!this.#to.tenure.alone || !this.#to.tenure.keeps(room.shard)) return false;
    const now = this.#to.clock.now();
    const accepted = transition(room, event, now).room;
    return accepted.phase === 'awaiting_ack' && accepted.until !== null && accepted.until - now > waitMs;
  }

  /** Begins to decide about the room, unless that is under way; with all that this turn of the event loop brings. */
  wake(resident: Resident): void {
    if (resident.deciding) {
      this.hurry(resident);
      return;
    }
    resident.deciding = true;
    this.#decideSoon(resident);
  }

  /** An acceptance of it that waits for its ack does not any more. */
  hurry(resident: Resident): void {
    if (this.#lingering.take(resident)) this.#decideSoon(resident);
  }

  #decideSoon(resident: Resident): void {
    this.#woken.push(resident);
    if (this.#woken.length === 1) this.#to.endOfTurn(() => this.#decideWoken());
  }

  #decideWoken(): void {
    const woken = this.#woken;
    this.#woken = [];
    this.#decideAll(woken);
  }

  #decideAll(residents: Iterable<Resident>): void {
    for (const resident of residents) apart(() => this.#decide(resident, false));
  }

  /**
   * Decides until nothing is left to decide, or something is waited for: the row, evidence, or what is to be stored.
   * @param isRead the row has just been read, as far as it could be
   */
  #decide(resident: Resident, isRead: boolean): void {
    let mayDecide = isRead;
    do {
      if (!mayDecide && (resident.stale || lacksHeadEnvelope(resident.room))) return void this.#refresh(resident);
      mayDecide = false;
      const posted = resident.posted.splice(0);
      const evidence = this.#consequences.evidence(resident.room, posted);
      if (evidence !== null) return void this.#consult(resident, posted, evidence);
      if (!this.#decideOn(resident, posted, [])) return;
    } while (this.#mustDecide(resident));
    this.#decided(resident);
  }

  #mustDecide(resident: Resident): boolean {
    if (resident.stale || resident.posted.length > 0) return true;
    return resident.permit !== null && this.#rooms.mayClaim(resident.room);
  }

  #goOn(resident: Resident): void {
    if (this.#mustDecide(resident)) this.#decide(resident, false);
    else this.#decided(resident);
  }

  #decided(resident: Resident): void {
    resident.deciding = false;
    const { whenDecided } = resident;
    this.#rooms.attend(resident);
    if (whenDecided.length > 0) for (const end of whenDecided.splice(0)) end();
  }

  async #refresh(resident: Resident): Promise<void> {
    if (await this.#read(resident)) this.#decide(resident, true);
    else this.#decided(resident);
  }

  /** False where the room is gone, or the engine has ended and the store is away. */
  async #read(resident: Resident): Promise<boolean> {
    for (;;) {
      try {
        const { shard, id } = resident.room;
        const room = await this.#to.reader.read({ shard, id, withBody: this.#to.tenure.keeps(shard) });
        resident.failing = false;
        if (room === null) return this.#abandon(resident, new Error('the room is gone from the store'));
        this.#consequences.read(resident.room, room);
        resident.stale = false;
        // The store is the truth, even where it has gone back in time.
        resident.room = room;
        // Where messages are missing that must be there nothing can be decided; to ask at once again changes nothing.
        if (lacksHeadEnvelope(resident.room)) await this.#pause(STORE_RETRY_MS);
        return true;
      } catch (error) {
        this.#to.tenure.storeFailed(error);
        if (this.#rooms.isEnded()) return this.#abandon(resident, error);
        await this.#putOff(resident);
      }
    }
  }

  #abandon(resident: Resident, error: unknown): false {
    const posted = resident.posted.splice(0);
    // First, so that what comes again for the room comes to its row.
    this.#rooms.forget(resident);
    for (const one of posted) one.reject(error);
    return false;
  }

  async #putOff(resident: Resident): Promise<void> {
    resident.failing = true;
    await this.#pause(STORE_RETRY_MS);
  }

  async #consult(resident: Resident, posted: readonly Posted[], evidence: Promise<RoomEvent[]>): Promise<void> {
    let events: RoomEvent[];
    try {
      events = await evidence;
    } catch (error) {
      this.#to.tenure.storeFailed(error);
      decideAgain(resident, posted);
      await this.#putOff(resident);
      return this.#goOn(resident);
    }
    if (this.#decideOn(resident, posted, events)) this.#goOn(resident);
  }

  /** True where the decision goes on at once; else it does so later. */
  #decideOn(resident: Resident, posted: readonly Posted[], evidence: readonly RoomEvent[]): boolean {
    const before = resident.room;
    const course = this.#course(resident, posted, evidence);
    if (putOffUnknown(course, posted)) {
      decideAgain(resident, posted);
      return true;
    }
    if (course.room.version === before.version) {
      // Nothing to store: what was learnt stays in memory.
      resident.room = course.room;
      return this.#afterwards(resident, before, course, posted);
    }
    const { room: next, facts, claims } = course;
    if (claims) this.#to.openClaims.begin(before.shard);
    resident.writing = next.version;
    this.#to.writer.write(
      { expectedVersion: before.version, next, facts, claims },
      (written) => this.#written(resident, before, course, posted, written),
      (error) => void this.#outcomeUnknown(resident, before, course, posted, error),
    );
    return false;
  }

  #written(resident: Resident, before: Room, course: Course, posted: readonly Posted[], written: Written): void {
    if (written.kind !== 'committed') return void this.#notWritten(resident, before, course, posted, written);
    resident.writing = 0;
    resident.failing = false;
    const { room } = course;
    resident.room = written.tail > room.tail ? { ...room, tail: written.tail } : room;
    for (const ack of written.inbox) this.#rooms.deliver(before, inboxEvent(ack, course.acceptedAs, this.#to.chance()));
    if (this.#afterwards(resident, before, course, posted)) this.#goOn(resident);
  }

  async #outcomeUnknown(resident: Resident, before: Room, course: Course, posted: readonly Posted[], error: unknown) {
    const { tenure } = this.#to;
    tenure.storeFailed(error);
    // A claim that may yet commit is refused from here on: the generation rises before the row is read again.
    if (course.claims) await tenure.renewGeneration();
    await this.#notWritten(resident, before, course, posted, null);
  }

  /** @param written null where it is not known what became of the write */
  async #notWritten(
    resident: Resident,
    before: Room,
    course: Course,
    posted: readonly Posted[],
    written: Exclude<Written, { kind: 'committed' }> | null,
  ): Promise<void> {
    resident.writing = 0;
    if (course.claims) {
      this.#to.openClaims.end(before.shard);
      giveBack(resident);
    }
    decideAgain(resident, posted);
    if (written === null) await this.#putOff(resident);
    else if (written.kind === 'fenced') {
      this.#to.tenure.suspect(course.room.attempts.at(-1)?.generation ?? 0);
      await this.#pause(FENCED_RETRY_MS);
    }
    this.#goOn(resident);
  }

  /** Runs the events through `transition`, and claims in the same breath where a permit is to be had. */
  #course(resident: Resident, posted: readonly Posted[], evidence: readonly RoomEvent[]): Course {
    const now = this.#to.clock.now();
    const channel = this.#to.channels.get(resident.room.key);
    const course = newCourse(resident.room, channel?.settings.echoesReference !== 'always');
    const trusted = this.#to.tenure.mayTakeOver(resident.room.shard);
    for (const event of evidence) stepTrusted(course, event, now, trusted);
    for (const { event, at } of posted) stepTrusted(course, event, Math.min(at ?? now, now), trusted);
    // A room that has just found its channel silent, or refusing, waits for its turn as a probe.
    const closes = course.channelSilent || course.channelNacks.length > 0;
    if (closes || !this.#rooms.mayClaim(course.room)) return course;
    const permit = resident.permit ?? channel?.tryAcquire() ?? null;
    const proof = this.#to.tenure.proof();
    resident.permit = permit;
    if (permit === null || proof === null) return course;
    step(course, { type: 'permit_granted', ...proof }, now);
    course.verdicts.pop();
    course.claims = course.room.phase === 'sending';
    return course;
  }

  /** What is decided takes effect. True where nothing has to be waited for before the next decision. */
  #afterwards(resident: Resident, before: Room, course: Course, posted: readonly Posted[]): boolean {
    this.#consequences.committed(resident, before, course, this.#to.tenure.keeps(before.shard));
    const claimed = course.claims ? resident.permit : null;
    if (claimed !== null) {
      resident.permit = null;
      this.#rooms.send(resident, claimed);
    } else if (course.claims) this.#to.openClaims.end(before.shard);
    const first = course.verdicts.length - posted.length;
    const answer = (): void => {
      for (const [index, one] of posted.entries()) one.resolve(course.verdicts[first + index] as Verdict);
    };
    const work = this.#consequences.run(resident.room, course);
    if (work === null) answer();
    else {
      const fail = (error: unknown): void => {
        for (const one of posted) one.reject(error);
      };
      void work.then(answer, fail).then(() => this.#goOn(resident));
    }
    return work === null;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#to.clock.after(ms, resolve));
  }
}

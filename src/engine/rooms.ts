/**
 * The rooms that this process works on. Each is held in memory as the row it last saw committed; events for it are
 * decided one batch at a time by `transition`, stored by compare-and-set, and only then take effect.
 *
 *   H1  one write of a room is in flight at a time; what arrives meanwhile is decided against its result
 *   H2  a write that was refused is decided again against the row as it is; a room is never dropped for it
 *   H3  a claim is decided only with a permit in hand and a trusted lease; an open send exists only after its commit
 *   H4  a room found `sending` without an open send of this process goes through *unknown*, under a trusted lease only:
 *       without one the send may be a successor's
 *   H5  a room leaves memory only when nothing of it waits, is open or is timed
 *   H6  a claimable room that had to give its permit back asks again as soon as claims are possible again
 *   H7  an ack or nack of an attempt that memory does not know may be of one that another process began: the row is read
 *       before it is ignored
 *   H8  what concerns a message beyond the tail that memory knows may be of one that another process appended: likewise
 */
import { RoomlineError } from '../errors.ts';
import { isClaimable, nextDeadline, pendingEffects } from '../room/effects.ts';
import type { Effect, RoomEvent, Verdict } from '../room/events.ts';
import {
  hasHead,
  headEnvelope,
  headSequence,
  lacksHeadEnvelope,
  type Room,
  type RoomAddress,
  type RoomRow,
  withEnvelopes,
} from '../room/room.ts';
import type { Permit } from './channels.ts';
import { Consequences, type ConsequencesDependencies } from './consequences.ts';
import { type Course, inboxEvent, lookupEvents, newCourse, resultEvent, step, stepAll } from './course.ts';
import { Deadlines } from './deadlines.ts';
import type { Attempts } from './dispatch.ts';
import type { Hint } from './hints.ts';
import type { OpenClaims } from './open-claims.ts';
import type { Tenure } from './ownership.ts';
import { channelName, envelopeOf } from './policy.ts';
import type { ChannelKey, Clock, NewMessage, RoomStore, StoredRoom } from './ports.ts';
import { RoomReader } from './reader.ts';
import {
  attemptKey,
  decideAgain,
  giveBack,
  isFull,
  leaveQueue,
  newResident,
  type Posted,
  putOffUnknown,
  type Resident,
  takeHint,
} from './resident.ts';
import type { RoomWriter, Written } from './settle.ts';

export interface RoomsDependencies extends ConsequencesDependencies {
  readonly clock: Clock;
  readonly store: RoomStore;
  readonly writer: RoomWriter;
  readonly attempts: Attempts;
  readonly tenure: Tenure;
  readonly openClaims: OpenClaims;
}

/** How long a room waits after the store failed before it is tried again. */
const STORE_RETRY_MS = 250;
/** How long a room waits after its claim was refused; meanwhile the lease is looked at. */
const FENCED_RETRY_MS = 50;
/** How long a graceful end waits for the store after the last send must have ended. */
const DRAIN_STORE_MS = 2_000;

export class Rooms {
  readonly #to: RoomsDependencies;
  readonly #residents = new Map<number, Resident>();
  readonly #deadlines: Deadlines;
  readonly #consequences: Consequences;
  readonly #reader: RoomReader;
  readonly #decisions = new Set<Promise<void>>();
  /** Rooms that could not go on while the lease could not be trusted, and stand in no queue. */
  readonly #turnedAway = new Set<Resident>();
  #draining = false;
  /** Nothing is timed or tried again any more. */
  #ended = false;

  constructor(dependencies: RoomsDependencies) {
    this.#to = dependencies;
    const { clock, store, channels } = dependencies;
    this.#deadlines = new Deadlines(clock, (id, lateMs) => this.#onDeadline(id, lateMs));
    this.#reader = new RoomReader(store, channels);
    this.#consequences = new Consequences(dependencies);
  }

  /** Rooms in memory; those at rest are not. */
  get size(): number {
    return this.#residents.size;
  }

  // ------------------------------------------------------------------------------------------------------ what comes in

  /**
   * Decides an event and resolves when what it changed is on disk.
   * @param expected refuses a room that is not of this channel: an ack is bound to the channel it came by
   * @returns null where there is no such room
   * @throws RoomlineError `not_ready` before the engine knows the time, and while the store is away
   */
  async post(
    address: RoomAddress,
    event: RoomEvent,
    expected?: { tenant: string; channel: string },
  ): Promise<Verdict | null> {
    // Expiry and timers would be judged by the machine's own clock.
    if (!this.#to.tenure.clockIsSet) throw new RoomlineError('not_ready', { detail: 'engine time is not known yet' });
    let resident = this.#residents.get(address.id);
    if (resident === undefined) {
      const room = await this.#reader.read(address);
      if (room === null) return null;
      resident = this.#residents.get(address.id) ?? this.#admit(room);
    }
    const { key } = resident.room;
    if (expected !== undefined && (key.tenant !== expected.tenant || key.channel !== expected.channel)) {
      this.#rest(resident);
      return null;
    }
    if (isFull(resident)) throw new RoomlineError('not_ready', { detail: 'the store is away' });
    return this.#enqueue(resident, event);
  }

  /** The room as this process knows it, or as the store has it. */
  async view(address: RoomAddress): Promise<Room | null> {
    const resident = this.#residents.get(address.id);
    if (resident !== undefined && !resident.stale) return resident.room;
    return this.#reader.read(address);
  }

  /** Intake appended messages of one room: `row` as that transaction left it. */
  appended(row: RoomRow, messages: readonly { readonly message: NewMessage; readonly sequence: number }[]): void {
    if (!this.#to.tenure.keeps(row.shard)) this.#to.telling.changed(row);
    if (!this.#holds(row)) return;
    const policy = this.#reader.policyOf(row.key);
    const envelopes = messages.map(({ message, sequence }) =>
      envelopeOf({ ...message, sequence, cancelledBy: null }, policy),
    );
    for (const { message, sequence } of messages) this.#to.bodies.keep(row, sequence, message.body);
    const resident = this.#residents.get(row.id);
    if (resident === undefined) this.#attend(this.#admit(withEnvelopes({ ...row, envelopes: [] }, envelopes)));
    else this.#tell(resident, { type: 'tail_raised', tail: row.tail, envelopes });
  }

  /** The room is said to be at this version and tail. False where memory has nothing of it. */
  hinted(hint: Hint): boolean {
    const resident = this.#residents.get(hint.id);
    if (resident === undefined) return false;
    const { clock, channels } = this.#to;
    if (hint.ackedAt !== null) channels.get(resident.room.key)?.reportAck(hint.id);
    if (takeHint(resident, hint, clock)) this.#wake(resident);
    return true;
  }

  /**
   * A take-over or a sweep found the room in the store.
   * @returns false where the room is claimable and nobody attended to it since the last sweep (R6)
   */
  found(stored: StoredRoom, kind: 'take_over' | 'sweep'): boolean {
    const room = this.#reader.roomOf(stored);
    const resident = this.#residents.get(room.id);
    if (resident === undefined) {
      this.#attend(this.#admit(room));
      return true;
    }
    if (resident.deciding) return true;
    if (room.version > resident.room.version || room.tail > resident.room.tail) {
      resident.stale = true;
      this.#wake(resident);
      return true;
    }
    const served = this.#to.channels.get(room.key) !== null;
    // Who drains leaves its rooms to its successor.
    const leaving = this.#draining || this.#to.tenure.isLeaving(room.shard);
    const expected = served && !leaving && isClaimable(resident.room);
    const unattended = expected && resident.permit === null && resident.cancelRequest === null;
    const suspect = unattended && kind === 'sweep' && resident.suspectVersion === resident.room.version;
    resident.suspectVersion = unattended ? resident.room.version : null;
    this.#attend(resident);
    return !suspect;
  }

  /** Nothing in memory of these shards (null: of any) is known to be ours any more. Open requests go on to their answers. */
  forget(shards: ReadonlySet<number> | null): void {
    for (const resident of this.#residents.values()) {
      if (shards?.has(resident.room.shard) === false) continue;
      this.#deadlines.set(resident.room.id, null);
      this.#turnedAway.delete(resident);
      leaveQueue(resident);
      giveBack(resident);
      this.#to.attempts.preparations.forget(resident.room.id);
      resident.stale = true;
      if (!resident.deciding && resident.posted.length === 0) this.#residents.delete(resident.room.id);
    }
  }

  /** These shards have heirs: nothing further is claimed in them. A claim that is being stored keeps its permit: it is sent. */
  leave(shards: ReadonlySet<number>): void {
    for (const resident of this.#residents.values()) {
      if (!shards.has(resident.room.shard)) continue;
      leaveQueue(resident);
      if (!resident.deciding) giveBack(resident);
      this.#turnedAway.add(resident);
    }
  }

  /** A channel has come, changed or gone: its rooms are read and decided anew, and keep their places where it is still there. */
  reconfigured(channel: ChannelKey): void {
    const gone = this.#to.channels.get(channel) === null;
    const name = channelName(channel);
    for (const resident of this.#residents.values()) {
      if (channelName(resident.room.key) !== name) continue;
      this.#to.attempts.preparations.forget(resident.room.id);
      if (gone) leaveQueue(resident);
      resident.stale = true;
      this.#wake(resident);
    }
  }

  /** Claims are possible again: the lease was renewed, or the generation is new. */
  claimAgain(): void {
    const rooms = [...this.#turnedAway];
    this.#turnedAway.clear();
    for (const resident of rooms) this.#attend(resident);
  }

  /**
   * Claims nothing further; resolves when claims under way are sent and open requests are answered and stored, at the
   * latest when a send and a little more could have ended: the store may be away.
   */
  async drain(): Promise<void> {
    this.#draining = true;
    for (const resident of this.#residents.values()) {
      leaveQueue(resident);
      // A claim that is being stored keeps its permit: it is sent.
      if (!resident.deciding) giveBack(resident);
    }
    const { channels, clock } = this.#to;
    const longestSendMs = Math.max(0, ...channels.all().map(({ settings }) => settings.sendTimeoutMs));
    const limit = Promise.withResolvers<void>();
    const cancel = clock.after(longestSendMs + DRAIN_STORE_MS, limit.resolve);
    await Promise.race([this.#quiet(), limit.promise]);
    cancel();
  }

  /** After the drain, when the lease is given back: resolves when nothing of it runs any more. */
  async close(): Promise<void> {
    this.#ended = true;
    this.#deadlines.clear();
    await this.#quiet();
  }

  async #quiet(): Promise<void> {
    await Promise.all(this.#decisions);
    await this.#to.attempts.idle();
  }

  // --------------------------------------------------------------------------------------------------------- deciding

  #enqueue(resident: Resident, event: RoomEvent): Promise<Verdict> {
    if (event.type === 'ack') resident.ackArrivedAt ??= this.#to.clock.monotonic();
    return new Promise((resolve, reject) => {
      resident.posted.push({ event, rechecked: false, resolve, reject });
      this.#wake(resident);
    });
  }

  /** For events that nobody waits for; they are decided until the store takes them. */
  #tell(resident: Resident, event: RoomEvent): void {
    resident.posted.push({ event, rechecked: false, resolve: () => undefined, reject: () => undefined });
    this.#wake(resident);
  }

  /** Begins to decide about the room, unless that is under way. */
  #wake(resident: Resident): void {
    if (resident.deciding) return;
    const decision = this.#decide(resident).finally(() => this.#decisions.delete(decision));
    this.#decisions.add(decision);
  }

  async #decide(resident: Resident): Promise<void> {
    resident.deciding = true;
    try {
      do {
        if (!(await this.#refresh(resident))) break;
        await this.#decideOnce(resident);
      } while (resident.stale || resident.posted.length > 0 || this.#canClaimNow(resident));
    } finally {
      resident.deciding = false;
    }
    this.#attend(resident);
  }

  /** Reads the row where it has to be. False where the room is gone, or the engine has ended and the store is away. */
  async #refresh(resident: Resident): Promise<boolean> {
    for (;;) {
      if (!resident.stale && !lacksHeadEnvelope(resident.room)) return true;
      try {
        const room = await this.#reader.read(resident.room);
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
        if (this.#ended) return this.#abandon(resident, error);
        await this.#putOff(resident);
      }
    }
  }

  #abandon(resident: Resident, error: unknown): false {
    for (const one of resident.posted.splice(0)) one.reject(error);
    this.#forget(resident);
    return false;
  }

  async #putOff(resident: Resident): Promise<void> {
    resident.failing = true;
    await this.#pause(STORE_RETRY_MS);
  }

  async #decideOnce(resident: Resident): Promise<void> {
    const posted = resident.posted.splice(0);
    const evidence = await this.#evidence(resident.room, posted);
    if (evidence === null) {
      decideAgain(resident, posted);
      return this.#putOff(resident);
    }
    const before = resident.room;
    const course = this.#course(resident, [...evidence, ...posted.map((one) => one.event)]);
    if (putOffUnknown(course, posted)) {
      decideAgain(resident, posted);
      return;
    }
    if (course.room.version === resident.room.version) {
      // Nothing to store: what was learnt stays in memory.
      resident.room = course.room;
      await this.#afterwards(resident, before, course, posted);
      return;
    }
    if (course.claims) this.#to.openClaims.begin(before.shard);
    resident.writing = course.room.version;
    const written = await this.#write(before, course);
    resident.writing = 0;
    if (written?.kind === 'committed') {
      resident.failing = false;
      resident.room = { ...course.room, tail: Math.max(course.room.tail, written.tail) };
      for (const ack of written.inbox) this.#deliver(before, inboxEvent(ack, course.acceptedAs, this.#to.chance()));
      await this.#afterwards(resident, before, course, posted);
      return;
    }
    if (course.claims) {
      this.#to.openClaims.end(before.shard);
      giveBack(resident);
    }
    decideAgain(resident, posted);
    if (written === null) await this.#putOff(resident);
    if (written?.kind === 'fenced') {
      this.#to.tenure.suspect(course.room.attempts.at(-1)?.generation ?? 0);
      await this.#pause(FENCED_RETRY_MS);
    }
  }

  /** Runs the events through `transition`, and claims in the same breath where a permit is to be had. */
  #course(resident: Resident, events: readonly RoomEvent[]): Course {
    const now = this.#to.clock.now();
    const channel = this.#to.channels.get(resident.room.key);
    const course = newCourse(resident.room, channel?.settings.echoesReference !== 'always');
    stepAll(course, events, now, this.#to.tenure.mayTakeOver(resident.room.shard));
    // A room that has just found its channel silent, or refusing, waits for its turn as a probe.
    const closes = course.channelSilent || course.channelNacks.length > 0;
    if (closes || !this.#mayClaim(course.room)) return course;
    const permit = resident.permit ?? channel?.tryAcquire() ?? null;
    const proof = this.#to.tenure.proof();
    resident.permit = permit;
    if (permit === null || proof === null) return course;
    step(course, { type: 'permit_granted', ...proof }, now);
    course.verdicts.pop();
    course.claims = course.room.phase === 'sending';
    return course;
  }

  /** Null where it is not known what became of the write. */
  async #write(before: Room, course: Course): Promise<Written | null> {
    const { writer, tenure } = this.#to;
    const { room: next, facts, claims } = course;
    try {
      return await writer.write({ expectedVersion: before.version, next, facts, claims });
    } catch (error) {
      tenure.storeFailed(error);
      // A claim that may yet commit is refused from here on: the generation rises before the row is read again.
      if (claims) await tenure.renewGeneration();
      return null;
    }
  }

  async #afterwards(resident: Resident, before: Room, course: Course, posted: readonly Posted[]): Promise<void> {
    this.#consequences.committed(resident, before, course, this.#to.tenure.keeps(before.shard));
    const claimed = course.claims ? resident.permit : null;
    if (claimed !== null) {
      resident.permit = null;
      this.#send(resident, claimed);
    } else if (course.claims) this.#to.openClaims.end(before.shard);
    try {
      await this.#consequences.run(resident.room, course);
      const first = course.verdicts.length - posted.length;
      for (const [index, one] of posted.entries()) one.resolve(course.verdicts[first + index] as Verdict);
    } catch (error) {
      for (const one of posted) one.reject(error);
    }
  }

  /** Null where the inbox could not be read. */
  async #evidence(room: Room, posted: readonly Posted[]): Promise<RoomEvent[] | null> {
    try {
      return await this.#consequences.evidence(room, posted);
    } catch (error) {
      this.#to.tenure.storeFailed(error);
      return null;
    }
  }

  // ----------------------------------------------------------------------------------------------------------- effects

  /** Gives the room what its state calls for; the same for a fresh commit, a restart and a take-over. */
  #attend(resident: Resident): void {
    if (!this.#isOurs(resident) || resident.deciding) return;
    const { room } = resident;
    if (!this.#mayClaim(room)) giveBack(resident);
    if (!this.#holds(room)) {
      this.#rest(resident);
      return;
    }
    this.#deadlines.set(room.id, nextDeadline(room));
    for (const effect of pendingEffects(room)) {
      switch (effect.type) {
        case 'load_envelopes':
          this.#wake(resident);
          return;
        case 'request_permit':
          this.#queueForPermit(resident);
          break;
        case 'send':
          if (!resident.open.has(attemptKey(effect))) {
            if (!this.#to.tenure.mayTakeOver(room.shard)) {
              this.#turnedAway.add(resident);
              break;
            }
            this.#tell(resident, { type: 'taken_over', chance: this.#to.chance() });
            return;
          }
          break;
        case 'lookup':
          this.#lookUp(resident, effect);
          break;
        case 'channel_silent':
        case 'judge_late':
          break;
        default:
          effect satisfies never;
      }
    }
    const headWaits = resident.cancelRequest !== null || room.phase === 'waiting' || room.phase === 'backing_off';
    this.#to.attempts.preparations.consider(room, headWaits);
    this.#rest(resident);
  }

  #queueForPermit(resident: Resident): void {
    if (resident.permit !== null || resident.cancelRequest !== null || this.#draining) return;
    if (this.#to.tenure.isLeaving(resident.room.shard)) return void this.#turnedAway.add(resident);
    const channel = this.#to.channels.get(resident.room.key);
    if (channel === null) return;
    let granted = false;
    const cancel = channel.request((permit) => {
      granted = true;
      resident.cancelRequest = null;
      if (!this.#isOurs(resident) || !this.#mayClaim(resident.room)) {
        permit.release();
        if (this.#isOurs(resident)) this.#turnedAway.add(resident);
        return;
      }
      resident.permit = permit;
      this.#wake(resident);
    });
    if (!granted) resident.cancelRequest = cancel;
  }

  #send(resident: Resident, permit: Permit): void {
    const { room } = resident;
    const { attempts, clock, instruments } = this.#to;
    const key = attemptKey({ sequence: headSequence(room), attempt: room.attempt });
    leaveQueue(resident);
    resident.open.add(key);
    instruments.metrics.claims.inc();
    const repeats = room.attempts.some((one) => one.number !== room.attempt && one.result !== 'refused');
    if (repeats) instruments.metrics.possibleDuplicates.inc({ channel: channelName(room.key) });
    const { ackArrivedAt } = resident;
    resident.ackArrivedAt = null;
    attempts.send(room, permit, {
      isWanted: () => resident.room.settled === room.settled,
      onLeaving: () => {
        if (ackArrivedAt === null) return;
        instruments.metrics.ackToNextSendSeconds.observe((clock.monotonic() - ackArrivedAt) / 1000);
      },
      onResult: (result) => {
        resident.open.delete(key);
        const ackTimeoutMs = this.#to.channels.get(room.key)?.ackTimeoutMs() ?? null;
        const stored = this.#deliver(room, resultEvent(room, result, ackTimeoutMs, this.#to.chance()));
        void stored.then(() => this.#to.openClaims.end(room.shard));
      },
    });
  }

  /** Hands a request's outcome to its room, whoever holds it now and however long the store takes. */
  #deliver(address: RoomAddress, event: RoomEvent): Promise<unknown> {
    return this.#to.attempts.insist(
      () => this.post(address, event),
      () => this.#ended,
    );
  }

  #lookUp(resident: Resident, effect: Extract<Effect, { type: 'lookup' }>): void {
    const key = attemptKey(effect);
    if (resident.lookedUp === key) return;
    resident.lookedUp = key;
    const { room } = resident;
    this.#to.attempts.lookUp(room, effect.sequence, (result) => {
      const events = lookupEvents(effect, result, this.#to.clock.now(), this.#to.chance());
      for (const event of events) this.#deliver(room, event);
    });
  }

  #onDeadline(id: number, lateMs: number): void {
    const resident = this.#residents.get(id);
    if (resident === undefined) return;
    const { room } = resident;
    this.#to.instruments.metrics.timeoutLatenessSeconds.observe(lateMs / 1000);
    const begunAt = room.attempts.at(-1)?.begunAt ?? 0;
    const channelAnswered = this.#to.channels.get(room.key)?.answeredSince(begunAt, id) ?? false;
    this.#tell(resident, { type: 'deadline_due', channelAnswered, chance: this.#to.chance() });
  }

  // ----------------------------------------------------------------------------------------------------------- helpers

  #admit(room: Room): Resident {
    const resident = newResident(room);
    this.#residents.set(room.id, resident);
    return resident;
  }

  /** H5: lets a room go that needs nothing more of this process. */
  #rest(resident: Resident): void {
    const { room } = resident;
    if (resident.deciding || resident.posted.length > 0 || resident.open.size > 0) return;
    const held = this.#holds(room);
    if (held && (resident.permit !== null || resident.cancelRequest !== null || nextDeadline(room) !== null)) return;
    if (held && (hasHead(room) || room.phase !== 'idle') && room.phase !== 'held' && room.reason !== 'paused') return;
    this.#forget(resident);
  }

  #forget(resident: Resident): void {
    leaveQueue(resident);
    giveBack(resident);
    this.#deadlines.set(resident.room.id, null);
    this.#turnedAway.delete(resident);
    this.#to.attempts.preparations.forget(resident.room.id);
    this.#residents.delete(resident.room.id);
  }

  #canClaimNow(resident: Resident): boolean {
    return resident.permit !== null && this.#mayClaim(resident.room);
  }

  #mayClaim(room: Room): boolean {
    if (this.#draining || !isClaimable(room) || headEnvelope(room) === null) return false;
    const channel = this.#to.channels.get(room.key);
    return channel !== null && this.#to.tenure.mayClaim(room.shard, channel.settings.sendTimeoutMs);
  }

  /** Its shard is ours, and the engine has not ended. */
  #holds(room: RoomAddress): boolean {
    return !this.#ended && this.#to.tenure.holds(room.shard);
  }

  #isOurs(resident: Resident): boolean {
    return this.#residents.get(resident.room.id) === resident;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#to.clock.after(ms, resolve));
  }
}

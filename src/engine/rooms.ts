/**
 * The rooms that this process works on. Each is held in memory as the row it last saw committed; events for it are
 * decided one batch at a time by `transition`, stored by compare-and-set, and only then take effect.
 *
 *   H1  one write of a room is in flight at a time; what arrives meanwhile is decided against its result
 *   H2  a write that was refused is decided again against the row as it is; a room is never dropped for it
 *   H3  a claim is decided only with a permit in hand and a trusted lease; an open send exists only after its commit
 *   H4  a room found `sending` without an open send of this process goes through *unknown*
 *   H5  a room leaves memory only when nothing of it waits, is open or is timed
 */

import { isClaimable, nextDeadline, pendingEffects } from '../room/effects.ts';
import type { Effect, RoomEvent, Settled, Verdict } from '../room/events.ts';
import {
  hasHead,
  headEnvelope,
  headSequence,
  type Policy,
  type Room,
  type RoomAddress,
  type RoomKey,
  type RoomRow,
} from '../room/room.ts';
import { Batcher } from './batcher.ts';
import type { Bodies } from './bodies.ts';
import type { Channels, Permit } from './channels.ts';
import { type Course, inboxEvent, newCourse, step } from './course.ts';
import { Deadlines } from './deadlines.ts';
import type { Attempts } from './dispatch.ts';
import type { Instruments } from './instruments.ts';
import type { Late } from './late.ts';
import type { Tenure } from './ownership.ts';
import { channelName, envelopeOf, POLICY_OF_MISSING_CHANNEL, roomOf } from './policy.ts';
import type { AckInbox, Chance, Clock, LateFact, NewMessage, RoomStore, SendResult, StoredRoom } from './ports.ts';
import { reportSettled } from './report.ts';
import type { RoomWriter, Written } from './settle.ts';

export interface RoomsDependencies {
  readonly clock: Clock;
  readonly chance: Chance;
  readonly store: RoomStore;
  readonly inbox: AckInbox;
  readonly writer: RoomWriter;
  readonly channels: Channels;
  readonly bodies: Bodies;
  readonly attempts: Attempts;
  readonly late: Late;
  readonly tenure: Tenure;
  readonly instruments: Instruments;
}

/** An event on its way, and who waits for its verdict. */
interface Posted {
  readonly event: RoomEvent;
  readonly resolve: (verdict: Verdict) => void;
  readonly reject: (error: unknown) => void;
}

/** A room in memory. */
interface Resident {
  room: Room;
  readonly posted: Posted[];
  /** A decision about it is being made or stored. */
  deciding: boolean;
  /** The row must be read before the next decision. */
  stale: boolean;
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

/** How long a room waits after the store failed before it is tried again. */
const STORE_RETRY_MS = 250;
/** How long a room waits after its claim was refused; meanwhile the lease is looked at. */
const FENCED_RETRY_MS = 50;

export class Rooms {
  readonly #to: RoomsDependencies;
  readonly #residents = new Map<number, Resident>();
  readonly #deadlines: Deadlines;
  readonly #reads: Batcher<RoomAddress, StoredRoom | null>;
  readonly #lateFacts: Batcher<LateFact, void>;
  #draining = false;

  constructor(dependencies: RoomsDependencies) {
    this.#to = dependencies;
    const { clock, store, late } = dependencies;
    this.#deadlines = new Deadlines(clock, (id, lateMs) => this.#onDeadline(id, lateMs));
    this.#reads = new Batcher({ maxRows: 200, flush: (addresses) => store.readRooms(addresses) });
    this.#lateFacts = new Batcher<LateFact, void>({
      maxRows: 200,
      flush: async (facts) => {
        await late.record(facts);
        return facts.map(() => undefined);
      },
    });
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
   */
  async post(
    address: RoomAddress,
    event: RoomEvent,
    expected?: { tenant: string; channel: string },
  ): Promise<Verdict | null> {
    let resident = this.#residents.get(address.id);
    if (resident === undefined) {
      const stored = await this.#reads.submit(address);
      if (stored === null) return null;
      resident = this.#residents.get(address.id) ?? this.#admit(this.#roomOf(stored));
    }
    const { key } = resident.room;
    if (expected !== undefined && (key.tenant !== expected.tenant || key.channel !== expected.channel)) {
      this.#rest(resident);
      return null;
    }
    return this.#enqueue(resident, event);
  }

  /** The room as this process knows it, or as the store has it. */
  async view(address: RoomAddress): Promise<Room | null> {
    const resident = this.#residents.get(address.id);
    if (resident !== undefined && !resident.stale) return resident.room;
    const stored = await this.#reads.submit(address);
    return stored === null ? null : this.#roomOf(stored);
  }

  /** Intake appended messages of one room: `row` as that transaction left it. */
  appended(row: RoomRow, messages: readonly { readonly message: NewMessage; readonly sequence: number }[]): void {
    if (!this.#to.tenure.holds(row.shard)) return;
    const policy = this.#policyOf(row.key);
    const envelopes = messages.map(({ message, sequence }) =>
      envelopeOf({ ...message, sequence, cancelled: false }, policy),
    );
    for (const { message, sequence } of messages) this.#to.bodies.keep(row, sequence, message.body);
    const resident = this.#residents.get(row.id) ?? this.#admit({ ...row, envelopes: [] });
    this.#tell(resident, { type: 'tail_raised', tail: row.tail, envelopes });
  }

  /**
   * A take-over or a sweep found the room in the store.
   * @returns false where the room is claimable and nobody attended to it since the last sweep (R6)
   */
  found(stored: StoredRoom, kind: 'take_over' | 'sweep'): boolean {
    const room = this.#roomOf(stored);
    const resident = this.#residents.get(room.id);
    if (resident === undefined) {
      this.#attend(this.#admit(room));
      return true;
    }
    if (resident.deciding) return true;
    if (room.version > resident.room.version || room.tail > resident.room.tail) {
      resident.stale = true;
      void this.#decide(resident);
      return true;
    }
    const served = this.#to.channels.get(room.key) !== null;
    const unattended =
      served && isClaimable(resident.room) && resident.permit === null && resident.cancelRequest === null;
    const suspect = unattended && kind === 'sweep' && resident.suspectVersion === resident.room.version;
    resident.suspectVersion = unattended ? resident.room.version : null;
    this.#attend(resident);
    return !suspect;
  }

  /** The lease is lost: nothing in memory is known to be ours any more. Open requests go on to their answers. */
  forgetAll(): void {
    this.#deadlines.clear();
    for (const resident of this.#residents.values()) {
      this.#leaveQueue(resident);
      resident.permit?.release();
      resident.permit = null;
      resident.stale = true;
      if (!resident.deciding && resident.posted.length === 0) this.#residents.delete(resident.room.id);
    }
  }

  /** Claims nothing further; resolves when open requests are answered and everything decided is stored. */
  async drain(): Promise<void> {
    this.#draining = true;
    for (const resident of this.#residents.values()) {
      this.#leaveQueue(resident);
      resident.permit?.release();
      resident.permit = null;
    }
    await this.#to.attempts.idle();
    await this.#to.writer.idle();
    await this.#lateFacts.idle();
    this.#deadlines.clear();
  }

  // --------------------------------------------------------------------------------------------------------- deciding

  #enqueue(resident: Resident, event: RoomEvent): Promise<Verdict> {
    if (event.type === 'ack') resident.ackArrivedAt ??= this.#to.clock.monotonic();
    return new Promise((resolve, reject) => {
      resident.posted.push({ event, resolve, reject });
      void this.#decide(resident);
    });
  }

  /** For events that nobody waits for; they are decided until the store takes them. */
  #tell(resident: Resident, event: RoomEvent): void {
    resident.posted.push({ event, resolve: () => undefined, reject: () => undefined });
    void this.#decide(resident);
  }

  async #decide(resident: Resident): Promise<void> {
    if (resident.deciding) return;
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

  /** Reads the row where it has to be. False where the room is gone. */
  async #refresh(resident: Resident): Promise<boolean> {
    const { room } = resident;
    const headless = hasHead(room) && headEnvelope(room) === null;
    if (!resident.stale && !headless) return true;
    const stored = await this.#reads.submit(room).catch(() => undefined);
    if (stored === undefined) {
      await this.#pause(STORE_RETRY_MS);
      return this.#refresh(resident);
    }
    if (stored === null) {
      for (const one of resident.posted.splice(0)) one.reject(new Error('the room is gone from the store'));
      this.#forget(resident);
      return false;
    }
    resident.stale = false;
    if (stored.row.version >= room.version) resident.room = this.#roomOf(stored);
    return true;
  }

  async #decideOnce(resident: Resident): Promise<void> {
    const posted = resident.posted.splice(0);
    const evidence = await this.#evidence(resident.room, posted);
    const before = resident.room;
    const course = this.#course(resident, [...evidence, ...posted.map((one) => one.event)]);
    if (course.room.version === resident.room.version) {
      // Nothing to store: what was learnt stays in memory.
      resident.room = course.room;
      await this.#afterwards(resident, before, course, posted);
      return;
    }
    const written = await this.#write(before, course);
    if (written?.kind === 'committed') {
      resident.room = { ...course.room, tail: Math.max(course.room.tail, written.tail) };
      for (const ack of written.inbox) this.#tell(resident, inboxEvent(ack, course.acceptedAs, this.#to.chance()));
      await this.#afterwards(resident, before, course, posted);
      return;
    }
    this.#takeBack(resident, course);
    resident.posted.unshift(...posted);
    resident.stale = true;
    if (written === null) await this.#pause(STORE_RETRY_MS);
    if (written?.kind === 'fenced') {
      this.#to.tenure.suspect();
      await this.#pause(FENCED_RETRY_MS);
    }
  }

  /** Runs the events through `transition`, and claims in the same breath where a permit is to be had. */
  #course(resident: Resident, events: readonly RoomEvent[]): Course {
    const now = this.#to.clock.now();
    const channel = this.#to.channels.get(resident.room.key);
    const course = newCourse(resident.room, channel?.settings.echoesReference !== 'always');
    for (const event of events) step(course, event, now);
    if (!this.#mayClaim(course.room)) return course;
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

  /** The decision came to nothing: its permit is given back if it had been spent on a claim. */
  #takeBack(resident: Resident, course: Course): void {
    if (!course.claims) return;
    resident.permit?.release();
    resident.permit = null;
  }

  async #afterwards(resident: Resident, before: Room, course: Course, posted: readonly Posted[]): Promise<void> {
    for (const fact of course.facts) if (fact.kind === 'settled') this.#onSettled(resident, before, fact);
    const claimed = course.claims ? resident.permit : null;
    if (claimed !== null) {
      resident.permit = null;
      this.#send(resident, claimed);
    }
    try {
      await this.#runOnce(resident.room, course);
      const first = course.verdicts.length - posted.length;
      for (const [index, one] of posted.entries()) one.resolve(course.verdicts[first + index] as Verdict);
    } catch (error) {
      for (const one of posted) one.reject(error);
    }
  }

  /** Effects that the row does not show: what concerns settled messages, and the channel. */
  async #runOnce(room: Room, course: Course): Promise<void> {
    const work: Promise<unknown>[] = course.lateFacts.map((fact) => this.#lateFacts.submit({ address: room, fact }));
    for (const { sequence, cumulative, event } of course.late) {
      work.push(this.#to.late.judge(room, sequence, event, cumulative));
    }
    if (course.channelSilent) this.#to.channels.get(room.key)?.reportSilent();
    if (work.length > 0) await Promise.all(work);
  }

  /** Every timeout of a channel that does not echo our reference reads the ack inbox in the same decision. */
  async #evidence(room: Room, posted: readonly Posted[]): Promise<RoomEvent[]> {
    if (room.platformId === null || !posted.some((one) => one.event.type === 'deadline_due')) return [];
    if (this.#to.channels.get(room.key)?.settings.echoesReference !== 'never') return [];
    const acks = await this.#to.inbox.read(room.key, [room.platformId]).catch(() => null);
    if (acks === null) {
      await this.#pause(STORE_RETRY_MS);
      return this.#evidence(room, posted);
    }
    return acks.map((ack) => inboxEvent(ack, headSequence(room), this.#to.chance()));
  }

  // ----------------------------------------------------------------------------------------------------------- effects

  /** Gives the room what its state calls for; the same for a fresh commit, a restart and a take-over. */
  #attend(resident: Resident): void {
    if (!this.#isOurs(resident) || resident.deciding) return;
    const { room } = resident;
    if (resident.permit !== null && !this.#mayClaim(room)) {
      resident.permit.release();
      resident.permit = null;
    }
    if (!this.#to.tenure.holds(room.shard)) {
      this.#rest(resident);
      return;
    }
    this.#deadlines.set(room.id, nextDeadline(room));
    for (const effect of pendingEffects(room)) {
      switch (effect.type) {
        case 'load_envelopes':
          void this.#decide(resident);
          return;
        case 'request_permit':
          this.#queueForPermit(resident);
          break;
        case 'send':
          if (!resident.open.has(attemptKey(effect))) {
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
    this.#rest(resident);
  }

  #queueForPermit(resident: Resident): void {
    if (resident.permit !== null || resident.cancelRequest !== null || this.#draining) return;
    const channel = this.#to.channels.get(resident.room.key);
    if (channel === null) return;
    let granted = false;
    const cancel = channel.request((permit) => {
      granted = true;
      resident.cancelRequest = null;
      if (!this.#isOurs(resident) || !this.#mayClaim(resident.room)) {
        permit.release();
        return;
      }
      resident.permit = permit;
      void this.#decide(resident);
    });
    if (!granted) resident.cancelRequest = cancel;
  }

  #send(resident: Resident, permit: Permit): void {
    const { room } = resident;
    const { attempts, clock, instruments } = this.#to;
    const key = attemptKey({ sequence: headSequence(room), attempt: room.attempt });
    this.#leaveQueue(resident);
    resident.open.add(key);
    instruments.metrics.claims.inc();
    const repeats = room.attempts.some((one) => one.number !== room.attempt && one.result !== 'refused');
    if (repeats) instruments.metrics.possibleDuplicates.inc({ channel: channelName(room.key) });
    const { ackArrivedAt } = resident;
    resident.ackArrivedAt = null;
    attempts.send(room, permit, {
      onLeaving: () => {
        if (ackArrivedAt === null) return;
        instruments.metrics.ackToNextSendSeconds.observe((clock.monotonic() - ackArrivedAt) / 1000);
      },
      onResult: (result) => {
        resident.open.delete(key);
        this.#deliver(room, this.#resultEvent(room, result));
      },
    });
  }

  /** Hands a request's outcome to its room, whoever holds it now and however long the store takes. */
  #deliver(address: RoomAddress, event: RoomEvent): void {
    this.#to.attempts.track(
      (async () => {
        for (;;) {
          try {
            return await this.post(address, event);
          } catch {
            await this.#pause(STORE_RETRY_MS);
          }
        }
      })(),
    );
  }

  #resultEvent(room: Room, result: SendResult): RoomEvent {
    const sequence = headSequence(room);
    const { attempt } = room;
    const chance = this.#to.chance();
    switch (result.kind) {
      case 'accepted': {
        const ackTimeoutMs = this.#to.channels.get(room.key)?.ackTimeoutMs() ?? null;
        const { platformId, platformAt } = result;
        return { type: 'attempt_accepted', sequence, attempt, platformId, platformAt, ackTimeoutMs };
      }
      case 'refused':
        return { type: 'attempt_refused', sequence, attempt, nack: result.nack, chance };
      case 'unknown':
        return { type: 'attempt_unknown', sequence, attempt, code: result.code, bytesLeft: result.bytesLeft, chance };
      default:
        return result satisfies never;
    }
  }

  #lookUp(resident: Resident, effect: Extract<Effect, { type: 'lookup' }>): void {
    const key = attemptKey(effect);
    if (resident.lookedUp === key) return;
    resident.lookedUp = key;
    const { room } = resident;
    this.#to.attempts.lookUp(room, effect.sequence, (result) => {
      const { sequence, attempt } = effect;
      if (result.kind === 'no_evidence') return;
      if (result.kind === 'failed') {
        const { nack, platformId } = result;
        this.#deliver(room, {
          type: 'nack',
          sequence,
          nack,
          platformId,
          at: this.#to.clock.now(),
          chance: this.#to.chance(),
        });
        return;
      }
      const { platformId, platformAt, level } = result;
      this.#deliver(room, { type: 'attempt_accepted', sequence, attempt, platformId, platformAt, ackTimeoutMs: null });
      this.#deliver(room, { type: 'ack', sequence, level, at: this.#to.clock.now(), cumulative: false });
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

  #onSettled(resident: Resident, before: Room, fact: Settled): void {
    const { room } = resident;
    const { bodies, channels, instruments } = this.#to;
    bodies.drop(room, fact.sequence);
    const channel = channels.get(room.key);
    if (fact.outcome === 'acked') channel?.reportAck();
    else resident.ackArrivedAt = null;
    if (fact.reason === 'ack_timeout') channel?.reportAckTimeout();
    reportSettled(instruments, before, fact);
  }

  // ----------------------------------------------------------------------------------------------------------- helpers

  #admit(room: Room): Resident {
    const resident: Resident = {
      room,
      posted: [],
      deciding: false,
      stale: false,
      permit: null,
      cancelRequest: null,
      open: new Set(),
      lookedUp: null,
      ackArrivedAt: null,
      suspectVersion: null,
    };
    this.#residents.set(room.id, resident);
    return resident;
  }

  /** H5: lets a room go that needs nothing more of this process. */
  #rest(resident: Resident): void {
    const { room } = resident;
    if (resident.deciding || resident.posted.length > 0 || resident.open.size > 0) return;
    const held = this.#to.tenure.holds(room.shard);
    if (held && (resident.permit !== null || resident.cancelRequest !== null || nextDeadline(room) !== null)) return;
    if (held && (hasHead(room) || room.phase !== 'idle') && room.phase !== 'held' && room.reason !== 'paused') return;
    this.#forget(resident);
  }

  #forget(resident: Resident): void {
    this.#leaveQueue(resident);
    resident.permit?.release();
    resident.permit = null;
    this.#deadlines.set(resident.room.id, null);
    this.#residents.delete(resident.room.id);
  }

  #leaveQueue(resident: Resident): void {
    resident.cancelRequest?.();
    resident.cancelRequest = null;
  }

  #canClaimNow(resident: Resident): boolean {
    return resident.permit !== null && this.#mayClaim(resident.room);
  }

  #mayClaim(room: Room): boolean {
    if (this.#draining || !isClaimable(room) || headEnvelope(room) === null) return false;
    const channel = this.#to.channels.get(room.key);
    return channel !== null && this.#to.tenure.mayClaim(room.shard, channel.settings.sendTimeoutMs);
  }

  #isOurs(resident: Resident): boolean {
    return this.#residents.get(resident.room.id) === resident;
  }

  #policyOf(key: RoomKey): Policy {
    return this.#to.channels.get(key)?.settings.policy ?? POLICY_OF_MISSING_CHANNEL;
  }

  #roomOf(stored: StoredRoom): Room {
    return roomOf(stored, this.#policyOf(stored.row.key));
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#to.clock.after(ms, resolve));
  }
}

function attemptKey(attempt: { readonly sequence: number; readonly attempt: number }): string {
  return `${attempt.sequence}/${attempt.attempt}`;
}

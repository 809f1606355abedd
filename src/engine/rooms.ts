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
import { hasHead, headEnvelope, headSequence, type Room, type RoomAddress, withEnvelopes } from '../room/room.ts';
import type { Permit } from './channels.ts';
import type { ConsequencesDependencies } from './consequences.ts';
import { lookupEvents, resultEvent } from './course.ts';
import { Deadlines } from './deadlines.ts';
import { Deciding, type Keeper, NOBODY_WAITS } from './deciding.ts';
import type { Attempts } from './dispatch.ts';
import type { Gaps } from './gaps.ts';
import type { Hint } from './hints.ts';
import type { OpenClaims } from './open-claims.ts';
import type { Tenure } from './ownership.ts';
import { channelName, envelopeOf } from './policy.ts';
import type { AppendedRow, ChannelKey, Clock, EndOfTurn, NewMessage, RoomStore, StoredRoom } from './ports.ts';
import { RoomReader } from './reader.ts';
import { attemptKey, giveBack, isFull, leaveQueue, newResident, type Resident, takeHint } from './resident.ts';
import { type Glance, SetAside } from './set-aside.ts';
import type { RoomWriter } from './settle.ts';

export interface RoomsDependencies extends ConsequencesDependencies {
  readonly clock: Clock;
  readonly store: RoomStore;
  readonly writer: RoomWriter;
  readonly attempts: Attempts;
  readonly tenure: Tenure;
  readonly openClaims: OpenClaims;
  readonly endOfTurn: EndOfTurn;
  readonly acceptanceLingerMs: number;
  readonly gaps: Pick<Gaps, 'swept' | 'forget' | 'reconfigured' | 'close'>;
}

/** How long a graceful end waits for the store after the last send must have ended. */
const DRAIN_STORE_MS = 2_000;

export class Rooms {
  readonly #to: RoomsDependencies;
  readonly #residents = new Map<number, Resident>();
  readonly #deadlines: Deadlines;
  readonly #reader: RoomReader;
  readonly #deciding: Deciding;
  readonly #setAside = new SetAside();
  /** Rooms that could not go on while the lease could not be trusted, and stand in no queue. */
  readonly #turnedAway = new Set<Resident>();
  #draining = false;
  /** Nothing is timed or tried again any more. */
  #ended = false;

  constructor(dependencies: RoomsDependencies) {
    this.#to = dependencies;
    const { clock, store, channels } = dependencies;
    this.#deadlines = new Deadlines(clock, (id, lateMs) => this.#onDeadline(id, lateMs));
    this.#reader = new RoomReader(store, channels, dependencies.bodies);
    this.#deciding = new Deciding({ ...dependencies, reader: this.#reader }, this.#keeper());
  }

  /** Rooms in memory; those at rest are not. */
  get size(): number {
    return this.#residents.size;
  }

  /** Every room of the shards held here that may have something waiting, for whoever counts. */
  *glances(): Generator<Glance> {
    for (const resident of this.#residents.values()) if (this.#holds(resident.room)) yield resident;
    for (const one of this.#setAside.all()) if (this.#holds(one.room)) yield one;
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
    return this.#deciding.enqueue(resident, event);
  }

  /** The room as this process knows it, or as the store has it. */
  async view(address: RoomAddress): Promise<Room | null> {
    const resident = this.#residents.get(address.id);
    if (resident !== undefined && !resident.stale) return resident.room;
    return this.#reader.read(address);
  }

  /**
   * Intake appended messages of one room: `row` as that transaction left it. What had been parked before, and has come to
   * its turn with them, is read when it is needed.
   * @param parked how many of the room were parked besides
   * @returns false where the room is ours and must be read: memory does not know what is under way in it
   */
  appended(
    row: AppendedRow,
    messages: readonly { readonly message: NewMessage; readonly sequence: number }[],
    parked: number,
  ): boolean {
    this.#to.channels.tallies.of(row.key).count('accepted', messages.length + parked);
    if (!this.#to.tenure.keeps(row.shard)) this.#to.telling.changed(row);
    if (!this.#holds(row) || messages.length === 0) return true;
    const policy = this.#reader.policyOf(row.key);
    const envelopes = messages.map(({ message, sequence }) =>
      envelopeOf({ ...message, sequence, cancelledBy: null }, policy),
    );
    for (const { message, sequence } of messages) this.#to.bodies.keep(row, sequence, message.body);
    const resident = this.#residents.get(row.id);
    if (resident !== undefined) this.#deciding.tell(resident, { type: 'tail_raised', tail: row.tail, envelopes });
    else if (row.phase === 'idle') this.#attend(this.#admit(withEnvelopes({ ...row, envelopes: [] }, envelopes)));
    else return false;
    return true;
  }

  /** The room is said to be at this version and tail. False where memory has nothing of it. */
  hinted(hint: Hint): boolean {
    const resident = this.#residents.get(hint.id);
    if (resident === undefined) {
      this.#setAside.outdate(hint);
      return false;
    }
    const { clock, channels } = this.#to;
    if (hint.ackedAt !== null) channels.get(resident.room.key)?.reportAck(hint.id);
    if (takeHint(resident, hint, clock)) this.#deciding.wake(resident);
    return true;
  }

  /**
   * A take-over or a sweep found the room in the store.
   * @returns false where the room is claimable, or its gap overdue, and nobody attended to that since the last sweep (R6)
   */
  found(stored: StoredRoom, kind: 'take_over' | 'sweep'): boolean {
    const gapMoves = this.#to.gaps.swept(stored.row, stored.gap ?? null);
    return this.#found(stored, kind) && gapMoves;
  }

  #found(stored: StoredRoom, kind: 'take_over' | 'sweep'): boolean {
    const room = this.#reader.roomOf(stored);
    const resident = this.#residents.get(room.id);
    if (resident === undefined) {
      this.#attend(this.#admit(room));
      return true;
    }
    if (resident.deciding) return true;
    if (room.version > resident.room.version || room.tail > resident.room.tail) {
      resident.stale = true;
      this.#deciding.wake(resident);
      return true;
    }
    const { channels, tenure } = this.#to;
    const sendTimeoutMs = channels.get(room.key)?.settings.sendTimeoutMs ?? null;
    // Who drains leaves its rooms to its successor. A lease that is not to be trusted is renewed soon, or another's.
    const leaving = this.#draining || tenure.isLeaving(room.shard);
    const trusted = sendTimeoutMs !== null && tenure.outlives(room.shard, sendTimeoutMs);
    const expected = trusted && !leaving && isClaimable(resident.room);
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
    this.#setAside.forget(shards);
    this.#to.gaps.forget(shards);
  }

  /** These shards have heirs: nothing further is claimed in them. A claim that is being stored keeps its permit: it is sent. */
  leave(shards: ReadonlySet<number>): void {
    for (const resident of this.#residents.values()) {
      if (!shards.has(resident.room.shard)) continue;
      leaveQueue(resident);
      if (!resident.deciding) giveBack(resident);
      this.#deciding.hurry(resident);
      this.#turnedAway.add(resident);
    }
  }

  /** A channel has come, changed or gone: its rooms are read and decided anew, and keep their places where it is still there. */
  reconfigured(channel: ChannelKey): void {
    this.#to.gaps.reconfigured(channel);
    const gone = this.#to.channels.get(channel) === null;
    const name = channelName(channel);
    for (const resident of this.#residents.values()) {
      if (channelName(resident.room.key) !== name) continue;
      this.#to.attempts.preparations.forget(resident.room.id);
      if (gone) leaveQueue(resident);
      resident.stale = true;
      this.#deciding.wake(resident);
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
      this.#deciding.hurry(resident);
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
    await this.#to.gaps.close();
    await this.#quiet();
  }

  /** Decisions of now have ended, and no request is open. */
  async #quiet(): Promise<void> {
    const deciding = [...this.#residents.values()].filter((resident) => resident.deciding);
    await Promise.all(deciding.map(({ whenDecided }) => new Promise<void>((end) => whenDecided.push(end))));
    await this.#to.attempts.idle();
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
          this.#deciding.wake(resident);
          return;
        case 'request_permit':
          this.#queueForPermit(resident);
          break;
        case 'send':
          if (!resident.open.includes(attemptKey(effect))) {
            if (!this.#to.tenure.mayTakeOver(room.shard)) {
              this.#turnedAway.add(resident);
              break;
            }
            this.#deciding.tell(resident, { type: 'taken_over', chance: this.#to.chance() });
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
      // It has found another one meanwhile, which its claim is being stored with.
      if (resident.permit !== null) {
        permit.release();
        return;
      }
      if (!this.#isOurs(resident) || !this.#mayClaim(resident.room)) {
        permit.release();
        if (this.#isOurs(resident)) this.#turnedAway.add(resident);
        return;
      }
      resident.permit = permit;
      this.#deciding.wake(resident);
    });
    if (!granted) resident.cancelRequest = cancel;
  }

  #send(resident: Resident, permit: Permit): void {
    const { room } = resident;
    const { attempts, clock, instruments } = this.#to;
    const key = attemptKey({ sequence: headSequence(room), attempt: room.attempt });
    leaveQueue(resident);
    resident.open.push(key);
    instruments.metrics.claims.inc();
    const repeats = room.attempts.some((one) => one.number !== room.attempt && one.result !== 'refused');
    if (repeats) instruments.metrics.possibleDuplicates.inc({ channel: channelName(room.key) });
    const tally = this.#to.channels.tallies.of(room.key);
    tally.begun(room, repeats);
    const { ackArrivedAt } = resident;
    resident.ackArrivedAt = null;
    attempts.send(room, permit, {
      isWanted: () => resident.room.settled === room.settled,
      onLeaving: () => {
        if (ackArrivedAt === null) return;
        const gapMs = clock.monotonic() - ackArrivedAt;
        instruments.metrics.ackToNextSendSeconds.observe(gapMs / 1000);
        tally.time('ackToNextSend', gapMs);
      },
      onResult: (result) => {
        resident.open.splice(resident.open.indexOf(key), 1);
        const ackTimeoutMs = this.#to.channels.get(room.key)?.acks.timeoutMs(headEnvelope(room)?.policy) ?? null;
        const event = resultEvent(room, result, ackTimeoutMs, this.#to.chance());
        this.#deliver(room, event, () => this.#to.openClaims.end(room.shard));
      },
    });
  }

  /** Hands a request's outcome to its room, whoever holds it now and however long the store takes. */
  #deliver(address: RoomAddress, event: RoomEvent, onStored: () => void = NOBODY_WAITS): void {
    const { attempts, tenure } = this.#to;
    const ended = (): boolean => this.#ended;
    const resident = this.#residents.get(address.id);
    if (resident === undefined || !tenure.clockIsSet || isFull(resident)) {
      attempts.insist(() => this.post(address, event), ended, onStored);
      return;
    }
    const over = attempts.track();
    const again = (error: unknown): void => {
      tenure.storeFailed(error);
      over();
      attempts.insist(() => this.post(address, event), ended, onStored);
    };
    this.#deciding.tell(
      resident,
      event,
      () => {
        over();
        onStored();
      },
      again,
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
    this.#deciding.tell(resident, { type: 'deadline_due', channelAnswered, chance: this.#to.chance() });
  }

  // ----------------------------------------------------------------------------------------------------------- helpers

  #keeper(): Keeper {
    return {
      attend: (resident) => this.#attend(resident),
      send: (resident, permit) => this.#send(resident, permit),
      forget: (resident) => this.#forget(resident),
      deliver: (address, event) => this.#deliver(address, event),
      mayClaim: (room) => this.#mayClaim(room),
      isEnded: () => this.#ended,
    };
  }

  #admit(room: Room): Resident {
    const resident = newResident(room);
    this.#setAside.drop(room.id);
    this.#residents.set(room.id, resident);
    return resident;
  }

  /** H5: lets a room go that needs nothing more of this process. */
  #rest(resident: Resident): void {
    const { room } = resident;
    if (resident.deciding || resident.posted.length > 0 || resident.open.length > 0) return;
    const held = this.#holds(room);
    if (held && (resident.permit !== null || resident.cancelRequest !== null || nextDeadline(room) !== null)) return;
    if (held && (hasHead(room) || room.phase !== 'idle') && room.phase !== 'held' && room.reason !== 'paused') return;
    this.#forget(resident);
    if (held && hasHead(room)) this.#setAside.keep(room);
  }

  #forget(resident: Resident): void {
    leaveQueue(resident);
    giveBack(resident);
    this.#deadlines.set(resident.room.id, null);
    this.#turnedAway.delete(resident);
    this.#to.attempts.preparations.forget(resident.room.id);
    this.#residents.delete(resident.room.id);
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
}

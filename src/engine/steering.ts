/**
 * What operators order of rooms and messages. An order is an event like any other: `transition` decides it, and any
 * process may store it, whoever holds the room. It is in the audit before it takes effect.
 */
import { RoomlineError } from '../errors.ts';
import type { IgnoredReason, RoomEvent } from '../room/events.ts';
import { headSequence, type Outcome, type Room, type RoomAddress, type RoomKey } from '../room/room.ts';
import { shardOf } from '../room/shard.ts';
import { transition } from '../room/transition.ts';
import type { Actor } from './fleet-operations.ts';
import type { Gaps } from './gaps.ts';
import type { Instruments } from './instruments.ts';
import type { AuditStore } from './operator-ports.ts';
import { channelName } from './policy.ts';
import type { Clock, Gap, HistoryStore, RoomStore } from './ports.ts';
import type { References } from './reference.ts';
import type { Rooms } from './rooms.ts';

export interface SteeringDependencies {
  readonly rooms: Pick<Rooms, 'post' | 'view'>;
  readonly gaps: Pick<Gaps, 'skip'>;
  readonly store: Pick<RoomStore, 'findRoom'>;
  readonly history: Pick<HistoryStore, 'readSettled' | 'readWaiting'>;
  readonly references: References;
  readonly audit: Pick<AuditStore, 'record'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly shards: number;
  readonly hash: Instruments['hash'];
}

export const ROOM_ORDERS = ['pause', 'resume'] as const;
export type RoomOrder = (typeof ROOM_ORDERS)[number];
export const MESSAGE_ORDERS = ['skip', 'retry', 'cancel'] as const;
export type MessageOrder = (typeof MESSAGE_ORDERS)[number];

/** When an order takes effect: it did or would, with the end of the open attempt, at the message's turn, after a pause. */
export const ORDER_EFFECTS = ['at_once', 'after_attempt', 'at_its_turn', 'after_resume'] as const;
export type OrderEffect = (typeof ORDER_EFFECTS)[number];

export interface OrderWishes {
  /** The operator's own words, for the audit. */
  readonly reason: string | null;
  /** Only says what would happen. */
  readonly dryRun: boolean;
}

export interface Ordered {
  /** False where it was so already, or the order had been given before. */
  readonly changed: boolean;
  readonly effect: OrderEffect;
  /** One line for people. */
  readonly explanation: string;
}

export interface GapSkipped {
  readonly waitsFor: number;
  /** Null in a dry run: up to which number is decided when it is done. */
  readonly skipped: { readonly first: number; readonly last: number } | null;
}

export class Steering {
  readonly #to: SteeringDependencies;

  constructor(dependencies: SteeringDependencies) {
    this.#to = dependencies;
  }

  /** @throws RoomlineError `room_not_found` */
  async orderRoom(key: RoomKey, order: RoomOrder, wishes: OrderWishes, by: Actor): Promise<Ordered> {
    const { store, shards, hash } = this.#to;
    const row = (await store.findRoom(key, shardOf(key, shards)))?.row;
    if (row === undefined) throw new RoomlineError('room_not_found');
    const subject = `room:${channelName(key)}/${hash(key.room)}`;
    const { after, refused } = await this.#order(row, { type: order }, wishes, by, { subject, detail: {} });
    if (refused !== null && refused !== 'already_paused' && refused !== 'not_paused') throw impossible(refused);
    return { changed: refused === null, ...(order === 'pause' ? pausedAs(after) : resumedAs(after)) };
  }

  /**
   * Gives up the numbers that the room's publisher's order lacks: what is parked behind them goes on.
   * @param waitsFor the number that the room is to be waiting for; null: whatever it waits for
   * @throws RoomlineError `room_not_found`, `no_gap` where it waits for none, or for another one
   */
  async skipGap(
    key: RoomKey,
    waitsFor: number | null,
    { reason, dryRun }: OrderWishes,
    by: Actor,
  ): Promise<GapSkipped> {
    const { store, shards, hash, gaps, audit } = this.#to;
    const stored = await store.findRoom(key, shardOf(key, shards));
    if (stored === null) throw new RoomlineError('room_not_found');
    const { row, gap } = stored;
    if (gap === undefined || (waitsFor !== null && waitsFor !== gap.waitsFor)) throw noGap(gap);
    if (dryRun) return { waitsFor: gap.waitsFor, skipped: null };
    const subject = `room:${channelName(key)}/${hash(key.room)}`;
    const detail = { waitsFor: gap.waitsFor, ...(reason === null ? {} : { reason }) };
    await audit.record({ ...by, action: 'room.skip_gap', subject, detail });
    const done = await gaps.skip(row, gap.waitsFor, 'operator');
    if (done === null) throw new RoomlineError('room_not_found');
    // The missing message, or the timeout, was faster.
    if (done.skipped === null) throw noGap(done.gap ?? undefined);
    return { waitsFor: gap.waitsFor, skipped: done.skipped };
  }

  /**
   * @param visible whether whoever orders may see the messages of a tenant
   * @throws RoomlineError `message_not_found`, `message_settled`, `message_not_head`, `message_not_held`, `order_pending`
   */
  async orderMessage(
    reference: string,
    order: MessageOrder,
    wishes: OrderWishes,
    by: Actor,
    visible: (tenant: string) => boolean = () => true,
  ): Promise<Ordered> {
    const target = this.#to.references.decode(reference);
    const room = target === null ? null : await this.#to.rooms.view(target.address);
    if (target === null || room === null || !visible(room.key.tenant)) throw new RoomlineError('message_not_found');
    const { address, sequence } = target;
    // A room knows the marks of its next few messages only.
    if (order === 'cancel' && sequence > headSequence(room)) {
      const waiting = await this.#to.history.readWaiting(address, sequence);
      if (waiting?.cancelledBy != null) return { changed: false, ...messageEffect(room, sequence, order) };
    }
    const note = { subject: `message:${reference}`, detail: { channel: channelName(room.key), sequence } };
    const { after, refused } = await this.#order(address, { type: order, sequence }, wishes, by, note);
    if (refused === 'already_settled') await this.#settledAlready(address, sequence, order);
    else if (refused === 'already_marked' && order !== 'retry') demandSameMark(after, sequence, order);
    else if (refused !== null) throw impossible(refused);
    return { changed: refused === null, ...messageEffect(after, sequence, order) };
  }

  async #order(
    address: RoomAddress,
    event: RoomEvent,
    { reason, dryRun }: OrderWishes,
    by: Actor,
    note: { readonly subject: string; readonly detail: Readonly<Record<string, unknown>> },
  ): Promise<{ readonly after: Room; readonly refused: IgnoredReason | null }> {
    const { rooms, audit, clock } = this.#to;
    const before = await this.#view(address);
    const foreseen = transition(before, event, clock.now());
    const { verdict } = foreseen;
    // What another process appended a moment ago is found by whoever decides.
    const refused = verdict.kind === 'ignored' && verdict.reason !== 'not_accepted_yet' ? verdict.reason : null;
    if (dryRun || refused !== null) return { after: foreseen.room, refused };
    const { subject, detail } = note;
    const action = event.type === 'pause' || event.type === 'resume' ? `room.${event.type}` : `message.${event.type}`;
    await audit.record({ ...by, action, subject, detail: { ...detail, ...(reason === null ? {} : { reason }) } });
    const decided = await rooms.post(address, event);
    if (decided === null) throw new RoomlineError('room_not_found');
    return { after: await this.#view(address), refused: decided.kind === 'ignored' ? decided.reason : null };
  }

  async #view(address: RoomAddress): Promise<Room> {
    const room = await this.#to.rooms.view(address);
    if (room === null) throw new RoomlineError('room_not_found');
    return room;
  }

  /** @throws RoomlineError unless it settled as this order has it */
  async #settledAlready(address: RoomAddress, sequence: number, order: MessageOrder): Promise<void> {
    const entry = await this.#to.history.readSettled(address, sequence);
    if (entry === null) throw new RoomlineError('message_not_found');
    if (order !== 'retry' && entry.outcome === SETTLES_AS[order]) return;
    throw new RoomlineError('message_settled', { detail: `The message has settled as ${entry.outcome}` });
  }
}

function noGap(gap: Gap | undefined): RoomlineError {
  const detail = gap === undefined ? 'Nothing is parked in the room' : `The room waits for order ${gap.waitsFor}`;
  return new RoomlineError('no_gap', { detail });
}

const SETTLES_AS = { skip: 'skipped', cancel: 'cancelled' } as const satisfies Record<string, Outcome>;

type Effect = Pick<Ordered, 'effect' | 'explanation'>;

function pausedAs(room: Room): Effect {
  if (room.phase !== 'sending' && room.phase !== 'awaiting_ack') {
    return { effect: 'at_once', explanation: 'no attempt begins until the room is resumed' };
  }
  const head = `message ${headSequence(room)}`;
  return {
    effect: 'after_attempt',
    explanation: `${head} goes on to its end; then no attempt begins until the room is resumed`,
  };
}

function resumedAs(room: Room): Effect {
  const waits = room.tail - room.settled;
  const explanation =
    waits === 0 ? 'nothing waits' : `${waits} waiting ${waits === 1 ? 'message goes' : 'messages go'} on`;
  return { effect: 'at_once', explanation };
}

/** @param room after the order */
function messageEffect(room: Room, sequence: number, order: MessageOrder): Effect {
  if (order === 'retry') {
    if (!room.paused) return { effect: 'at_once', explanation: 'it is sent as soon as a permit is to be had' };
    return { effect: 'after_resume', explanation: 'it is sent when the room is resumed' };
  }
  const outcome = SETTLES_AS[order];
  if (sequence <= room.settled) return { effect: 'at_once', explanation: `it has settled as ${outcome}` };
  if (sequence > headSequence(room)) {
    return { effect: 'at_its_turn', explanation: `it settles as ${outcome}, without an attempt, when its turn comes` };
  }
  const explanation = `it settles as ${outcome} when its open attempt ends, unless an ack comes before`;
  return { effect: 'after_attempt', explanation };
}

function demandSameMark(room: Room, sequence: number, order: 'skip' | 'cancel'): void {
  const isHead = sequence === headSequence(room);
  if (isHead ? room.mark === order : order === 'cancel') return;
  throw new RoomlineError('order_pending', { detail: `It is to be settled by ${room.mark ?? 'cancel'} already` });
}

function impossible(reason: IgnoredReason): RoomlineError {
  if (reason === 'not_accepted_yet') return new RoomlineError('message_not_found');
  if (reason === 'not_head') return new RoomlineError('message_not_head');
  if (reason === 'not_held') return new RoomlineError('message_not_held');
  return new RoomlineError('conflict_state', { detail: `The room does not allow it: ${reason}` });
}

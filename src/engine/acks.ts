/**
 * From a webhook's statuses to events of rooms. Matching is by reference, then by the platform's id, over open messages
 * and history alike; by recipient only for watermarks, where the platform's own clock proves what they cover. What
 * matches nothing waits in the ack inbox. One item never decides about another.
 */

import { RoomlineError } from '../errors.ts';
import type { Verdict } from '../room/events.ts';
import { headSequence, type Nack, type Room, type RoomAddress } from '../room/room.ts';
import { shardOf } from '../room/shard.ts';
import type { AckKind } from '../telemetry.ts';
import { Batcher } from './batcher.ts';
import type { Bodies } from './bodies.ts';
import type { Channels } from './channels.ts';
import type { Instruments } from './instruments.ts';
import type { Late } from './late.ts';
import { channelName } from './policy.ts';
import type { AckInbox, Chance, ChannelKey, Clock, InboxAck, RoomName, RoomStore, StatusItem } from './ports.ts';
import type { References } from './reference.ts';
import type { Rooms } from './rooms.ts';

export interface AckDependencies {
  readonly rooms: Rooms;
  readonly late: Late;
  readonly inbox: AckInbox;
  readonly store: RoomStore;
  readonly bodies: Bodies;
  readonly channels: Channels;
  readonly references: References;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly shards: number;
  readonly instruments: Instruments;
  /** Told of every ack that concerns a message of ours. */
  readonly onAck: (channel: ChannelKey) => void;
}

/** How long a watermark waits for the answer to an open attempt, and how often that is looked at. */
const ANSWER_WAIT_MS = 2_000;
const ANSWER_POLL_MS = 20;

type Status = Extract<StatusItem, { kind: 'status' }>;
type Watermark = Extract<StatusItem, { kind: 'watermark' }>;

/** Rooms that watermarks came for, in one read. */
const MAX_ROOMS = 200;

export class Acks {
  readonly #to: AckDependencies;
  readonly #locating: Batcher<RoomName, RoomAddress | null>;

  constructor(dependencies: AckDependencies) {
    this.#to = dependencies;
    const { store } = dependencies;
    this.#locating = new Batcher({ maxRows: MAX_ROOMS, flush: (wanted) => store.locateRooms(wanted) });
  }

  /** Resolves when everything that the items carry is on disk; rejects where the store did not take it. */
  async receive(channel: ChannelKey, items: readonly StatusItem[]): Promise<void> {
    const byId: Status[] = [];
    const work: Promise<void>[] = [];
    const said = new Set<string>();
    for (const item of items) {
      if (items.length > 1 && repeats(item, said)) this.#count(channel, 'ignored');
      else if (item.kind === 'watermark') work.push(this.#onWatermark(channel, item));
      else if (item.kind === 'unreadable' || item.kind === 'other') this.#count(channel, 'ignored');
      else if (item.kind === 'channel') this.#onChannel(channel, item.nack);
      else if (!this.#hasContent(item)) this.#count(channel, 'ignored');
      else {
        const target = item.reference === null ? null : this.#to.references.decode(item.reference);
        if (target !== null) work.push(this.#onStatus(channel, target.address, target.sequence, item));
        else if (item.platformId !== null) byId.push(item);
        else this.#count(channel, 'unknown');
      }
    }
    if (byId.length > 0) work.push(this.#onIds(channel, byId));
    await Promise.all(work);
  }

  #onChannel(channel: ChannelKey, nack: Nack): void {
    this.#to.channels.reportNack(channel, nack);
    this.#count(channel, 'matched');
  }

  #hasContent(item: Status): boolean {
    return item.level !== null || item.nack !== null;
  }

  async #onIds(channel: ChannelKey, items: readonly Status[]): Promise<void> {
    const { inbox, clock } = this.#to;
    const now = clock.now();
    const acks: InboxAck[] = items.map((item) => ({
      platformId: item.platformId ?? '',
      level: item.level ?? 'none',
      nack: item.nack,
      at: wholeMs(item.at ?? now),
    }));
    const matches = await inbox.matchOrKeep(channel, acks, now);
    await Promise.all(
      matches.map((match, index) => {
        const item = items[index] as Status;
        if (match.kind === 'matched') return this.#onStatus(channel, match.address, match.sequence, item);
        this.#count(channel, 'unknown');
        return undefined;
      }),
    );
  }

  async #onStatus(channel: ChannelKey, address: RoomAddress, sequence: number, item: Status): Promise<void> {
    const { rooms, clock, chance } = this.#to;
    const at = wholeMs(item.at ?? clock.now());
    if (item.nack !== null) {
      const { nack, platformId } = item;
      const event = { type: 'nack', sequence, nack, platformId, at, chance: chance() } as const;
      this.#countVerdict(channel, await rooms.post(address, event, channel));
      return;
    }
    if (item.level === null) return;
    const { level, cumulative, platformAt } = item;
    const ack = { type: 'ack', sequence, level, at, cumulative } as const;
    const event = platformAt === undefined ? ack : { ...ack, platformAt: wholeMs(platformAt) };
    const verdict = await rooms.post(address, event, channel);
    if (verdict !== null) this.#seenAcks(channel);
    this.#countVerdict(channel, verdict);
  }

  async #onWatermark(channel: ChannelKey, item: Watermark): Promise<void> {
    const { rooms, late, shards } = this.#to;
    const key = { ...channel, room: item.to };
    const address = await this.#locating.submit({ key, shard: shardOf(key, shards) });
    if (address === null) {
      this.#count(channel, 'unknown');
      return;
    }
    const room = await (item.timedByAcks === true ? rooms.view(address) : this.#whenAnswered(address));
    if (room === null) return;
    const { level } = item;
    const watermark = wholeMs(item.watermark);
    this.#seenAcks(channel);
    const covered = room.platformAt !== null && room.platformAt <= watermark;
    if (room.settled > 0) await late.raise(room, room.settled, { level, at: watermark }, watermark, !covered);
    if (!covered || !(await this.#goesTo(room, item.to))) {
      this.#count(channel, 'late');
      return;
    }
    const event = { type: 'ack', sequence: room.settled + 1, level, at: watermark, cumulative: false } as const;
    this.#countVerdict(channel, await rooms.post(room, event, channel));
  }

  /** Whether the head is for this recipient: a room may have any name, another recipient's too. */
  async #goesTo(room: Room, to: string): Promise<boolean> {
    const sequence = headSequence(room);
    const waiting = await this.#to.bodies.read(room, sequence);
    // It may have settled since its room was looked at: the ack is its own all the same.
    const body = waiting ?? (await this.#to.late.bodyOf(room, sequence));
    return body !== null && recipientOf(body) === to;
  }

  /**
   * The room, once the platform's answer to its open attempt is stored: only that tells whether a watermark covers it.
   * @throws RoomlineError `not_ready` where that takes long: the platform tells its watermark again
   */
  async #whenAnswered(address: RoomAddress): Promise<Room | null> {
    const { rooms, clock } = this.#to;
    for (let waitedMs = 0; ; waitedMs += ANSWER_POLL_MS) {
      const room = await rooms.view(address);
      if (room === null || room.phase !== 'sending') return room;
      if (waitedMs >= ANSWER_WAIT_MS)
        throw new RoomlineError('not_ready', { detail: 'an attempt is not answered yet' });
      await new Promise<void>((resolve) => clock.after(ANSWER_POLL_MS, resolve));
    }
  }

  /** Any ack, late ones too, shows that the channel's acks have not stopped. */
  #seenAcks(channel: ChannelKey): void {
    this.#to.channels.get(channel)?.reportAck();
    this.#to.onAck(channel);
  }

  #countVerdict(channel: ChannelKey, verdict: Verdict | null): void {
    if (verdict === null) this.#count(channel, 'unknown');
    else if (verdict.kind !== 'ignored') this.#count(channel, 'matched');
    else this.#count(channel, verdict.reason === 'already_settled' ? 'late' : 'ignored');
  }

  #count(channel: ChannelKey, kind: AckKind): void {
    const name = channelName(channel);
    this.#to.instruments.metrics.acks.inc({ kind, channel: name });
    this.#to.instruments.telemetry.emit('ack.received', { channel: name, kind });
  }
}

/** Whether the same call has said it: levels only rise, so that saying it again costs the store work and changes nothing. */
function repeats(item: StatusItem, said: Set<string>): boolean {
  if (item.kind !== 'watermark' && (item.kind !== 'status' || item.nack !== null)) return false;
  const what =
    item.kind === 'watermark'
      ? [item.to, item.level, item.watermark]
      : [item.reference, item.platformId, item.level, item.cumulative];
  const key = JSON.stringify(what);
  if (said.has(key)) return true;
  said.add(key);
  return false;
}

function recipientOf(body: Uint8Array): unknown {
  return (JSON.parse(new TextDecoder().decode(body)) as { readonly to?: unknown }).to;
}

/** Platforms may give fractions; stored times are whole ms. */
function wholeMs(at: number): number {
  return Math.floor(at);
}

/**
 * What other processes of the fleet say. Everything here is a hint: what is acted on is read from the store, and a hint
 * that is lost, doubled, late or wrong costs time only. The sweeper finds what no hint told.
 */
import type { Fact } from '../room/events.ts';
import type { RoomAddress } from '../room/room.ts';
import { Batcher } from './batcher.ts';
import type { Channels } from './channels.ts';
import type { Tenure } from './ownership.ts';
import { channelName } from './policy.ts';
import type { ChannelKey, Clock, RoomMark, RoomStore, Signal, Signals, StoredRoom, WantedRoom } from './ports.ts';
import type { Rooms } from './rooms.ts';

/** How far a room is said to be. */
export type Hint = Omit<Extract<Signal, { kind: 'room' }>, 'kind'>;

/** Tells holders what was written here to rooms of theirs, after the commit. */
export class Telling {
  readonly #signals: Signals | null;
  readonly #clock: Clock;

  constructor(signals: Signals | null, clock: Clock) {
    this.#signals = signals;
    this.#clock = clock;
  }

  /** @param ackArrivedAt when the latest ack of the room arrived, in monotonic ms */
  changed(room: Omit<Hint, 'ackedAt'>, facts: readonly Fact[] = [], ackArrivedAt: number | null = null): void {
    if (this.#signals === null) return;
    const { shard, id, version, tail } = room;
    const acked = facts.some((fact) => fact.kind === 'settled' && fact.reason === 'ack');
    const ageMs = acked && ackArrivedAt !== null ? this.#clock.monotonic() - ackArrivedAt : 0;
    this.#signals.publish({
      kind: 'room',
      shard,
      id,
      version,
      tail,
      ackedAt: acked ? this.#clock.now() - ageMs : null,
    });
  }
}

export interface HintsDependencies {
  readonly signals: Signals | null;
  readonly store: RoomStore;
  readonly rooms: Rooms;
  readonly channels: Channels;
  readonly tenure: Tenure;
  readonly clock: Clock;
  /** Another process dropped signals. */
  readonly onMissed: () => void;
  /** The conditions of channels have changed in the store. */
  readonly onChannels: () => void;
}

const MAX_READ = 200;
/** How often others are told that a channel's acks arrive. */
const ACKS_EVERY_MS = 1_000;

export class Hints {
  readonly #to: HintsDependencies;
  readonly #reads: Batcher<WantedRoom, StoredRoom | null>;
  /** The newest hint about each room that is being read. */
  readonly #reading = new Map<number, Hint>();
  /** When others were last told of each channel's acks, in monotonic ms. */
  readonly #toldAcks = new Map<string, number>();

  constructor(dependencies: HintsDependencies) {
    this.#to = dependencies;
    const { store } = dependencies;
    this.#reads = new Batcher({ maxRows: MAX_READ, flush: (wanted) => store.readRooms(wanted) });
  }

  /** Listens until the result is called. */
  listen(): () => void {
    return this.#to.signals?.listen((signal) => this.#onSignal(signal)) ?? (() => undefined);
  }

  /** An ack of the channel arrived here. The watch for ack outages is at those who send. */
  ackSeen(channel: ChannelKey): void {
    const { signals, clock } = this.#to;
    if (signals === null) return;
    const name = channelName(channel);
    const now = clock.monotonic();
    if (now - (this.#toldAcks.get(name) ?? Number.NEGATIVE_INFINITY) < ACKS_EVERY_MS) return;
    this.#toldAcks.set(name, now);
    const delaysMs = this.#to.channels.get(channel)?.acks.takeUntold() ?? [];
    const told = delaysMs.length === 0 ? {} : { delaysMs };
    signals.publish({ kind: 'acks', channel: { tenant: channel.tenant, channel: channel.channel }, ...told });
  }

  /** Intake learnt only now that a message is in the store: somebody must tell its room. */
  async raised(address: RoomAddress, tail: number): Promise<void> {
    const { tenure, rooms, signals } = this.#to;
    if (!tenure.keeps(address.shard)) signals?.publish({ kind: 'room', ...address, version: 0, tail, ackedAt: null });
    if (tenure.holds(address.shard)) await rooms.post(address, { type: 'tail_raised', tail, envelopes: [] });
  }

  /** A sweep found these rows written since its last; memory may have been the one who wrote them. */
  compare(marks: readonly RoomMark[]): void {
    for (const mark of marks) this.#onRoom({ ...mark, ackedAt: null }, mark.atRest);
  }

  #onSignal(signal: Signal): void {
    switch (signal.kind) {
      case 'room':
        this.#onRoom(signal, false);
        return;
      case 'acks': {
        const channel = this.#to.channels.get(signal.channel);
        channel?.acks.told(signal.delaysMs ?? []);
        channel?.reportAck();
        return;
      }
      case 'channels':
        this.#to.onChannels();
        return;
      case 'missed':
        this.#to.onMissed();
        return;
      case 'ownership':
        return;
      default:
        signal satisfies never;
    }
  }

  #onRoom(hint: Hint, atRest: boolean): void {
    const { tenure, rooms } = this.#to;
    if (!tenure.holds(hint.shard) || rooms.hinted(hint)) return;
    // A room at rest that is not in memory needs nobody.
    if (atRest) return;
    const under = this.#reading.get(hint.id);
    this.#reading.set(hint.id, under === undefined ? hint : newest(under, hint));
    if (under === undefined) void this.#read(hint);
  }

  async #read(address: RoomAddress): Promise<void> {
    const { tenure, rooms, channels } = this.#to;
    try {
      for (;;) {
        const before = this.#reading.get(address.id);
        const stored = await this.#reads.submit({ shard: address.shard, id: address.id, withBody: true });
        const hint = this.#reading.get(address.id) as Hint;
        if (stored === null || !tenure.holds(address.shard)) return;
        const { version, tail } = stored.row;
        if (hint.ackedAt !== null) channels.get(stored.row.key)?.reportAck(address.id);
        if (!rooms.hinted({ ...address, version, tail, ackedAt: null })) rooms.found(stored, 'sweep');
        // What was said while it was read may be of what came after. What a hint says that the row does not is wrong.
        if (hint === before || (version >= hint.version && tail >= hint.tail)) return;
      }
    } catch (error) {
      // The sweep finds it.
      tenure.storeFailed(error);
    } finally {
      this.#reading.delete(address.id);
    }
  }
}

function newest(a: Hint, b: Hint): Hint {
  return {
    ...b,
    version: Math.max(a.version, b.version),
    tail: Math.max(a.tail, b.tail),
    ackedAt: a.ackedAt ?? b.ackedAt,
  };
}

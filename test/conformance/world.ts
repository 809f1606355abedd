/** What the behaviour suite needs of a store, and rooms and messages made from it. */
import { createHash } from 'node:crypto';
import type { BufferCursors } from '../../src/engine/buffer-ports.ts';
import type { OperatorStores } from '../../src/engine/operator-ports.ts';
import type {
  AppendResult,
  ClaimProof,
  NewMessage,
  RoomWrite,
  StoredRoom,
  Stores,
  WriteResult,
} from '../../src/engine/ports.ts';
import type { Fact, RoomEvent } from '../../src/room/events.ts';
import type { Policy, Room, RoomKey } from '../../src/room/room.ts';
import { transition } from '../../src/room/transition.ts';
import { registrationOf } from '../support/fleet.ts';
import { policyOf, START } from '../support/rooms.ts';

export const SHARDS = 4_096;
export const LANES = 3;

export interface Harness {
  readonly stores: Stores;
  readonly operators: OperatorStores;
  readonly bufferCursors: BufferCursors;
  /** Lets the lease of this worker come to its end; it had no longer than a minute. */
  endLease(worker: string): Promise<void>;
  /** Sets the database's clock, ahead or back; what is stored stays as it is. */
  stepClock(byMs: number): Promise<void>;
  close(): Promise<void>;
}

/** Stores of a database of their own, with `SHARDS` shards and `LANES` lanes. */
export type MakeHarness = () => Promise<Harness>;

/** A lease that `endLease` does not touch. */
export const LONG_LEASE_MS = 3_600_000;
export const SHORT_LEASE_MS = 60_000;

let names = 0;

/** Rooms of a shard and names that no other test of this file uses. */
export class World {
  readonly stores: Stores;
  readonly shard: number;
  readonly channel: string;

  constructor(stores: Stores, place = newPlace()) {
    this.stores = stores;
    this.shard = place.shard;
    this.channel = place.channel;
  }

  /** The same rooms, through the stores of another process. */
  through(stores: Stores): World {
    return new World(stores, this);
  }

  key(room = 'room'): RoomKey {
    return { tenant: 'default', channel: this.channel, room };
  }

  message(messageId: string, wishes: Partial<NewMessage> & { room?: string } = {}): NewMessage {
    const { room, ...fields } = wishes;
    const body = fields.body ?? Buffer.from(`{"to":"+1","content":"${messageId}"}`);
    return {
      key: this.key(room),
      shard: this.shard,
      messageId,
      body,
      digest: createHash('sha256').update(body).digest(),
      acceptedAt: START,
      notBefore: null,
      expiresAt: null,
      ackTimeoutMs: null,
      failurePolicy: null,
      supersedes: null,
      source: 'http',
      ...fields,
    };
  }

  async append(...messages: readonly NewMessage[]): Promise<AppendResult[]> {
    return this.stores.rooms.append(messages);
  }

  /** Appends so many messages to a room and returns it. */
  async roomWith(count: number, room = 'room', policy: Partial<Policy> = {}): Promise<Room> {
    await this.append(...Array.from({ length: count }, (_, i) => this.message(`m-${i + 1}`, { room })));
    return this.read(room, policy);
  }

  async stored(room = 'room'): Promise<StoredRoom> {
    const stored = await this.stores.rooms.findRoom(this.key(room), this.shard);
    if (stored === null) throw new Error(`there is no room ${room}`);
    return stored;
  }

  async read(room = 'room', policy: Partial<Policy> = {}): Promise<Room> {
    const { row, envelopes } = await this.stored(room);
    return { ...row, envelopes: envelopes.map((envelope) => ({ ...envelope, policy: policyOf(policy) })) };
  }

  async write(write: RoomWrite, proof: ClaimProof | null = null, lane = 0): Promise<WriteResult> {
    const [result] = await this.stores.rooms.compareAndSet(lane, [write], proof);
    return result as WriteResult;
  }

  /** Decides these events about the room, stores that, and returns the room. */
  async apply(room: Room, proof: ClaimProof | null, ...events: readonly RoomEvent[]): Promise<Room> {
    const write = decide(room, ...events);
    const result = await this.write(write, proof);
    if (result.kind !== 'committed') throw new Error(`the write was refused: ${result.kind}`);
    return write.next;
  }

  /** A worker that may claim. */
  async worker(name = `worker-${this.channel}`, leaseMs = LONG_LEASE_MS): Promise<ClaimProof> {
    const { generation } = await this.stores.ownership.register(registrationOf(name, leaseMs));
    return { worker: name, generation };
  }
}

function newPlace(): { readonly shard: number; readonly channel: string } {
  names++;
  return { shard: names % SHARDS, channel: `channel-${names}` };
}

/** The write that these events come to, all of which must be heeded. */
export function decide(room: Room, ...events: readonly RoomEvent[]): RoomWrite {
  let next = room;
  const facts: Fact[] = [];
  let claims = false;
  for (const event of events) {
    const decision = transition(next, event, START);
    if (decision.verdict.kind === 'ignored') throw new Error(`${event.type} was ignored: ${decision.verdict.reason}`);
    next = decision.room;
    facts.push(...decision.facts);
    claims ||= event.type === 'permit_granted' && next.phase === 'sending';
  }
  return { expectedVersion: room.version, next, facts, claims };
}

export function claimBy(proof: ClaimProof): RoomEvent {
  return { type: 'permit_granted', ...proof };
}

/** A proof that holds for nobody; enough where a test is not about claims, together with `unclaimed`. */
export function unclaimed(write: RoomWrite): RoomWrite {
  return { ...write, claims: false };
}

/** What a sweep of the world's shard finds. */
export function sweepFew(world: World, now: number, limit = 100): Promise<StoredRoom[]> {
  return sweepAll(world, [world.shard], now, limit);
}

/** The same among so many shards that a store may look for their rooms in another way. */
export function sweepMany(world: World, now: number, limit = 100): Promise<StoredRoom[]> {
  const others = Array.from({ length: 1_000 }, (_, index) => SHARDS + index);
  return sweepAll(world, [world.shard, ...others], now, limit);
}

async function sweepAll(world: World, shards: readonly number[], now: number, limit: number): Promise<StoredRoom[]> {
  const found: StoredRoom[] = [];
  for (let from: string | null = null; ; ) {
    const { rooms, next } = await world.stores.rooms.sweep(shards, now, limit, from);
    if (rooms.length > limit) throw new Error(`a page of at most ${limit} rooms has ${rooms.length}`);
    found.push(...rooms);
    if (next === null) return found;
    if (next === from) throw new Error(`after the page at ${from} comes the same again`);
    from = next;
  }
}

import type { Consumer } from './consumer.ts';
import { DeadlineWheel } from './deadline-wheel.ts';
import type { PubSubError } from './errors.ts';
import type { Faults } from './faults.ts';
import { type Entry, Lane, LaneQueue, type Lease } from './lane.ts';
import type { StoredMessage } from './message.ts';
import type { SubscriptionResource } from './wire.ts';

export interface SubscriptionStats {
  name: string;
  topic: string;
  /** Unacked messages, delivered or not. */
  backlog: number;
  /** Delivered and not yet answered. */
  outstanding: number;
  /** Since the publish time of the oldest unacked message; 0 without one. */
  oldestUnackedAgeMs: number;
  streams: number;
  /** Counts since the server started. */
  delivered: number;
  redelivered: number;
  acked: number;
  nacked: number;
  expired: number;
}

export interface SubscriptionContext {
  /** Milliseconds since the epoch. */
  now: () => number;
  faults: Faults;
  /** Begins every ack id, so that ids of an earlier run are told from this one's. */
  incarnation: string;
  /** Runs a function soon, outside the present call; calls ask for it once at a time. */
  soon: (run: () => void) => void;
  /** Runs a function after so many milliseconds. */
  after: (run: () => void, delayMs: number) => void;
  /** Takes a message that failed too often; false leaves it where it is. */
  deadLetter: (subscription: Subscription, message: StoredMessage) => boolean;
}

/** How many messages a lane may send before others have their turn. */
const TURN = 4;

/** Acked messages kept per ordering key behind an unacked one, to be redelivered with it. */
const RETAINED_ACKS_PER_KEY = 1_000;

/**
 * Backlog and delivery of one subscription.
 *
 * With ordering, a key's messages go out in publish order and to one consumer at a time; when one of them is
 * redelivered, every later one of its key that was delivered follows it, acked or not.
 */
export class Subscription {
  readonly resource: SubscriptionResource;
  readonly #context: SubscriptionContext;
  readonly #lanesByKey = new Map<string, Lane>();
  readonly #unordered = new Set<Lane>();
  readonly #leases = new Map<string, Lease>();
  readonly #wheel = new DeadlineWheel();
  readonly #consumers: Consumer[] = [];
  /** Lanes that wait and that any consumer may take. */
  readonly #waiting = new LaneQueue();
  #dispatchDue = false;
  #leaseCount = 0;
  #laneCount = 0;
  #backlog = 0;
  #delivered = 0;
  #redelivered = 0;
  #acked = 0;
  #nacked = 0;
  #expired = 0;

  constructor(resource: SubscriptionResource, context: SubscriptionContext) {
    this.resource = resource;
    this.#context = context;
  }

  get name(): string {
    return this.resource.name;
  }

  publish(message: StoredMessage): void {
    const lane = this.#laneFor(message.wire.orderingKey);
    const hadWaiting = lane.hasWaiting;
    lane.append(message);
    this.#backlog++;
    if (!hadWaiting) this.#becameAvailable(lane);
  }

  attach(consumer: Consumer): void {
    this.#consumers.push(consumer);
    this.#requestDispatch();
  }

  /** The consumer takes no more; what it holds stays leased, unless the faults say that it comes again at once. */
  detach(consumer: Consumer): void {
    const index = this.#consumers.indexOf(consumer);
    if (index === -1) return;
    this.#consumers.splice(index, 1);
    consumer.open = false;
    for (let lane = consumer.lanes.peek(); lane !== undefined; lane = consumer.lanes.peek()) {
      consumer.lanes.shift();
      this.#enqueue(lane);
    }
    if (!this.#context.faults.settings.redeliverOnStreamEnd) return;
    for (const lease of [...this.#leases.values()]) {
      if (lease.consumer === consumer && lease.entry.lease === lease) this.#redeliver(lease.entry);
    }
  }

  /** Ends every stream and every waiting pull with this error. @returns how many. */
  endConsumers(error: PubSubError): number {
    const consumers = [...this.#consumers];
    for (const consumer of consumers) consumer.end(error);
    return consumers.length;
  }

  /** A consumer that had no room may have some again. */
  wake(): void {
    this.#requestDispatch();
  }

  /** @returns the sequences of the messages that are acked by it; unknown and ended ack ids are passed over. */
  acknowledge(ackIds: readonly string[]): number[] {
    const acked: number[] = [];
    for (const ackId of ackIds) {
      const lease = this.#leases.get(ackId);
      if (!lease) continue;
      const { entry, lane } = lease;
      if (!entry.duplicated && this.#context.faults.strikes('duplicateProbability')) {
        entry.duplicated = true;
        this.#redeliver(entry);
        continue;
      }
      this.#end(lease);
      this.#settle(lane, entry);
      this.#acked++;
      acked.push(entry.message.sequence);
    }
    return acked;
  }

  /** Moves the ack deadline to `seconds` from now; 0 gives the messages back. */
  modifyAckDeadline(ackIds: readonly string[], seconds: number): void {
    const deadlineMs = this.#context.now() + seconds * 1_000;
    for (const ackId of ackIds) {
      const lease = this.#leases.get(ackId);
      if (!lease) continue;
      if (seconds === 0) {
        this.#nacked++;
        this.#fail(lease);
      } else {
        lease.deadlineMs = deadlineMs;
        this.#wheel.watch(lease);
      }
    }
  }

  /** Redelivers what was not answered in time. */
  expire(): void {
    for (const lease of this.#wheel.due(this.#context.now())) {
      if (lease.entry.lease !== lease) continue; // an earlier message of its key took it along
      this.#expired++;
      this.#fail(lease);
    }
  }

  /** Redelivers the last `count` delivered messages of a key that are still known. @returns how many come again. */
  redeliverKey(orderingKey: string, count: number): number {
    const lane = this.#lanesByKey.get(orderingKey);
    return lane ? this.#rewind(lane, lane.positionBack(count)) : 0;
  }

  /** The messages that are not acked, per lane in publish order. */
  *unacked(): Generator<StoredMessage> {
    for (const lane of this.#lanes()) for (const entry of lane.unacked()) yield entry.message;
  }

  stats(): SubscriptionStats {
    let oldest = Number.POSITIVE_INFINITY;
    for (const lane of this.#lanes()) {
      const first = lane.unacked().next();
      if (!first.done) oldest = Math.min(oldest, first.value.message.publishedAtMs);
    }
    return {
      name: this.name,
      topic: this.resource.topic,
      backlog: this.#backlog,
      outstanding: this.#leases.size,
      oldestUnackedAgeMs: this.#backlog === 0 ? 0 : Math.max(0, this.#context.now() - oldest),
      streams: this.#consumers.length,
      delivered: this.#delivered,
      redelivered: this.#redelivered,
      acked: this.#acked,
      nacked: this.#nacked,
      expired: this.#expired,
    };
  }

  *#lanes(): Generator<Lane> {
    yield* this.#lanesByKey.values();
    yield* this.#unordered;
  }

  #laneFor(orderingKey: string): Lane {
    if (!this.resource.enableMessageOrdering || orderingKey === '') {
      const lane = new Lane('', this.#laneCount++);
      this.#unordered.add(lane);
      return lane;
    }
    let lane = this.#lanesByKey.get(orderingKey);
    if (!lane) {
      lane = new Lane(orderingKey, hashOf(orderingKey));
      this.#lanesByKey.set(orderingKey, lane);
    }
    return lane;
  }

  #becameAvailable(lane: Lane): void {
    if (lane.delayed) return;
    const delayMs = this.#context.faults.deliveryDelayMs();
    if (delayMs === 0) {
      this.#enqueue(lane);
      return;
    }
    lane.delayed = true;
    this.#context.after(() => {
      lane.delayed = false;
      this.#enqueue(lane);
    }, delayMs);
  }

  #enqueue(lane: Lane): void {
    if (lane.queue !== null || lane.delayed || !lane.hasWaiting) return;
    if (lane.owner === null) this.#waiting.push(lane);
    else if (lane.owner.open) lane.owner.lanes.push(lane);
    else return; // its consumer is gone: it waits until what that one holds is answered or ends
    this.#requestDispatch();
  }

  #requestDispatch(): void {
    if (this.#dispatchDue || this.#consumers.length === 0) return;
    this.#dispatchDue = true;
    this.#context.soon(() => {
      this.#dispatchDue = false;
      this.#dispatch();
    });
  }

  /** Hands out turns, one to a free lane and one to each consumer's own lanes, until nothing waits or nobody has room. */
  #dispatch(): void {
    for (let progress = true; progress; ) {
      progress = false;
      const free = this.#waiting.peek();
      const taker = free && this.#takerFor(free);
      if (free && taker) {
        this.#waiting.shift();
        this.#deliver(free, taker);
        progress = true;
      }
      for (const consumer of this.#consumers) {
        const lane = consumer.hasRoom ? consumer.lanes.peek() : undefined;
        if (!lane) continue;
        consumer.lanes.shift();
        this.#deliver(lane, consumer);
        progress = true;
      }
    }
    for (const consumer of [...this.#consumers]) consumer.flush();
  }

  #takerFor(lane: Lane): Consumer | undefined {
    const { length } = this.#consumers;
    for (let step = 0; step < length; step++) {
      const consumer = this.#consumers[(lane.hash + step) % length];
      if (consumer?.hasRoom) return consumer;
    }
    return undefined;
  }

  #deliver(lane: Lane, consumer: Consumer): void {
    for (let turn = 0; turn < TURN && consumer.hasRoom; turn++) {
      const entry = lane.next();
      if (!entry) break;
      lane.advance();
      this.#lease(lane, entry, consumer);
    }
    this.#enqueue(lane);
  }

  #lease(lane: Lane, entry: Entry, consumer: Consumer): void {
    const ackId = `${this.#context.incarnation}-${(this.#leaseCount++).toString(36)}`;
    const deadlineMs = this.#context.now() + consumer.ackDeadlineMs;
    const lease: Lease = { ackId, lane, entry, consumer, deadlineMs, slot: null };
    entry.lease = lease;
    this.#leases.set(ackId, lease);
    this.#wheel.watch(lease);
    lane.outstanding++;
    lane.owner = consumer;
    this.#delivered++;
    if (entry.deliveries++ > 0) this.#redelivered++;
    const deliveryAttempt = this.resource.deadLetterPolicy ? entry.failures + 1 : 0;
    consumer.send({ ackId, message: entry.message.wire, deliveryAttempt }, entry.message.size);
  }

  #end(lease: Lease): void {
    const { ackId, lane, entry, consumer } = lease;
    entry.lease = null;
    this.#leases.delete(ackId);
    this.#wheel.forget(lease);
    consumer.release(entry.message.size);
    if (--lane.outstanding === 0) {
      lane.owner = null;
      lane.queue = null; // out of its consumer's queue, so that any consumer may go on with it
      this.#enqueue(lane);
    }
    this.#requestDispatch();
  }

  /** The consumer gave a message back, or was too late. */
  #fail({ lane, entry }: Lease): void {
    entry.failures++;
    this.#redeliver(entry, lane);
    const policy = this.resource.deadLetterPolicy;
    if (!policy || entry.failures < policy.maxDeliveryAttempts) return;
    if (!this.#context.deadLetter(this, entry.message)) return;
    lane.remove(entry);
    this.#backlog--;
    this.#forgetIfEmpty(lane);
  }

  #redeliver(entry: Entry, lane = entry.lease?.lane): void {
    if (lane) this.#rewind(lane, entry.position);
  }

  #rewind(lane: Lane, position: number): number {
    const hadWaiting = lane.hasWaiting;
    const again = lane.rewind(position);
    for (const entry of again) {
      if (entry.acked) {
        entry.acked = false;
        this.#backlog++;
      }
      if (entry.lease) this.#end(entry.lease);
    }
    if (!hadWaiting && again.length > 0) {
      lane.queue = null;
      this.#becameAvailable(lane);
    }
    return again.length;
  }

  #settle(lane: Lane, entry: Entry): void {
    entry.acked = true;
    this.#backlog--;
    lane.settle(entry, RETAINED_ACKS_PER_KEY);
    this.#forgetIfEmpty(lane);
  }

  #forgetIfEmpty(lane: Lane): void {
    if (!lane.isEmpty) return;
    if (lane.key === '') this.#unordered.delete(lane);
    else this.#lanesByKey.delete(lane.key);
  }
}

function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

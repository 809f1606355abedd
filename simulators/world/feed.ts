/**
 * Publishers and how their messages come in: an ordered subscription (unacknowledged messages come again, and so do all
 * behind them; a stream may move to another process while the first still has deliveries in hand), and HTTP publishers
 * who repeat each call until it is answered.
 */
import { contentDigest } from '../../src/engine/message.ts';
import type { NewMessage } from '../../src/engine/ports.ts';
import { shardOf } from '../../src/room/shard.ts';
import { chanceFor, type WorldChance } from './chance.ts';
import type { Checker } from './checker.ts';
import type { Failpoints } from './failpoints.ts';
import { type FeedFaults, type MessagePlan, type RoomPlan, SHARDS } from './plan.ts';
import type { SimProcess } from './process.ts';
import type { VirtualTime } from './time.ts';

export interface FeedOptions {
  readonly seed: number;
  readonly startMs: number;
  readonly time: VirtualTime;
  readonly checker: Checker;
  readonly failpoints: Failpoints;
  readonly faults: FeedFaults;
  readonly pick: (chance: WorldChance) => SimProcess | null;
  readonly count: (kind: string) => void;
}

const ACK_DEADLINE_MS = 3_000;
const RETRY_MS = 200;
const CALM: FeedFaults = { redeliver: 0, duplicate: 0, overlap: 0, move: 0, conflict: 0 };

/** Null: it is stored, and has no sequence yet. */
type Accepted = { readonly sequence: number | null } | 'conflict' | 'refused' | 'silent';

export class Feed {
  readonly #options: FeedOptions;
  #faults: FeedFaults;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#faults = options.faults;
  }

  calm(): void {
    this.#faults = CALM;
  }

  publish(room: RoomPlan): void {
    const feed = new RoomFeed(room, this.#options, () => this.#faults);
    for (const message of room.messages) this.#options.time.after(message.at, () => feed.publish(message));
  }
}

class RoomFeed {
  readonly #room: RoomPlan;
  readonly #options: FeedOptions;
  readonly #faults: () => FeedFaults;
  readonly #chance: WorldChance;
  readonly #published: NewMessage[] = [];
  readonly #acknowledged = new Set<number>();
  /** The subscription's present stream; what belongs to an older one has moved. */
  #stream = 0;
  #process: SimProcess | null = null;
  #next = 0;
  #running = false;

  constructor(room: RoomPlan, options: FeedOptions, faults: () => FeedFaults) {
    this.#room = room;
    this.#options = options;
    this.#faults = faults;
    this.#chance = chanceFor(options.seed, 'feed', room.name);
  }

  publish(message: MessagePlan): void {
    const encoded = encode(this.#room, message, this.#options.startMs);
    const { checker } = this.#options;
    checker.published(`${this.#room.channel}/${this.#room.name}`, encoded);
    this.#published.push(encoded);
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#acknowledged.size < this.#published.length) {
      if (this.#room.source === 'http') await this.#post();
      else await this.#pull();
    }
    this.#running = false;
  }

  /** One call after the other, each until it is answered. */
  async #post(): Promise<void> {
    const { pick, time } = this.#options;
    const index = this.#acknowledged.size;
    const process = pick(this.#chance);
    if (process !== null && (await this.#hand(process, index))) return;
    await time.sleep(RETRY_MS);
  }

  /** Hands out the next run of messages of the present stream; begins a new stream where this one is broken. */
  async #pull(): Promise<void> {
    const { time, count } = this.#options;
    const chance = this.#chance;
    const faults = this.#faults();
    if (this.#process === null || this.#process.dead || chance.hit(faults.move)) {
      if (!this.#move()) {
        await time.sleep(RETRY_MS);
        return;
      }
    }
    if (chance.hit(faults.redeliver) && this.#next > 0) {
      count('feed_redelivered');
      this.#next = Math.max(0, this.#next - chance.between(1, 3));
    }
    const process = this.#process as SimProcess;
    const stream = this.#stream;
    const from = this.#next;
    this.#next = Math.min(this.#published.length, from + chance.between(1, 4));
    const handed: Promise<boolean>[] = [];
    for (let index = from; index < this.#next; index++) {
      handed.push(this.#hand(process, index));
      if (!chance.hit(faults.duplicate)) continue;
      count('feed_duplicated');
      handed.push(this.#hand(process, index));
    }
    const all = Promise.all(handed).then((accepted) => {
      // A message that was not acknowledged comes again, with all behind it, on a new stream.
      if (accepted.includes(false) && this.#stream === stream) this.#process = null;
    });
    if (handed.length > 0 && chance.hit(faults.overlap)) {
      count('feed_overlapped');
      await time.sleep(chance.around(20));
    } else await Promise.race([all, time.sleep(RETRY_MS)]);
    // The stream has handed out everything: its acknowledgements are waited for.
    if (this.#next >= this.#published.length) await Promise.race([all, time.sleep(RETRY_MS)]);
    if (handed.length === 0) await time.sleep(RETRY_MS);
  }

  /** Begins a stream at another process, from the first message that is not acknowledged. */
  #move(): boolean {
    const before = this.#process;
    const process = this.#options.pick(this.#chance);
    if (process === null) return false;
    if (before !== null && !before.dead && before !== process) this.#options.count('feed_moved');
    this.#process = process;
    this.#stream++;
    this.#next = 0;
    while (this.#acknowledged.has(this.#next)) this.#next++;
    return true;
  }

  /** True where the message was acknowledged within the deadline. */
  async #hand(process: SimProcess, index: number): Promise<boolean> {
    const { checker, count } = this.#options;
    const message = this.#published[index] as NewMessage;
    const accepted = await this.#accept(process, message);
    if (accepted === 'conflict') checker.broken('R1', message.key.room, `${message.messageId} met a conflict`);
    if (typeof accepted === 'string') return false;
    checker.acknowledged(`${this.#room.channel}/${this.#room.name}`, message.messageId, accepted.sequence);
    this.#acknowledged.add(index);
    if (this.#chance.hit(this.#faults().conflict)) {
      count('feed_conflict');
      void this.#demandConflict(process, message);
    }
    return true;
  }

  /** The same id with another body is told apart, and never sent. */
  async #demandConflict(process: SimProcess, message: NewMessage): Promise<void> {
    const body = new TextEncoder().encode(`{"to":"nobody","content":{"room":"nobody","id":"nobody"}}`);
    const answer = await this.#accept(process, { ...message, body, digest: contentDigest(body, message.order) });
    if (typeof answer === 'string') return;
    this.#options.checker.broken('R1', message.key.room, `${message.messageId} was accepted with another body`);
  }

  #accept(process: SimProcess, message: NewMessage): Promise<Accepted> {
    const { time, failpoints } = this.#options;
    const accepted = new Promise<Accepted>((resolve) => {
      process.enter(() => {
        process.engine?.intake.accept({ ...message, acceptedAt: Math.floor(process.clock.now()) }).then(
          (result) => {
            const delayMs = failpoints.pass('intake.committed', process);
            const taken = result.kind === 'accepted' || result.kind === 'parked';
            const answer: Accepted = taken ? { sequence: result.sequence } : 'conflict';
            time.after(delayMs, () => process.enter(() => resolve(answer)));
          },
          () => resolve('refused'),
        );
      });
    });
    return Promise.race([accepted, time.sleep(ACK_DEADLINE_MS).then((): Accepted => 'silent')]);
  }
}

function encode(room: RoomPlan, message: MessagePlan, startMs: number): NewMessage {
  const { id, notBefore, expiresAt, supersedes, order } = message;
  const key = { tenant: 'default', channel: room.channel, room: room.name };
  const body = new TextEncoder().encode(JSON.stringify({ to: room.name, content: { room: room.name, id } }));
  return {
    key,
    shard: shardOf(key, SHARDS),
    messageId: id,
    body,
    digest: contentDigest(body, order),
    acceptedAt: startMs,
    notBefore: notBefore === null ? null : startMs + notBefore,
    expiresAt: expiresAt === null ? null : startMs + expiresAt,
    ackTimeoutMs: null,
    failurePolicy: null,
    supersedes: supersedes ?? null,
    source: room.source,
    ...(order === undefined ? {} : { order }),
  };
}

/**
 * The platform's calls to our webhook: repeated until they are answered with 200, to any process that lives, in batches
 * and out of order. A 200 is checked against what the database then holds.
 */
import type { ChannelKey, StatusItem, Stores } from '../../src/engine/ports.ts';
import { shardOf } from '../../src/room/shard.ts';
import { chanceFor, type WorldChance } from './chance.ts';
import type { Checker } from './checker.ts';
import type { Failpoints } from './failpoints.ts';
import { SHARDS } from './plan.ts';
import type { SimProcess } from './process.ts';
import type { VirtualTime } from './time.ts';

/** A status and the message that it is truly about; null for one that is about nobody's. */
export interface Told {
  readonly item: StatusItem;
  readonly room: string | null;
  readonly messageId: string | null;
  readonly level: 'sent' | 'delivered' | 'read' | null;
}

export interface WebhooksOptions {
  readonly seed: number;
  readonly time: VirtualTime;
  readonly checker: Checker;
  readonly failpoints: Failpoints;
  /** The database itself, for looking at what a 200 promises. */
  readonly database: Stores;
  readonly badBatch: number;
  readonly pick: (chance: WorldChance) => SimProcess | null;
  readonly count: (kind: string) => void;
}

const ANSWER_TIMEOUT_MS = 3_000;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2_000;
/** Statuses that fall into this time may share a call. */
const BATCH_MS = 60;

const LEVELS = ['none', 'accepted', 'sent', 'delivered', 'read'];

export class Webhooks {
  readonly #options: WebhooksOptions;
  readonly #chance: WorldChance;
  /** A call that is being filled, by channel. */
  readonly #filling = new Map<string, Told[]>();
  #calls = 0;

  constructor(options: WebhooksOptions) {
    this.#options = options;
    this.#chance = chanceFor(options.seed, 'webhooks');
  }

  tell(channel: string, told: Told, afterMs: number): void {
    const { time, badBatch, count } = this.#options;
    time.after(afterMs, () => {
      const filling = this.#filling.get(channel);
      if (filling !== undefined) {
        filling.splice(this.#chance.between(0, filling.length), 0, told);
        return;
      }
      if (!this.#chance.hit(badBatch)) {
        void this.#deliver(channel, [told]);
        return;
      }
      count('bad_batch');
      const batch = [told];
      this.#filling.set(channel, batch);
      time.after(BATCH_MS, () => {
        this.#filling.delete(channel);
        const unreadable: Told = {
          item: { kind: 'unreadable', code: 'shape' },
          room: null,
          messageId: null,
          level: null,
        };
        batch.splice(this.#chance.between(0, batch.length), 0, unreadable);
        void this.#deliver(channel, batch);
      });
    });
  }

  async #deliver(channel: string, batch: readonly Told[]): Promise<void> {
    const { time } = this.#options;
    const number = ++this.#calls;
    for (let waitMs = FIRST_WAIT_MS; !(await this.#call(channel, batch, number)); ) {
      await time.sleep(waitMs);
      waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
    }
  }

  /** True where the call was answered with 200. */
  async #call(channel: string, batch: readonly Told[], number: number): Promise<boolean> {
    const { seed, time, pick, failpoints } = this.#options;
    const process = pick(chanceFor(seed, 'webhook', number, time.now));
    if (process === null) return false;
    const key: ChannelKey = { tenant: 'default', channel };
    const items = batch.map(({ item }) => item);
    const answered = new Promise<boolean>((resolve) => {
      process.enter(() => {
        process.engine?.acks.receive(key, items).then(
          () => {
            const delayMs = failpoints.pass('webhook.committed', process);
            time.after(delayMs, () => process.enter(() => resolve(true)));
          },
          () => resolve(false),
        );
      });
    });
    const ok = await Promise.race([answered, time.sleep(ANSWER_TIMEOUT_MS).then(() => false)]);
    if (ok) await Promise.all(batch.map((told) => this.#demandOnDisk(key, told)));
    return ok;
  }

  /** W: what a call that was answered with 200 told is on disk. */
  async #demandOnDisk(channel: ChannelKey, { item, room, messageId, level }: Told): Promise<void> {
    if (room === null || messageId === null || level === null || item.kind !== 'status') return;
    const { database, checker } = this.#options;
    const sequence = checker.sequenceOf(room, messageId);
    const key = { ...channel, room: room.slice(room.indexOf('/') + 1) };
    const stored = await database.rooms.findRoom(key, shardOf(key, SHARDS));
    if (stored === null) return;
    const { row } = stored;
    const known: string[] = [];
    if (sequence === row.settled + 1) known.push(row.level);
    const settled = await database.history.readSettled(row, sequence);
    if (settled !== null) known.push(settled.level);
    if (item.platformId !== null) {
      for (const ack of await database.inbox.read(channel, [item.platformId])) known.push(ack.level);
    }
    if (known.some((one) => LEVELS.indexOf(one) >= LEVELS.indexOf(level))) return;
    checker.broken(
      'W',
      room,
      `${sequence} was told ${level} with a 200, and on disk is ${known.join(', ') || 'nothing'}`,
    );
  }
}

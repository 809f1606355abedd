/** Publishes the load: each room's messages in order, to whichever process takes them, until each is acknowledged. */
import { contentDigest } from '../../src/engine/message.ts';
import type { NewMessage } from '../../src/engine/ports.ts';
import { shardOf } from '../../src/room/shard.ts';
import type { SimProcess } from '../world/process.ts';
import type { VirtualTime } from '../world/time.ts';
import type { Load } from './load.ts';
import { CHANNEL } from './settings.ts';

export interface FeedOptions {
  readonly time: VirtualTime;
  readonly openAt: number;
  readonly load: Load;
  readonly shards: number;
  readonly pick: () => SimProcess | null;
}

const ANSWER_TIMEOUT_MS = 3_000;
const REPEAT_MS = 200;
const encoder = new TextEncoder();

export class Feed {
  readonly #options: FeedOptions;
  /** What each room still has to hand over; a room is here while that goes on. */
  readonly #waiting = new Map<number, number[]>();
  #next = 0;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  begin(): void {
    const { time, openAt, load } = this.#options;
    if (this.#next >= load.count) return;
    time.after(openAt + (load.at[this.#next] as number) - time.now, () => {
      this.#publish(this.#next++);
      this.begin();
    });
  }

  #publish(message: number): void {
    const room = this.#options.load.room[message] as number;
    const waiting = this.#waiting.get(room);
    if (waiting !== undefined) {
      waiting.push(message);
      return;
    }
    this.#waiting.set(room, [message]);
    void this.#handOver(room);
  }

  async #handOver(room: number): Promise<void> {
    const waiting = this.#waiting.get(room) ?? [];
    for (let message = waiting[0]; message !== undefined; message = waiting[0]) {
      if (await this.#accept(message, room)) waiting.shift();
      else await this.#options.time.sleep(REPEAT_MS);
    }
    this.#waiting.delete(room);
  }

  #accept(message: number, room: number): Promise<boolean> {
    const { pick, time } = this.#options;
    const process = pick();
    if (process === null) return Promise.resolve(false);
    return new Promise((resolve) => {
      const cancel = time.after(ANSWER_TIMEOUT_MS, () => resolve(false));
      const answer = (ok: boolean): void =>
        process.enter(() => {
          cancel();
          resolve(ok);
        });
      const now = Math.floor(process.clock.now());
      process.engine?.intake.accept(this.#encode(message, room, now)).then(
        ({ kind }) => answer(kind === 'accepted'),
        () => answer(false),
      );
    });
  }

  #encode(message: number, room: number, acceptedAt: number): NewMessage {
    const key = { ...CHANNEL, room: roomName(room) };
    const body = encoder.encode(JSON.stringify({ to: key.room, content: { message } }));
    return {
      key,
      shard: shardOf(key, this.#options.shards),
      messageId: messageName(message),
      body,
      digest: contentDigest(body),
      acceptedAt,
      notBefore: null,
      expiresAt: null,
      ackTimeoutMs: null,
      failurePolicy: null,
      supersedes: null,
      source: 'pubsub',
    };
  }
}

export function roomName(room: number): string {
  return `user-${room}`;
}

export function messageName(message: number): string {
  return `message-${message}`;
}

/** The number in a name. */
export function numberIn(name: string): number {
  return Number(name.slice(name.indexOf('-') + 1));
}

import { request } from 'undici';
import type { Clock, Timers } from './clock.ts';

/**
 * How Telegram tells a bot's webhook of updates, as its server's public code does: one update a call, each chat's
 * strictly one after another, so that one that fails blocks its chat and no other. The first repetition follows at once,
 * then after 2, 4, 8 … s up to a random 60 to 120 s, or when `Retry-After` says; after a day an update is dropped. Who
 * answers 410 for 23 hours is called no more.
 */

const DAY_MS = 86_400_000;
const MAX_RETRY_AFTER_S = 3_600;
const SLOWEST_S = 60;
const GONE_AFTER_MS = 23 * 3_600_000;
/** How long a connection may say nothing before it counts as closed. */
const IDLE_MS = 60_000;

export interface UpdateAnswer {
  /** 0: the connection broke, or there was no answer in time. */
  status: number;
  /** The `Retry-After` header, in seconds; 0 where there is none. */
  retryAfterS: number;
}

export interface UpdateOptions {
  url: string;
  /** What `setWebhook` was given as `secret_token`. */
  secret: string;
  clock: Clock;
  timers: Timers;
  /** Uniform in [0, 1). */
  random: () => number;
  /** Calls open at once, 1 to 100. */
  maxConnections?: number;
  post?: (url: string, headers: Record<string, string>, body: string) => Promise<UpdateAnswer>;
}

export type UpdateEnd = 'delivered' | 'dropped' | 'webhook_removed';

interface Pending {
  body: string;
  expiresAt: number;
  delayS: number;
  failures: number;
  end: (how: UpdateEnd) => void;
}

const postOverHttp = async (url: string, headers: Record<string, string>, body: string): Promise<UpdateAnswer> => {
  try {
    const answer = await request(url, { method: 'POST', headers, body, headersTimeout: IDLE_MS, bodyTimeout: IDLE_MS });
    await answer.body.dump();
    const given = Number(answer.headers['retry-after']);
    return { status: answer.statusCode, retryAfterS: Number.isInteger(given) && given > 0 ? given : 0 };
  } catch {
    // Whatever broke: to the server it is an update that was not taken.
    return { status: 0, retryAfterS: 0 };
  }
};

export class TelegramUpdates {
  readonly #options: Required<UpdateOptions>;
  readonly #chats = new Map<string, Pending[]>();
  /** Chats whose first update may go as soon as a connection is free. */
  readonly #ready: string[] = [];
  readonly #timers = new Set<unknown>();
  #open = 0;
  #goneSince: number | undefined;
  #removed = false;

  constructor(options: UpdateOptions) {
    this.#options = { maxConnections: 40, post: postOverHttp, ...options };
  }

  /** Resolves when the update was taken, or never will be. */
  deliver(chat: string, update: Record<string, unknown>): Promise<UpdateEnd> {
    return new Promise((end) => {
      if (this.#removed) {
        end('webhook_removed');
        return;
      }
      const body = JSON.stringify(update);
      const pending = { body, expiresAt: this.#now() + DAY_MS, delayS: 1, failures: 0, end };
      const queue = this.#chats.get(chat);
      if (queue) queue.push(pending);
      else {
        this.#chats.set(chat, [pending]);
        this.#ready.push(chat);
      }
      this.#pump();
    });
  }

  /** Nothing more is sent. */
  stop(): void {
    this.#removed = true;
    for (const handle of this.#timers) this.#options.timers.clear(handle);
    this.#timers.clear();
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }

  #pump(): void {
    while (!this.#removed && this.#open < this.#options.maxConnections) {
      const chat = this.#ready.shift();
      const pending = chat === undefined ? undefined : this.#chats.get(chat)?.[0];
      if (chat === undefined || pending === undefined) return;
      this.#open++;
      void this.#call(chat, pending);
    }
  }

  async #call(chat: string, pending: Pending): Promise<void> {
    const { url, secret, post } = this.#options;
    const headers = { 'content-type': 'application/json', 'x-telegram-bot-api-secret-token': secret };
    const answer = await post(url, headers, pending.body);
    this.#open--;
    if (this.#removed) return;
    if (answer.status >= 200 && answer.status < 300) {
      this.#goneSince = undefined;
      this.#leave(chat, pending, 'delivered');
    } else this.#failed(chat, pending, answer);
    this.#pump();
  }

  #failed(chat: string, pending: Pending, { status, retryAfterS }: UpdateAnswer): void {
    const now = this.#now();
    this.#goneSince = status === 410 ? (this.#goneSince ?? now) : undefined;
    if (this.#goneSince !== undefined && now > this.#goneSince + GONE_AFTER_MS) {
      this.#remove();
      return;
    }
    const askedS = Math.min(MAX_RETRY_AFTER_S, retryAfterS);
    let waitS = askedS;
    if (askedS === 0 && pending.failures > 0) {
      const slowestS = SLOWEST_S + Math.floor(this.#options.random() * (SLOWEST_S + 1));
      pending.delayS = Math.min(slowestS, pending.delayS * 2);
      waitS = pending.delayS;
    }
    if (now + waitS * 1_000 > pending.expiresAt) {
      this.#leave(chat, pending, 'dropped');
      return;
    }
    pending.failures++;
    const handle = this.#options.timers.set(() => {
      this.#timers.delete(handle);
      this.#ready.push(chat);
      this.#pump();
    }, waitS * 1_000);
    this.#timers.add(handle);
  }

  #leave(chat: string, pending: Pending, how: UpdateEnd): void {
    const queue = this.#chats.get(chat);
    queue?.shift();
    if (queue?.length) this.#ready.push(chat);
    else this.#chats.delete(chat);
    pending.end(how);
  }

  #remove(): void {
    this.stop();
    for (const queue of this.#chats.values()) for (const { end } of queue) end('webhook_removed');
    this.#chats.clear();
  }
}

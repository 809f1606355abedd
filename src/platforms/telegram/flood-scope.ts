/**
 * Whom a 429 concerns: the chat, or the bot. Telegram has a limit for each and answers both alike, so that only what
 * other chats get tells them apart. A first 429 is taken for its chat's own: other chats go on, and if it was the bot's,
 * theirs follow at once. When several chats in a row were refused and nothing sent since was accepted, it is the bot.
 */
import type { SendResult } from '../../engine/ports.ts';

/** So many other chats must stand refused: two chats may well reach limits of their own at the same time. */
const OTHER_CHATS = 2;
/** A refusal counts until its wait is over and a probe of a slowed channel has had its answer. */
const PROBE_MARGIN_MS = 60_000;
/** For a 429 that names no wait. */
const DEFAULT_WAIT_MS = 1_000;
/** Many more than are needed to decide. */
const MOST = 64;

interface Standing {
  /** Where it stands among sends and refusals, in the order in which they began and were answered. */
  readonly order: number;
  readonly untilMs: number;
}

export class FloodScope {
  readonly #refused = new Map<string, Standing>();
  #order = 0;

  /** A send begins; the result goes to `judge` with its answer. */
  begin(): number {
    return ++this.#order;
  }

  /**
   * The result with its scope: what was refused as a 429 comes with scope `room` and leaves with that or `channel`.
   * @param nowMs wall clock; it only ends old evidence
   */
  judge(result: SendResult, chatId: string, begun: number, nowMs: number): SendResult {
    if (result.kind === 'accepted') this.#accepted(begun);
    if (result.kind !== 'refused' || result.nack.code !== '429') return result;
    this.#prune(nowMs);
    const others = this.#refused.size - (this.#refused.has(chatId) ? 1 : 0);
    this.#refused.delete(chatId);
    const waitMs = result.nack.retryAfterMs ?? DEFAULT_WAIT_MS;
    this.#refused.set(chatId, { order: ++this.#order, untilMs: nowMs + waitMs + PROBE_MARGIN_MS });
    if (others < OTHER_CHATS) return result;
    return { kind: 'refused', nack: { ...result.nack, scope: 'channel' } };
  }

  /** The bot may send: what was refused before this send began was for the chats' own sake, or is over. */
  #accepted(begun: number): void {
    for (const [chatId, { order }] of this.#refused) if (order < begun) this.#refused.delete(chatId);
  }

  #prune(nowMs: number): void {
    for (const [chatId, { untilMs }] of this.#refused) {
      if (untilMs < nowMs || this.#refused.size > MOST) this.#refused.delete(chatId);
    }
  }
}

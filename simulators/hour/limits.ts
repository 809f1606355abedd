/** The platform's own buckets, as its documentation describes them; not the engine's arithmetic. */

export interface NumberLimits {
  /** Of the business number. */
  readonly perSecond: number;
  readonly burst: number;
  /** Of each user: one message in so many ms, a burst on credit. */
  readonly pairEveryMs: number;
  readonly pairBurst: number;
}

/**
 * What WhatsApp documents: 80 messages a second, and to one user one in 6 s with up to 45 at once on credit. How many
 * may come at once within the 80 is not documented: a second's worth is assumed.
 */
export function whatsAppLimits(scale: number): NumberLimits {
  const perSecond = 80 * scale;
  return { perSecond, burst: Math.max(1, Math.round(perSecond)), pairEveryMs: 6_000, pairBurst: 45 };
}

/** A bucket that is full at first, holds `burst` tokens and gains one in `everyMs`. */
export class TokenBucket {
  readonly #everyMs: number;
  readonly #burst: number;
  #tokens: number;
  #at: number | null = null;

  constructor(everyMs: number, burst: number) {
    this.#everyMs = everyMs;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** For how many ms more the next token would have to be waited for; 0 where there is one. */
  get missingMs(): number {
    return Math.max(0, (1 - this.#tokens) * this.#everyMs);
  }

  take(now: number): boolean {
    if (this.#at !== null) this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) / this.#everyMs);
    this.#at = now;
    // A millionth of a token is the arithmetic's, not the sender's.
    if (this.#tokens < 1 - 1e-6) return false;
    this.#tokens--;
    return true;
  }
}

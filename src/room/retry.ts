import type { Backoff } from './room.ts';

/**
 * How long to wait before the next attempt, in ms.
 * @param used attempts used up so far, 1 for the first retry
 * @param chance uniform in [0, 1)
 * @param retryAfterMs what the platform asked for: the wait is never shorter
 */
export function backoffDelayMs(backoff: Backoff, used: number, chance: number, retryAfterMs: number | null): number {
  const grown = backoff.initialMs * backoff.factor ** Math.max(0, used - 1);
  const delay = Math.min(backoff.maxMs, grown);
  const spread = delay * backoff.jitter;
  return Math.max(Math.ceil(retryAfterMs ?? 0), Math.round(delay - spread * chance));
}

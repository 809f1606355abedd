/** The longest wait that a platform may ask for. */
export const MAX_RETRY_AFTER_MS = 3_600_000;

/**
 * The wait that a `Retry-After` header asks for, in ms, in either of its forms: seconds, or an HTTP date. Null where it
 * asks for nothing, or for nothing sensible.
 */
export function parseRetryAfter(header: string | string[] | undefined, wallClockMs: number): number | null {
  if (typeof header !== 'string') return null;
  const value = header.trim();
  if (/^\d{1,12}$/.test(value)) return boundedWait(Number(value) * 1_000);
  if (!/^\w{3,9}, .{10,24} GMT$/.test(value)) return null;
  return boundedWait(Date.parse(value) - wallClockMs);
}

/** A wait of a platform as far as we follow it. Zero and less is no wish: our own back-off applies. */
export function boundedWait(ms: unknown): number | null {
  if (typeof ms !== 'number' || !Number.isFinite(ms) || ms <= 0) return null;
  return Math.min(Math.ceil(ms), MAX_RETRY_AFTER_MS);
}

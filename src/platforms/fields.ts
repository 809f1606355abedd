/** Reading what platforms say: every field is input, and a field that breaks its rule counts as absent. */
import { RoomlineError } from '../errors.ts';

export type Fields = Readonly<Record<string, unknown>>;

const decoder = new TextDecoder('utf-8', { fatal: true });

/** A whole number that a double may not hold, outside of texts; that it may also match inside one costs time only. */
const LONG_NUMBER = /(?:^|[\s:,[])-?\d{16}/;

/**
 * Reads JSON; whole numbers that a double cannot hold come as text, so that ids stay exact.
 * @throws TypeError where it is not UTF-8, SyntaxError where it is not JSON
 */
export function parseJson(raw: Uint8Array): unknown {
  const source = decoder.decode(raw);
  return LONG_NUMBER.test(source) ? JSON.parse(source, exactly) : JSON.parse(source);
}

function exactly(_name: string, value: unknown, context?: { readonly source?: string }): unknown {
  const inexact = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
  return inexact ? (context?.source ?? value) : value;
}

/**
 * Reads the body of a webhook call like `parseJson`.
 * @throws RoomlineError where it is no JSON, or more deeply nested than can be read
 */
export function parseWebhookBody(raw: Uint8Array): unknown {
  try {
    return parseJson(raw);
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new RoomlineError('body_malformed_json', { cause });
    if (cause instanceof RangeError) throw new RoomlineError('body_too_deep', { cause });
    throw new RoomlineError('body_not_utf8', { cause });
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object that an answer's body is; null where it is none, or was too large to be read. */
export function readObject(body: Uint8Array | null): Fields | null {
  if (body === null) return null;
  try {
    const value = parseJson(body);
    return isFields(value) ? value : null;
  } catch {
    // Not UTF-8, not JSON, or nested beyond reading: an answer without the fields that we look for.
    return null;
  }
}

/** The longest id of a platform, in UTF-16 units: Instagram's have some 180. */
export const MAX_ID_LENGTH = 512;

/** A platform's own id: 1 to `MAX_ID_LENGTH` characters that can be stored; whole numbers are read as text. */
export function readId(value: unknown): string | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : null;
  return readText(value, MAX_ID_LENGTH);
}

/** A reference as we make them. */
export function readReference(value: unknown): string | null {
  return typeof value === 'string' && /^[A-Za-z0-9_-]{1,40}$/.test(value) ? value : null;
}

/** A text of 1 to `maxLength` UTF-16 units that can be stored: no control characters, no unpaired surrogate. */
export function readText(value: unknown, maxLength: number): string | null {
  if (typeof value !== 'string' || value === '' || value.length > maxLength) return null;
  return /\p{Cc}/u.test(value) || !value.isWellFormed() ? null : value;
}

/** Codes reach logs and metrics: nothing but a plain code is taken over. */
export function readCode(value: unknown): string | null {
  const code = typeof value === 'number' ? String(value) : value;
  return typeof code === 'string' && /^[\w.:-]{1,64}$/.test(code) ? code : null;
}

/** A time of the platform's clock, in ms. */
export function readTime(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(Math.round(value)) && value >= 0 ? Math.round(value) : null;
}

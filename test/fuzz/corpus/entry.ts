import type { ErrorCode } from '../../../src/errors.ts';
import { CANARY } from '../rig.ts';

/** Accepted, or refused with this code and, where the answer names one, this field. */
export type Verdict = 'accepted' | { readonly code: ErrorCode; readonly field?: string };

export interface Entry {
  readonly name: string;
  readonly raw: Uint8Array;
  readonly verdict: Verdict;
}

export const entry = (name: string, raw: string | Uint8Array, verdict: Verdict): Entry => ({
  name,
  raw: typeof raw === 'string' ? Buffer.from(raw) : raw,
  verdict,
});

export const refused = (code: ErrorCode, field?: string): Verdict => ({
  code,
  ...(field === undefined ? {} : { field }),
});

export const ROOM = `${CANARY}-room`;

/** A valid message with some members replaced; `undefined` leaves one out. */
export function message(change: object = {}): string {
  return JSON.stringify({ channel: 'main', room: ROOM, content: { text: `${CANARY}-text` }, ...change });
}

/** The same with a piece of JSON that `JSON.stringify` would not write, in place of the text `@`. */
export const spliced = (change: object, json: string): string => message(change).replace('"@"', () => json);

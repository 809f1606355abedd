/** Reading what a gateway says: every field is input, and a field that breaks its rule counts as absent. */
import type { AckLevel, Nack, Scope } from '../../room/room.ts';
import { boundedWait } from '../retry-after.ts';

export type Fields = Readonly<Record<string, unknown>>;

const decoder = new TextDecoder('utf-8', { fatal: true });

/** A whole number that a double may not hold. It may also match inside a text, which costs time only. */
const LONG_NUMBER = /\d{16}/;

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

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A gateway's own id: 1 to 128 characters that can be stored; whole numbers are read as text. */
export function readId(value: unknown): string | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : null;
  return readText(value, 128);
}

export function readReference(value: unknown): string | null {
  return typeof value === 'string' && /^[A-Za-z0-9_-]{1,40}$/.test(value) ? value : null;
}

/** A recipient, as a room's messages name it. */
export function readRecipient(value: unknown): string | null {
  return readText(value, 256);
}

function readText(value: unknown, maxLength: number): string | null {
  if (typeof value !== 'string' || value === '' || value.length > maxLength) return null;
  return /\p{Cc}/u.test(value) || !value.isWellFormed() ? null : value;
}

/** A time of the gateway's clock, in ms. */
export function readTime(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(Math.round(value)) && value >= 0 ? Math.round(value) : null;
}

const LEVELS = { sent: 'sent', delivered: 'delivered', read: 'read' } as const;

export function readLevel(value: unknown): Exclude<AckLevel, 'none' | 'accepted'> | null {
  return typeof value === 'string' && Object.hasOwn(LEVELS, value) ? LEVELS[value as keyof typeof LEVELS] : null;
}

const SCOPES: readonly unknown[] = ['message', 'room', 'channel', 'account'] satisfies Scope[];

export interface NackDefaults {
  readonly permanent: boolean;
  readonly scope: Scope;
  readonly code: string;
  readonly retryAfterMs: number | null;
}

export function readNack(error: Fields, defaults: NackDefaults): Nack {
  const { code, scope, permanent, retryAfterMs } = error;
  return {
    permanent: typeof permanent === 'boolean' ? permanent : defaults.permanent,
    scope: SCOPES.includes(scope) ? (scope as Scope) : defaults.scope,
    retryAfterMs: boundedWait(retryAfterMs) ?? defaults.retryAfterMs,
    code: readCode(code) ?? defaults.code,
  };
}

/** Codes reach logs and metrics: nothing but a plain code is taken over. */
function readCode(value: unknown): string | null {
  const code = typeof value === 'number' ? String(value) : value;
  return typeof code === 'string' && /^[\w.:-]{1,64}$/.test(code) ? code : null;
}

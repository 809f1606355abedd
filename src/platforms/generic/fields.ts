/** What only the generic platform's protocol has. */
import type { AckLevel, Nack, Scope } from '../../room/room.ts';
import { digestOf } from '../failure-text.ts';
import { type Fields, readCode, readText } from '../fields.ts';
import { boundedWait } from '../retry-after.ts';

/** A recipient, as a room's messages name it. */
export function readRecipient(value: unknown): string | null {
  return readText(value, 256);
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
  const { code, scope, permanent, retryAfterMs, message } = error;
  return {
    permanent: typeof permanent === 'boolean' ? permanent : defaults.permanent,
    scope: SCOPES.includes(scope) ? (scope as Scope) : defaults.scope,
    retryAfterMs: boundedWait(retryAfterMs) ?? defaults.retryAfterMs,
    code: readCode(code) ?? defaults.code,
    ...digestOf(message),
  };
}

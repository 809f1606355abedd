/** What failures have in common: channel, kind, code and the platform's words, of which only a digest is ever kept. */
import { createHash } from 'node:crypto';
import type { Attempt, Nack } from '../room/room.ts';
import type { FailureKind } from './operator-ports.ts';
import type { ChannelKey } from './ports.ts';

/** Stands for the digests of further texts, where a code has come with more than are told apart. */
export const OTHER_TEXT = 'other_text';
/** Likewise, where the code itself is one too many: the failure is one of the code `other`. */
export const OTHER_CODE = 'other_code';

export interface Failure {
  readonly kind: FailureKind;
  readonly code: string;
  /** Null where the platform said nothing. */
  readonly textDigest: string | null;
}

/** Null of an attempt that is open or went well. One that was accepted and then nacked keeps its result. */
export function failureOf(attempt: Attempt | undefined): Failure | null {
  if (attempt === undefined || attempt.result === null) return null;
  const { result, code, textDigest } = attempt;
  if (result === 'accepted') return code === null ? null : failure('refused', code, textDigest);
  return failure(result, code ?? 'no_code', textDigest);
}

export function refusalBy({ code, textDigest }: Nack): Failure {
  return failure('refused', code, textDigest);
}

function failure(kind: FailureKind, code: string, textDigest: string | undefined): Failure {
  if (textDigest === OTHER_CODE) return { kind, code: 'other', textDigest };
  return { kind, code, textDigest: textDigest ?? null };
}

/** A payload that never came to a channel. @param code of the error that refused it */
export function refusedPayload(code: string): Failure {
  return { kind: 'intake', code, textDigest: null };
}

/** 32 hexadecimal digits. */
export function fingerprintOf(channel: ChannelKey | null, { kind, code, textDigest }: Failure): string {
  const parts = [channel?.tenant ?? null, channel?.channel ?? null, kind, code];
  const what = JSON.stringify(textDigest === null ? parts : [...parts, textDigest]);
  return createHash('sha256').update(what).digest('hex').slice(0, 32);
}

/** Of the failure that a message failed for good with: that of its last attempt. */
export function fingerprintOfAttempts(channel: ChannelKey, attempts: readonly Attempt[]): string | null {
  const last = failureOf(attempts.at(-1));
  return last === null ? null : fingerprintOf(channel, last);
}

/** What every platform's answers have in common. */
import type { SendResult } from '../engine/ports.ts';
import type { Nack } from '../room/room.ts';
import type { Said } from './failure-text.ts';
import type { HttpOutcome } from './http-client.ts';

export type Answer = Extract<HttpOutcome, { kind: 'answered' }>;

/** What became of a send, where it is the same on every platform; else `read` says what its answer means. */
export function classifyOutcome(outcome: HttpOutcome, read: (answer: Answer) => SendResult): SendResult {
  switch (outcome.kind) {
    case 'not_sent':
      return refused({ permanent: false, scope: 'channel', retryAfterMs: null, code: outcome.code });
    case 'no_answer':
      return { kind: 'unknown', code: outcome.code, bytesLeft: outcome.bytesLeft };
    case 'answered':
      if (outcome.status < 300 || outcome.status >= 400) return read(outcome);
      // Redirects are never followed: they would carry the token elsewhere.
      return refused({ permanent: true, scope: 'channel', retryAfterMs: null, code: 'redirected' });
    default:
      return outcome satisfies never;
  }
}

/** @param said by the platform, in words */
export function refused(nack: Nack, said: Said = {}): SendResult {
  return { kind: 'refused', nack: { ...nack, ...said } };
}

/** There was an answer, so the request had left. */
export function unknown(code: string, said: Said = {}): SendResult {
  return { kind: 'unknown', code, bytesLeft: true, ...said };
}

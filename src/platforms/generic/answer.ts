/** What a gateway's answer means: the tables of docs/generic-http-platform.md. */
import type { LookupResult, SendResult } from '../../engine/ports.ts';
import type { Nack, Scope } from '../../room/room.ts';
import { digestOf } from '../failure-text.ts';
import { type Fields, isFields, readId, readObject, readTime } from '../fields.ts';
import type { HttpOutcome } from '../http-client.ts';
import { type Answer, classifyOutcome, refused, unknown } from '../outcome.ts';
import { parseRetryAfter } from '../retry-after.ts';
import { readLevel, readNack } from './fields.ts';

/** Without an `error` object these refuse the message for good. */
const PERMANENT = new Set([400, 404, 405, 410, 413, 415, 422]);

export function classifySend(outcome: HttpOutcome, wallClockMs: number): SendResult {
  return classifyOutcome(outcome, (answer) => classifyAnswer(answer, wallClockMs));
}

function classifyAnswer(answer: Answer, wallClockMs: number): SendResult {
  const { status } = answer;
  const fields = readObject(answer.body);
  const error = fields !== null && isFields(fields.error) ? fields.error : null;
  const retryAfterMs = parseRetryAfter(answer.headers['retry-after'], wallClockMs);
  if (status >= 500 && error?.processed !== false) return unknown(`http_${status}`, digestOf(error?.message));
  if (error !== null) {
    const permanent = status !== 429 && status < 500;
    return refused(readNack(error, { permanent, scope: scopeOf(status), code: `http_${status}`, retryAfterMs }));
  }
  return status < 300 ? accepted(fields) : refused(bareRefusal(status, retryAfterMs));
}

function accepted(fields: Fields | null): SendResult {
  const platformId = readId(fields?.id);
  if (fields === null || platformId === null) return unknown('answer_unreadable');
  return {
    kind: 'accepted',
    platformId,
    platformAt: readTime(fields.acceptedAt),
    duplicate: fields.duplicate === true,
  };
}

/** These speak of the sender, not of the message: a revoked token or a limit must fail none. */
function scopeOf(status: number): Scope {
  return status === 401 || status === 403 || status === 429 ? 'channel' : 'message';
}

/** A 4xx that says nothing but its status. */
function bareRefusal(status: number, retryAfterMs: number | null): Nack {
  const code = `http_${status}`;
  if (status === 429) return { permanent: false, scope: 'channel', retryAfterMs, code };
  if (status === 401 || status === 403) return { permanent: true, scope: 'channel', retryAfterMs: null, code };
  return { permanent: PERMANENT.has(status), scope: 'message', retryAfterMs, code };
}

export function readLookup(outcome: HttpOutcome): LookupResult {
  const fields = outcome.kind === 'answered' && outcome.status === 200 ? readObject(outcome.body) : null;
  if (fields === null) return NO_EVIDENCE;
  const platformId = readId(fields.id);
  if (fields.status === 'failed') {
    const error = isFields(fields.error) ? fields.error : {};
    return { kind: 'failed', nack: readNack(error, FAILED), platformId };
  }
  const level = fields.status === 'accepted' ? 'accepted' : readLevel(fields.status);
  if (level === null) return NO_EVIDENCE;
  return { kind: 'found', level, platformId, platformAt: readTime(fields.acceptedAt) };
}

const NO_EVIDENCE: LookupResult = { kind: 'no_evidence' };

/** What a reported failure means where it does not say. */
export const FAILED = { permanent: true, scope: 'message', code: 'failed', retryAfterMs: null } as const;

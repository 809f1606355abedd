/** What the answer to a send means. */
import type { SendResult } from '../../engine/ports.ts';
import type { Nack } from '../../room/room.ts';
import { digestOf } from '../failure-text.ts';
import { type Fields, readId, readObject } from '../fields.ts';
import type { HttpOutcome } from '../http-client.ts';
import { type Answer, classifyOutcome, refused, unknown } from '../outcome.ts';
import { parseRetryAfter } from '../retry-after.ts';
import { nackOfAnswer, readErrorCode } from './errors.ts';
import { failureOf } from './statuses.ts';

export function classifySend(outcome: HttpOutcome, wallClockMs: number): SendResult {
  return classifyOutcome(outcome, (answer) => classifyAnswer(answer, wallClockMs));
}

function classifyAnswer(answer: Answer, wallClockMs: number): SendResult {
  const { status, headers } = answer;
  const fields = readObject(answer.body);
  const said = digestOf(fields?.message);
  // Whatever code comes with it: what failed on the way may have been queued before.
  if (status >= 500) return unknown(`http_${status}`, said);
  if (status < 300) return accepted(fields);
  const askedMs = parseRetryAfter(headers['retry-after'], wallClockMs);
  const code = readErrorCode(fields?.code);
  // "Never processed", whichever code explains it.
  if (status === 429) return refused({ ...slowed(askedMs), code: code === null ? 'http_429' : String(code) }, said);
  return refused(code === null ? withoutCode(status, askedMs) : nackOfAnswer(code, askedMs), said);
}

function accepted(fields: Fields | null): SendResult {
  const platformId = readId(fields?.sid);
  if (fields === null || platformId === null) return unknown('answer_unreadable');
  const failure = failureOf(fields.status, fields.error_code);
  if (failure !== null) return refused(failure, digestOf(fields.error_message));
  return { kind: 'accepted', platformId, platformAt: null, duplicate: false };
}

/** These may concern the one message: its size, or what something on the way thinks of it. */
const OF_MESSAGE = new Set([400, 413, 414, 422, 431]);
/** Credentials, or an address at which there is nothing. */
const OF_CONFIGURATION = new Set([401, 403, 404, 405, 410]);

/** A 4xx without Twilio's code did not come from the API: it says nothing about the message for good. */
function withoutCode(status: number, askedMs: number | null): Nack {
  const code = `http_${status}`;
  if (OF_CONFIGURATION.has(status)) return { permanent: true, scope: 'channel', retryAfterMs: null, code };
  if (OF_MESSAGE.has(status)) return { permanent: false, scope: 'message', retryAfterMs: askedMs, code };
  return { ...slowed(askedMs), code };
}

function slowed(retryAfterMs: number | null) {
  return { permanent: false, scope: 'channel', retryAfterMs } as const;
}

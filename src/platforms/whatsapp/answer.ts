/** What the answer to a send means. The HTTP status is unreliable: where there is an error code, it decides. */
import type { SendResult } from '../../engine/ports.ts';
import type { Nack } from '../../room/room.ts';
import { type Fields, isFields, readId, readObject } from '../fields.ts';
import type { HttpOutcome } from '../http-client.ts';
import { readGraphError } from '../meta/error.ts';
import { readUsageWait } from '../meta/usage.ts';
import { type Answer, classifyOutcome, refused, unknown } from '../outcome.ts';
import { parseRetryAfter } from '../retry-after.ts';
import { nackOfAnswer } from './errors.ts';

/** @param highest the highest ack level that the content ever gets; null: every level */
export function classifySend(outcome: HttpOutcome, wallClockMs: number, highest: 'sent' | null = null): SendResult {
  const result = classifyOutcome(outcome, (answer) => classifyAnswer(answer, wallClockMs));
  return result.kind === 'accepted' && highest !== null ? { ...result, highestLevel: highest } : result;
}

function classifyAnswer(answer: Answer, wallClockMs: number): SendResult {
  const { status, headers } = answer;
  const askedMs = readUsageWait(headers) ?? parseRetryAfter(headers['retry-after'], wallClockMs);
  const fields = readObject(answer.body);
  const error = readGraphError(fields);
  if (error !== null) {
    const nack = nackOfAnswer(error, status, askedMs);
    const { code, said } = error;
    return nack === null ? unknown(`http_${status}_${code}`, said) : refused(nack, said);
  }
  if (status >= 500) return unknown(`http_${status}`);
  return status < 300 ? accepted(fields) : refused(withoutCode(status, askedMs));
}

function accepted(fields: Fields | null): SendResult {
  const [message] = Array.isArray(fields?.messages) ? fields.messages : [];
  const platformId = isFields(message) ? readId(message.id) : null;
  if (platformId === null) return unknown('answer_unreadable');
  return { kind: 'accepted', platformId, platformAt: null, duplicate: false };
}

/** These may concern the one message: its size, or what something on the way thinks of it. */
const OF_MESSAGE = new Set([400, 413, 414, 422, 431]);

/**
 * A 4xx without an error code did not come from the API but from something before it, so that it says nothing about
 * the message: the sender waits, and nothing is lost to a wrong address.
 */
function withoutCode(status: number, askedMs: number | null): Nack {
  const code = `http_${status}`;
  if (status === 401 || status === 403) return { permanent: true, scope: 'channel', retryAfterMs: null, code };
  const scope = OF_MESSAGE.has(status) ? 'message' : 'channel';
  return { permanent: false, scope, retryAfterMs: askedMs, code };
}

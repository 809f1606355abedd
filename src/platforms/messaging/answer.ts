/**
 * What the answer to a send means. An error object counts whatever the HTTP status is: it comes with 200, too, and the
 * status of a refusal says little.
 */
import type { SendResult } from '../../engine/ports.ts';
import type { Nack } from '../../room/room.ts';
import { type Fields, MAX_ID_LENGTH, readObject, readText } from '../fields.ts';
import type { HttpOutcome } from '../http-client.ts';
import { readGraphError } from '../meta/error.ts';
import { readUsageWait } from '../meta/usage.ts';
import { type Answer, classifyOutcome, refused, unknown } from '../outcome.ts';
import { parseRetryAfter } from '../retry-after.ts';
import { codeOf, nackOfAnswer } from './errors.ts';

export function classifySend(outcome: HttpOutcome, wallClockMs: number): SendResult {
  return classifyOutcome(outcome, (answer) => classifyAnswer(answer, wallClockMs));
}

function classifyAnswer({ status, headers, body }: Answer, wallClockMs: number): SendResult {
  const askedMs = readUsageWait(headers) ?? parseRetryAfter(headers['retry-after'], wallClockMs);
  const fields = readObject(body);
  // Where there is no `error`, a member `code` beside the message's id is none.
  const error = fields?.error === undefined ? null : readGraphError(fields);
  if (error !== null) {
    const nack = nackOfAnswer(error, status, askedMs);
    const { said } = error;
    return nack === null ? unknown(`http_${status}_${codeOf(error)}`, said) : refused(nack, said);
  }
  if (status >= 500) return unknown(`http_${status}`);
  return status < 300 ? accepted(fields) : refused(withoutCode(status, askedMs));
}

/** The answer tells no time of the platform's clock. */
function accepted(fields: Fields | null): SendResult {
  const platformId = fields?.error === undefined ? readMessageId(fields?.message_id) : null;
  if (platformId === null) return unknown('answer_unreadable');
  return { kind: 'accepted', platformId, platformAt: null, duplicate: false };
}

/** Ids of Meta's messages are texts. */
export function readMessageId(value: unknown): string | null {
  return readText(value, MAX_ID_LENGTH);
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

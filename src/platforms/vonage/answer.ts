/** What the answer to a send means. */
import type { SendResult } from '../../engine/ports.ts';
import type { Nack } from '../../room/room.ts';
import { type Fields, readId, readObject } from '../fields.ts';
import type { HttpOutcome } from '../http-client.ts';
import { type Answer, classifyOutcome, refused, unknown } from '../outcome.ts';
import { parseRetryAfter } from '../retry-after.ts';
import { nackOfAnswer, readErrorCode, saidIn } from './errors.ts';

export function classifySend(outcome: HttpOutcome, wallClockMs: number): SendResult {
  return classifyOutcome(outcome, (answer) => classifyAnswer(answer, wallClockMs));
}

function classifyAnswer(answer: Answer, wallClockMs: number): SendResult {
  const { status, headers } = answer;
  const fields = readObject(answer.body);
  const said = saidIn(fields);
  // Whatever code comes with it: what failed on the way may have been queued before.
  if (status >= 500) return unknown(`http_${status}`, said);
  if (status < 300) return accepted(fields);
  const askedMs = parseRetryAfter(headers['retry-after'], wallClockMs);
  const code = readErrorCode(fields);
  const nack = code === null ? withoutCode(status, askedMs) : ofStatus(status, nackOfAnswer(code, status, askedMs));
  return refused(nack, said);
}

/** Under these the code only says more; a message is settled by none of them. */
function ofStatus(status: number, nack: Nack): Nack {
  const settles = nack.scope === 'message' || nack.scope === 'room';
  if (!settles || !OF_SENDER.has(status)) return nack;
  return { ...withoutCode(status, nack.retryAfterMs), code: nack.code };
}

function accepted(fields: Fields | null): SendResult {
  const platformId = readId(fields?.message_uuid);
  if (platformId === null) return unknown('answer_unreadable');
  return { kind: 'accepted', platformId, platformAt: null, duplicate: false };
}

/** Credentials, credit, or too much of everything. */
const OF_SENDER = new Set([401, 402, 403, 429]);
/** These may concern the one message: its size, or what something on the way thinks of it. */
const OF_MESSAGE = new Set([400, 413, 414, 422, 431]);
/** A wrong key, or an address at which there is nothing. */
const OF_CONFIGURATION = new Set([401, 403, 404, 405, 410]);

function withoutCode(status: number, askedMs: number | null): Nack {
  const code = `http_${status}`;
  if (status === 402) return { permanent: true, scope: 'account', retryAfterMs: null, code };
  if (OF_CONFIGURATION.has(status)) return { permanent: true, scope: 'channel', retryAfterMs: null, code };
  return { permanent: false, scope: OF_MESSAGE.has(status) ? 'message' : 'channel', retryAfterMs: askedMs, code };
}

/** What an answer of the Bot API means. `error_code` counts before the HTTP status, which a proxy may have changed. */
import type { SendResult } from '../../engine/ports.ts';
import { digestOf } from '../failure-text.ts';
import { type Fields, isFields, readId, readObject } from '../fields.ts';
import type { HttpOutcome } from '../http-client.ts';
import { type Answer, classifyOutcome, refused, unknown } from '../outcome.ts';
import { boundedWait, parseRetryAfter } from '../retry-after.ts';
import { judgeRefusal } from './refusals.ts';

/**
 * Classifies the answer to a message for `chatId`. A 429 comes out with scope `room`: whom it concerns, one answer
 * cannot tell.
 */
export function classifySend(outcome: HttpOutcome, chatId: string, wallClockMs: number): SendResult {
  return classifyOutcome(outcome, (answer) => classifyAnswer(answer, chatId, wallClockMs));
}

/** The new id of a group that became a supergroup, where that is why the message was refused. */
export function migratedTo(outcome: HttpOutcome): string | null {
  if (outcome.kind !== 'answered') return null;
  const fields = readObject(outcome.body);
  if (fields === null || fields.ok === true || codeOf(fields, outcome.status) !== 400) return null;
  const id = readId(isFields(fields.parameters) ? fields.parameters.migrate_to_chat_id : undefined);
  return id !== null && /^-?[1-9][0-9]{0,18}$/.test(id) ? id : null;
}

function classifyAnswer(answer: Answer, chatId: string, wallClockMs: number): SendResult {
  const { status } = answer;
  const fields = readObject(answer.body);
  if (fields?.ok === true && status < 300) return accepted(fields.result, chatId);
  const code = codeOf(fields, status);
  const said = digestOf(fields?.description);
  if (code < 400 || code >= 500) {
    return unknown(status < 300 && code < 400 ? 'answer_unreadable' : `http_${code}`, said);
  }
  if (code === 429) {
    const retryAfterMs = retryAfter(fields, answer, wallClockMs);
    return refused({ permanent: false, scope: 'room', retryAfterMs, code: '429' }, said);
  }
  if (migratedTo(answer) !== null) {
    return refused({ permanent: false, scope: 'message', retryAfterMs: null, code: '400_chat_migrated' }, said);
  }
  const description = typeof fields?.description === 'string' ? fields.description : null;
  const retryAfterMs = parseRetryAfter(headerOf(answer), wallClockMs);
  return refused({ ...judgeRefusal(code, description), retryAfterMs }, said);
}

/** Only `ok: false` speaks for itself; anything else leaves the word to HTTP. */
function codeOf(fields: Fields | null, status: number): number {
  const code = fields?.ok === false ? fields.error_code : undefined;
  return typeof code === 'number' && Number.isInteger(code) && code >= 400 && code <= 599 ? code : status;
}

/**
 * `ok: true` is the acceptance, whatever the rest looks like: sending again would show the message twice. An album has
 * one id for each of its messages; the first stands for all. Ids count within their chat only, so they carry it.
 */
function accepted(result: unknown, chatId: string): SendResult {
  const message = Array.isArray(result) ? result[0] : result;
  const fields = isFields(message) ? message : {};
  const id = fields.message_id;
  // 0: put off by Telegram, and without an id until it is sent.
  const known = typeof id === 'number' && Number.isSafeInteger(id) && id > 0;
  const chat = readId(isFields(fields.chat) ? fields.chat.id : undefined) ?? chatId;
  return {
    kind: 'accepted',
    platformId: known ? `${chat}:${id}` : null,
    platformAt: readDate(fields.date),
    duplicate: false,
  };
}

/** Unix time in seconds, here in ms. */
function readDate(value: unknown): number | null {
  const valid = typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 100_000_000_000;
  return valid ? value * 1_000 : null;
}

/** In the body, where Telegram documents it; else in the header that its server adds; else in the words. */
function retryAfter(fields: Fields | null, answer: Answer, wallClockMs: number): number | null {
  const parameters = isFields(fields?.parameters) ? fields.parameters : {};
  return (
    boundedWait(seconds(parameters.retry_after)) ??
    parseRetryAfter(headerOf(answer), wallClockMs) ??
    boundedWait(seconds(/retry after (\d{1,9})\b/i.exec(String(fields?.description))?.[1]))
  );
}

function seconds(value: unknown): number | null {
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' ? number * 1_000 : null;
}

function headerOf({ headers }: Answer): string | string[] | undefined {
  return headers['retry-after'];
}

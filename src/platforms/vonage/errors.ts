/** What the Messages API's error codes mean for a room: the table of docs/channels/vonage.md. */
import type { Nack, Scope } from '../../room/room.ts';
import { digestOf, type Said } from '../failure-text.ts';
import { type Fields, isFields, readCode } from '../fields.ts';

interface Meaning {
  readonly permanent: boolean;
  readonly scope: Scope;
  /** The wait that the code itself stands for. */
  readonly waitMs: number | null;
}

function meaning(permanent: boolean, scope: Scope, waitMs: number | null = null): Meaning {
  return { permanent, scope, waitMs };
}

/** It will never be delivered as it is. */
const NEVER = meaning(true, 'message');
/** Nothing from this sender will reach this person. */
const NEVER_HERE = meaning(true, 'room');
const LATER = meaning(false, 'message');
/** The phone is off or busy: seconds change nothing. */
const LATER_A_MINUTE = meaning(false, 'message', 60_000);
/** Too much to one person. Waits use up no attempt. */
const ROOM_SLOWED = meaning(false, 'room');
/** Every message of the sender, or of its account, would fare alike: a person has to act. */
const SENDER_STOPPED = meaning(true, 'channel');
const ACCOUNT_STOPPED = meaning(true, 'account');
const SENDER_SLOWED = meaning(false, 'channel');
const ACCOUNT_SLOWED = meaning(false, 'account');

const MEANINGS: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  // Errors that all of Vonage's interfaces share; they have names.
  ...each(['unauthorized', 'forbidden', 'not-found', 'invalid-api-key', 'invalid-signature'], SENDER_STOPPED),
  ...each(['jwt-expired', 'jwt-revoked', 'unprovisioned'], SENDER_STOPPED),
  ...each(['low-balance', 'out-of-credit', 'account-suspended'], ACCOUNT_STOPPED),
  ...each(['throttled'], SENDER_SLOWED),
  ...each(['invalid-params', 'invalid-json'], NEVER),

  // Those of the Messages API are numbers.
  ...each(['1000'], ACCOUNT_SLOWED),
  ...each(['1241'], ROOM_SLOWED),
  ...each(['1060', '1070', '1080'], ACCOUNT_STOPPED),
  ...each(['1110', '1350', '1370'], SENDER_STOPPED),
  ...each(['1030', '1100', '1230', '1330'], LATER),
  ...each(['1180', '1220'], LATER_A_MINUTE),
  ...each(['1050', '1160', '1170', '1190', '1200', '1240', '1250', '1260', '1280', '1290', '1300', '1310'], NEVER_HERE),
  ...each(['1010', '1020', '1021', '1022', '1040', '1090', '1120', '1130', '1140', '1150'], NEVER),
  ...each(['1210', '1270', '1320', '1340', '1360'], NEVER),
]);

function each(codes: readonly string[], means: Meaning): [string, Meaning][] {
  return codes.map((code) => [code, means]);
}

/** The codes of the table, for its tests and its page. */
export function knownCodes(): readonly string[] {
  return [...MEANINGS.keys()];
}

/**
 * A code in the answer to a send. One that this table lacks was a refusal all the same: of the request as it is where
 * the status says so, else perhaps for now only; retries of one message are bounded.
 * @param askedMs the wait that the answer's headers ask for
 */
export function nackOfAnswer(code: string, status: number, askedMs: number | null): Nack {
  return nack(code, MEANINGS.get(code) ?? (status === 422 ? NEVER : LATER), askedMs);
}

/** A failure that a status tells: `rejected` is final, `undeliverable` says that the provider was out of reach. */
export function nackOfStatus(code: string | null, status: 'rejected' | 'undeliverable'): Nack {
  const otherwise = status === 'rejected' ? NEVER : LATER;
  return nack(code ?? status, (code === null ? undefined : MEANINGS.get(code)) ?? otherwise, null);
}

function nack(code: string, { permanent, scope, waitMs }: Meaning, askedMs: number | null): Nack {
  return { permanent, scope, retryAfterMs: permanent ? null : (askedMs ?? waitMs), code };
}

/**
 * The code of an error as RFC 7807 writes it: the fragment of `type`, or a number as `title`; older webhooks have a
 * `code`. The error may stand in another of the same name.
 */
export function readErrorCode(value: unknown): string | null {
  if (!isFields(value)) return null;
  return codeOf(value) ?? (isFields(value.error) ? codeOf(value.error) : null);
}

/** Its words: `title` and `detail`, or the `reason` of older webhooks. */
export function saidIn(value: unknown): Said {
  if (!isFields(value)) return {};
  const inner = isFields(value.error) ? value.error : {};
  return digestOf(...[value, inner].flatMap(({ title, detail, reason }) => [title, detail, reason]));
}

function codeOf({ type, title, code }: Fields): string | null {
  const fragment = typeof type === 'string' ? /#([\w.-]{1,64})$/.exec(type)?.[1] : undefined;
  const number = typeof title === 'string' && /^\d{1,6}$/.test(title) ? title : null;
  return readCode(code) ?? readCode(fragment) ?? number;
}
